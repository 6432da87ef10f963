"""Memories of earlier samples that Avalanche lacks."""

import math
from typing import Any

import torch
from avalanche.training.storage_policy import ExemplarsBuffer

ALPHA_MODES = ("Fixed", "Dynamic")
EVICT = ("random", "newest")


class BiasedReservoirSamplingBuffer(ExemplarsBuffer):
    """A reservoir that can be made to prefer newer buckets, of CLEAR's baselines (Lin et al., NeurIPS 2021, section 5).

    After bucket i, counted from 0, at most `max_size` of its samples are drawn at random, and each of them enters
    with probability `alpha_value` / (i + 1) (`alpha_mode='Fixed'`; 1.0 keeps an even share of every bucket, more
    favours the newer) or `alpha_value` (`'Dynamic'`), at most 1. The first bucket fills the buffer. An entering
    sample takes a free place, or that of one of an earlier bucket: any of them by chance (`evict='random'`), or the
    newest of them (`'newest'`, as the authors' code does, so that the first buckets stay).

    Chance comes from torch's global generator; samples are kept as subsets of the buckets' datasets.
    """

    buffer: Any  # the base class's property
    evict: str = "random"  # what states have that were saved before there was a choice

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

    def entry_probability(self) -> float:
        """The probability with which a drawn sample of the next bucket enters."""
        if self.buckets_seen == 0:
            return 1.0
        alpha = self.alpha_value / (self.buckets_seen + 1) if self.alpha_mode == "Fixed" else self.alpha_value
        return min(alpha, 1.0)

    def post_adapt(self, agent: Any, exp: Any) -> None:
        """Take samples of the bucket just learned."""
        new = exp.dataset
        drawn = torch.randperm(len(new))[: self.max_size]
        entering = drawn[torch.rand(len(drawn)) < self.entry_probability()]
        # Only earlier samples make room, each at most once: of two that enter together neither pushes the other out.
        room = self.max_size - len(self.buffer)
        # The buffer has the samples of the newest bucket first.
        places = torch.randperm(len(self.buffer)) if self.evict == "random" else torch.arange(len(self.buffer))
        staying = places[max(len(entering) - room, 0) :].sort().values
        taken = new.subset(entering.tolist())
        # The empty dataset that a buffer starts with has no targets, and what is joined to it would lose them.
        self.buffer = taken.concat(self.buffer.subset(staying.tolist())) if len(self.buffer) else taken
        self.buckets_seen += 1

    def resize(self, strategy: Any, new_size: int) -> None:
        """Change `max_size`; what no longer fits is dropped at random."""
        self.max_size = new_size
        if len(self.buffer) > new_size:
            self.buffer = self.buffer.subset(torch.randperm(len(self.buffer))[:new_size].sort().values.tolist())
