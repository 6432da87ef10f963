"""mmcls's losses as the criterion of a strategy: (class scores, class indices or soft labels) → a number.

The losses differ in their use of class indices `[B]`, which is why `Criterion` precedes them:

- CrossEntropyLoss and SeesawLoss take them; CrossEntropyLoss takes soft labels `[B, C] float` too, SeesawLoss not.
- CrossEntropyLoss(use_soft=True) multiplies them with the scores as if they were soft labels: wrong, or an error.
- CrossEntropyLoss(use_sigmoid=True) asserts that there are as many dimensions as in the scores.
- LabelSmoothLoss, FocalLoss and AsymmetricLoss make one-hot labels of them, waiting for the device at every batch.
"""

import copy
from functools import partial
from typing import Any

import torch
from torch import nn

from clearctl.models.classifier import head_outputs


class Criterion(nn.Module):
    """`(scores [B, C], target)` → loss, for a target of class indices `[B] int64` or soft labels `[B, C]`.

    Scores that are the sum of several outputs of a head (see `head_outputs`) get the mean of the outputs' losses.
    `as_head` divides a sum over samples and classes by the number of samples, as mmcls's heads do; without it the
    mean is the loss's own: FocalLoss, AsymmetricLoss and the sigmoid CrossEntropyLoss divide by B * C then.

    A loss with buffers learns from what it is called with: SeesawLoss counts the samples of each class. In eval mode
    such a call leaves the buffers as they were. mmcls never calls a loss in a test.
    """

    is_unweighted = False  # what states have that were saved before it was asked

    def __init__(self, loss: nn.Module, *, as_head: bool = False) -> None:
        super().__init__()
        self.loss = loss
        self.as_head = as_head and getattr(loss, "reduction", "mean") == "mean"
        self.takes_indices = _takes_indices(loss)
        self.is_unweighted = _is_unweighted(loss)

    def forward(self, scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar."""
        before = [] if self.training else [(buffer, buffer.clone()) for buffer in self.loss.buffers()]
        loss = self._of(scores, target)
        for buffer, value in before:
            buffer.copy_(value)
        return loss

    def _of(self, scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        outputs = head_outputs(scores)
        if target.ndim == 2:
            target = target.to(scores.dtype)
        elif not self.takes_indices:
            # As functional.one_hot, which waits for the device, and which torch.func.vmap cannot batch.
            target = (target[:, None] == torch.arange(scores.shape[1], device=target.device)).to(scores.dtype)
        averaged = {"avg_factor": len(scores)} if self.as_head else {}
        losses = [self._loss(output, target, averaged) for output in outputs]
        return losses[0] if len(losses) == 1 else torch.stack(losses).mean(0)

    def _loss(self, scores: torch.Tensor, target: torch.Tensor, averaged: dict[str, int]) -> torch.Tensor:
        """mmcls's loss: its CrossEntropyLoss without the factor of 1, which is a launch in either direction."""
        loss: Any = self.loss
        if self.is_unweighted:
            loss = partial(loss.cls_criterion, reduction=loss.reduction)
        found: torch.Tensor = loss(scores, target, **averaged)
        return found

    def try_on(self, num_classes: int, *, soft: bool) -> None:
        """Raise ValueError or AssertionError if it cannot score `num_classes`, or, with `soft`, take soft labels."""
        trial = copy.deepcopy(self).cpu()  # SeesawLoss counts what it sees
        scores = torch.zeros(2, num_classes, requires_grad=True)
        with torch.enable_grad():
            found = trial(scores, torch.tensor([0, num_classes - 1]))
        if found.numel() != 1:
            raise ValueError("it gives a loss for each sample: reduction must be 'mean' or 'sum'")
        if not found.requires_grad:
            raise ValueError("its result has no gradient with respect to the scores: do not detach it")
        if soft:
            try:
                trial(scores, torch.full_like(scores, 1 / num_classes))
            except Exception:
                raise ValueError("it does not accept soft labels, which model.train_cfg.augments makes") from None


def _takes_indices(loss: nn.Module) -> bool:
    from clearctl.models.openmmlab import losses

    if isinstance(loss, losses.CrossEntropyLoss):
        return not (loss.use_soft or loss.use_sigmoid)
    return not isinstance(loss, losses.LabelSmoothLoss | losses.FocalLoss | losses.AsymmetricLoss)


def _is_unweighted(loss: nn.Module) -> bool:
    from clearctl.models.openmmlab import losses

    weights = [getattr(loss, name, None) for name in ("loss_weight", "class_weight", "pos_weight")]
    return type(loss) is losses.CrossEntropyLoss and weights == [1, None, None]


def build_criterion(model: nn.Module, loss: nn.Module | None, *, head_has_one: bool) -> Criterion | None:
    """The criterion for `model`: of `loss`, else of the loss inside its head if that was asked for, else None.

    A head with several outputs never has None: the mean of their cross-entropies is its default.
    """
    if loss is not None:
        return Criterion(loss)
    head = getattr(model, "head", None)
    if head is not None and (head_has_one or isinstance(getattr(head, "in_channels", None), list | tuple)):
        return Criterion(head.compute_loss, as_head=True)
    return None
