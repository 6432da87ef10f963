"""Mixing the samples of a batch in training, with soft labels for the loss and hard ones for everything else."""

from collections.abc import Callable

import torch
from avalanche.training.plugins import SupervisedPlugin
from avalanche.training.templates.problem_type.supervised_problem import SupervisedProblem
from avalanche.training.templates.update_type.sgd_update import SGDUpdate
from torch import nn

from clearctl.models.augments import Augment
from clearctl.strategies.strategy import Strategy


class SoftLabelLoss(nn.Module):
    """A criterion that takes soft labels instead of the class indices of the batch that BatchAugment has mixed.

    It knows that batch's indices by identity: a loss on other samples, such as AGEM's on its memory or EWC's on a
    bucket that is over, is the plain one.
    """

    def __init__(self, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.loss = loss
        self.hard: torch.Tensor | None = None  # [B] int64
        self.soft: torch.Tensor | None = None  # [B, C] float32

    def forward(self, scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of `scores [B, C]` for `target [B]`."""
        if self.soft is not None and target is self.hard:
            target = self.soft
        return self.loss(scores, target)


class BatchAugment(SupervisedPlugin):
    """Replaces each training batch's `x [B, ...]` by `augment`'s before the forward pass, replayed samples included.

    `strategy.mb_y` stays hard, so metrics count the original classes; `criterion`, which the strategy must have been
    given as its own, gets the soft labels. Nothing is mixed in evaluation.
    """

    def __init__(self, augment: Augment, criterion: SoftLabelLoss) -> None:
        super().__init__()
        self.augment = augment
        self.criterion = criterion

    def before_forward(self, strategy: Strategy, **kwargs: object) -> None:
        """Mix the batch."""
        self.criterion.hard = strategy.mb_y
        mixed, self.criterion.soft = self.augment(strategy.mb_x, strategy.mb_y)
        strategy.mbatch[0] = mixed

    def after_training_iteration(self, strategy: Strategy, **kwargs: object) -> None:
        """Forget the batch's labels."""
        self.criterion.hard = self.criterion.soft = None


def mixing_fault(strategy: Strategy) -> str | None:
    """The reason why `strategy` cannot learn from mixed samples; None if its criterion takes soft labels."""
    kind = type(strategy)
    plain = kind.criterion is SupervisedProblem.criterion and kind.training_epoch is SGDUpdate.training_epoch
    if plain and isinstance(strategy._criterion, SoftLabelLoss):
        return None
    return "cannot train on mixed samples: its own loss or training step does not support soft labels"
