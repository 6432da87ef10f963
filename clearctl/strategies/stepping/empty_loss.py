"""The loss of a step without the zeros that Avalanche makes for it first."""

from functools import partial

import torch
from avalanche.training.templates import BaseSGDTemplate
from avalanche.training.templates.update_type.sgd_update import SGDUpdate

from clearctl.strategies.strategy import Strategy
from clearctl.strategies.watching.hooks import is_idle

_BEFORE_CRITERION = ("before_forward", "after_forward")


class EmptyLoss:
    """Zeros `[1]` that are not made: what is added to them, as Avalanche adds the criterion's loss, is the loss.

    On a GPU that is one launch where `zeros`, `+=` and the gradient of that are three.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __iadd__(self, loss: torch.Tensor) -> torch.Tensor:
        """A tensor of its own, into which penalties are added: never one that the criterion might have kept."""
        if loss.ndim == 0 and loss.dtype == torch.get_default_dtype():
            return loss.reshape(1) + 0.0
        zeros = torch.zeros(1, device=self.device)
        zeros += loss
        return zeros


def skip_zeros(strategy: Strategy) -> None:
    """Begin the steps in the loop of `strategy` with an EmptyLoss, if it is Avalanche's own."""
    kind = type(strategy)
    plain = kind._make_empty_loss is BaseSGDTemplate._make_empty_loss
    if plain and kind.training_epoch is SGDUpdate.training_epoch:
        strategy._make_empty_loss = partial(_empty_loss, strategy)


def _empty_loss(strategy: Strategy) -> torch.Tensor | EmptyLoss:
    """An EmptyLoss within a step in which nobody looks at the loss before the criterion's is computed; else zeros."""
    if strategy.mbatch is None or not all(is_idle(strategy, event) for event in _BEFORE_CRITERION):
        return torch.zeros(1, device=strategy.device)
    return EmptyLoss(strategy.device)
