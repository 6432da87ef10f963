"""Memories of earlier samples that Avalanche lacks."""

import math

import torch
from avalanche.training.storage_policy import ExemplarsBuffer

from clearctl.strategies.strategy import ClassificationDataset, Experience, Strategy

ALPHA_MODES = ("Fixed", "Dynamic")
EVICT = ("random", "newest")
DEFAULT_MEM_SIZE = 200  # as Avalanche's plugins with a memory have it


class BiasedReservoirSamplingBuffer(ExemplarsBuffer):
    """A reservoir that can be made to prefer newer buckets, of CLEAR's baselines (Lin et al., NeurIPS 2021, section 5).

    After each bucket at most `max_size` of its n samples are drawn at random, and each of them enters with a
    probability. With `alpha_mode='Fixed'` it is such that `alpha_value` * `max_size` * n / (samples of all buckets so
    far) are expected to enter: 1.0 is reservoir sampling, in which all samples so far have the same chance to be held,
    and more favours the newer. With buckets no smaller than the buffer and of one size that is `alpha_value` / (i + 1)
    for bucket i from 0, as the authors' code has it. With `'Dynamic'` the probability is `alpha_value`. The first
    bucket fills the buffer, and free places are filled, whatever the probability. An entering sample takes a free
    place, or that of one of an earlier bucket: any of them by chance (`evict='random'`), or the newest of them
    (`'newest'`, as the authors' code does, so that the first buckets stay).

    With `'Dynamic'` 1.0 and a `max_size` no larger than a bucket, only the newest bucket is held.

    Chance comes from torch's global generator; samples are kept as subsets of the buckets' datasets.
    """

    buffer: ClassificationDataset  # the base class's property
    # The values in states that were saved before there was a choice, and before samples were counted.
    evict: str = "random"
    samples_seen: int | None = None

    def __init__(
        self, max_size: int, alpha_mode: str = "Fixed", alpha_value: float = 1.0, evict: str = "random"
    ) -> None:
        super().__init__(max_size)
        if max_size < 1:
            raise ValueError(f"max_size is {max_size}, expected a whole number from 1")
        if alpha_mode not in ALPHA_MODES:
            raise ValueError(f"alpha_mode is {alpha_mode!r}, expected 'Fixed' or 'Dynamic'")
        if not (math.isfinite(alpha_value) and alpha_value >= 0):
            raise ValueError(f"alpha_value is {alpha_value}, expected a number from 0")
        if evict not in EVICT:
            raise ValueError(f"evict is {evict!r}, expected 'random' or 'newest'")
        self.alpha_mode = alpha_mode
        self.evict = evict
        self.alpha_value = alpha_value
        self.buckets_seen = 0
        self.samples_seen = 0

    def entry_probability(self, size: int) -> float:
        """The probability with which a drawn sample of the next bucket, of `size` samples, enters."""
        if self.buckets_seen == 0:
            return 1.0
        alpha = self.alpha_value
        if self.alpha_mode == "Fixed":
            drawn = min(size, self.max_size)
            seen = self.samples_seen
            alpha *= 1 / (self.buckets_seen + 1) if seen is None else self.max_size * size / ((seen + size) * drawn)
        return min(alpha, 1.0)

    def post_adapt(self, agent: Strategy, exp: Experience) -> None:
        """Take samples of the bucket just learned."""
        new = exp.dataset
        drawn = torch.randperm(len(new))[: self.max_size]
        enters = torch.rand(len(drawn)) < self.entry_probability(len(new))
        room = self.max_size - len(self.buffer)
        free = max(room - int(enters.sum()), 0)
        entering = torch.cat([drawn[enters], drawn[~enters][:free]])
        # Only earlier samples make room, each at most once: of two that enter together neither pushes the other out.
        # The buffer has the samples of the newest bucket first.
        places = torch.randperm(len(self.buffer)) if self.evict == "random" else torch.arange(len(self.buffer))
        staying = places[max(len(entering) - room, 0) :].sort().values
        taken = new.subset(entering.tolist())
        # The empty dataset that a buffer starts with has no targets, and what is joined to it would lose them.
        self.buffer = taken.concat(self.buffer.subset(staying.tolist())) if len(self.buffer) else taken
        self.buckets_seen += 1
        if self.samples_seen is not None:
            self.samples_seen += len(new)

    def resize(self, strategy: Strategy, new_size: int) -> None:
        """Change `max_size`; what no longer fits is dropped at random."""
        self.max_size = new_size
        if len(self.buffer) > new_size:
            self.buffer = self.buffer.subset(torch.randperm(len(self.buffer))[:new_size].sort().values.tolist())


def memory_size(mem_size: int | None, buffer: ExemplarsBuffer | None) -> int:
    """The size of a memory that `mem_size`, a buffer, both or neither give. Raises ValueError if they disagree."""
    if buffer is None:
        return DEFAULT_MEM_SIZE if mem_size is None else mem_size
    if mem_size is not None and mem_size != buffer.max_size:
        raise ValueError(f"mem_size is {mem_size}, but the buffer's max_size is {buffer.max_size}")
    size: int = buffer.max_size
    return size
