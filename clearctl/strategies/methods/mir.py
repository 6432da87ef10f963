"""Maximally interfered retrieval, with a memory whose position is known."""

import torch
from avalanche.benchmarks.utils import concat_datasets
from avalanche.training import supervised
from avalanche.training.plugins import MIRPlugin as AvalancheMIRPlugin

from clearctl.strategies.loading.positions import Endless
from clearctl.strategies.loading.resumable import passes
from clearctl.strategies.strategy import Strategy


class MIRPlugin(AvalancheMIRPlugin):
    """Maximally interfered retrieval (Aljundi et al., NeurIPS 2019).

    Avalanche leaves out of a bucket's replay the classes of the last mini-batch of the bucket before: `left_out`.
    """

    replay_loader: Endless | None

    def __init__(self, batch_size_mem: int, mem_size: int = 200, subsample: int = 200) -> None:
        super().__init__(batch_size_mem, mem_size, subsample)
        self.left_out: list[int] = []
        self.latest_labels: torch.Tensor | None = None

    def before_training_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Begin to draw from the memory, if there is enough in it."""
        groups = self.storage_policy.buffer_groups
        memory = concat_datasets([kept.buffer for key, kept in groups.items() if int(key) not in self.left_out])
        if len(memory) > self.batch_size_mem:
            self.replay_loader = Endless(passes(memory, self.subsample, strategy.device))

    def after_training_iteration(self, strategy: Strategy, **kwargs: object) -> None:
        """Keep the labels: a run that is resumed after the last step of a bucket has no mini-batch."""
        self.latest_labels = strategy.mb_y

    def after_training_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Take the bucket's samples into the memory."""
        self.storage_policy.update(strategy, **kwargs)
        self.replay_loader = None
        assert self.latest_labels is not None
        self.left_out, self.latest_labels = sorted(set(self.latest_labels.tolist())), None


class MIR(supervised.MIR):
    """Maximally interfered retrieval (Aljundi et al., NeurIPS 2019). Its plugin is the one above."""

    def __init__(self, **arguments: object) -> None:
        super().__init__(**arguments)
        place, theirs = next((n, p) for n, p in enumerate(self.plugins) if type(p) is AvalancheMIRPlugin)
        self.plugins[place] = MIRPlugin(theirs.batch_size_mem, theirs.mem_size, theirs.subsample)
