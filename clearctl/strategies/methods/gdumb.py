"""GDumb, and the reservoirs of CLEAR's baselines."""

from avalanche.training.plugins import GDumbPlugin as AvalancheGDumbPlugin
from avalanche.training.storage_policy import ExemplarsBuffer

from clearctl.strategies.methods.buffers import memory_size
from clearctl.strategies.strategy import Strategy


class GDumbPlugin(AvalancheGDumbPlugin):
    """GDumb (Prabhu et al., ECCV 2020): each bucket is first taken into the memory, then only the memory learned from.

    The model starts over at each bucket, unless `reset` is False: then it keeps what it has learned, which CLEAR's
    baselines call "reservoir" or "biased reservoir", by their buffer. The default buffer is Avalanche's, balanced by
    class.
    """

    def __init__(self, mem_size: int | None = None, reset: bool = True, buffer: ExemplarsBuffer | None = None) -> None:
        super().__init__(memory_size(mem_size, buffer))
        self.reset = reset
        if buffer is not None:
            self.storage_policy = buffer

    def before_train_dataset_adaptation(self, strategy: Strategy, **kwargs: object) -> None:
        """Give the strategy its first model again, if it is to be reset; Avalanche drops the momentum of the old."""
        if self.reset:
            super().before_train_dataset_adaptation(strategy, **kwargs)

    def after_train_dataset_adaptation(self, strategy: Strategy, **kwargs: object) -> None:
        """Take the bucket into the memory and learn from the memory alone."""
        self.storage_policy.update(strategy, **kwargs)
        strategy.adapted_dataset = self.storage_policy.buffer.train()
