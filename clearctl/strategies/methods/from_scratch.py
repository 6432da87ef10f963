"""Avalanche's training from scratch, which also resets batch norms."""

import torch
from avalanche.training.plugins import FromScratchTrainingPlugin as AvalancheFromScratchTrainingPlugin

from clearctl.strategies.strategy import Strategy


class FromScratchTrainingPlugin(AvalancheFromScratchTrainingPlugin):
    """Each bucket starts with the run's first weights, and unless `reset_optimizer` is False a new optimizer state.

    Avalanche restores the parameters alone: the running means of batch norms would continue from bucket to bucket.
    """

    def __init__(self, reset_optimizer: bool = True) -> None:
        super().__init__(reset_optimizer=reset_optimizer)
        self.initial_buffers: dict[str, torch.Tensor] | None = None

    def before_training_exp(self, strategy: Strategy, *args: object, **kwargs: object) -> None:
        """Restore parameters and buffers."""
        buffers = dict(strategy.model.named_buffers())
        if self.initial_buffers is None:
            self.initial_buffers = {name: buffer.clone() for name, buffer in buffers.items()}
        for name, buffer in buffers.items():
            buffer.copy_(self.initial_buffers[name])
        super().before_training_exp(strategy, *args, **kwargs)
