"""The heads of several runs as one: every operation is done once for all of them.

R runs, B samples a batch, D numbers a sample, C classes. Runs that learn the very same samples share a batch: there are
G of them, each that of R/G runs that lie one after another, and G is R where no runs share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.autograd.function import BackwardCFunction, FunctionCtx
from torch.nn import functional

from clearctl.strategies.stepping.lockstep import EWCTerm, LwFTerm, Tensors

WEIGHT, BIAS = "head.fc.weight", "head.fc.bias"


def stacked(parts: Sequence[Tensors], device: torch.device) -> Tensors:
    """Weights `[...]` of each run as `[R, ...]` on `device`, a copy."""
    return {name: torch.stack([part[name].detach() for part in parts]).to(device) for name in parts[0]}


def numbers(values: Sequence[float], device: torch.device) -> torch.Tensor:
    """A number for each run, `[R] float32`."""
    return torch.tensor(values, dtype=torch.float32, device=device)


def scores(weights: Tensors, x: torch.Tensor, temperature: torch.Tensor | None) -> torch.Tensor:
    """Class scores `[R, B, C]` of the batches `x [G, B, D]`.

    With a `temperature` `[R]` the heads are cosine heads, and the samples have length 1 already.
    """
    weight = weights[WEIGHT]
    if temperature is not None:
        weight = functional.normalize(weight, dim=-1)
    runs, classes, width = weight.shape
    found: torch.Tensor = _Products.apply(weight.view(len(x), -1, width), x, x.is_cuda)  # [G, B, R/G * C]
    # Contiguous: argmax and softmax of strided scores are slow.
    found = found.view(*x.shape[:2], -1, classes).transpose(1, 2).contiguous().view(runs, -1, classes)
    if BIAS in weights:
        found = found + weights[BIAS][:, None]
    return found if temperature is None else found * temperature[:, None, None]


class _Products(torch.autograd.Function):
    """`x [G, B, D] @ weight [G, K, D].T`, and the gradient of the weights alone; `at_once` as one batched product.

    On a CPU that takes 1.4 times as long as one product after another, and so does its gradient.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, weight: torch.Tensor, x: torch.Tensor, at_once: bool) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.at_once = at_once  # type: ignore[attr-defined]
        return _products(x, weight.transpose(1, 2), at_once)

    @staticmethod
    def backward(ctx: BackwardCFunction, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return _products(gradient.transpose(1, 2), x, ctx.at_once), None, None  # type: ignore[attr-defined]


def _products(left: torch.Tensor, right: torch.Tensor, at_once: bool) -> torch.Tensor:
    """The products `[G, M, N]` of `[G, M, K]` and `[G, K, N]`."""
    if at_once:
        return torch.bmm(left, right)
    found = left.new_empty(len(left), left.shape[1], right.shape[2])
    for one, other, product in zip(left, right, found, strict=True):
        torch.mm(one, other, out=product)
    return found


def of_each_run(y: torch.Tensor, runs: int) -> torch.Tensor:
    """The labels `[R, B]` of R `runs`, of those `[G, B]` of their batches."""
    return y.repeat_interleave(runs // len(y), 0) if len(y) < runs else y


def losses(found: torch.Tensor, y: torch.Tensor, loss_weights: torch.Tensor | None) -> torch.Tensor:
    """Each run's mean cross-entropy `[R]` of scores `[R, B, C]` and class indices `y [R, B]`.

    Times its weight where there are `loss_weights`.
    """
    each = functional.cross_entropy(found.flatten(0, 1), y.flatten(), reduction="none")
    mean = each.view(y.shape).mean(1)
    return mean if loss_weights is None else mean * loss_weights


@dataclass(frozen=True)
class LwFPenalty:
    """LwF's penalty: the weights of the bucket before, and `alpha [R]`, `softness [R, 1, 1]` of each run.

    `classes` are those that it compares, None for all.
    """

    weights: Tensors
    temperature: torch.Tensor | None
    classes: torch.Tensor | None
    alpha: torch.Tensor
    softness: torch.Tensor

    @classmethod
    def of(cls, runs: Sequence[LwFTerm], temperature: torch.Tensor | None, device: torch.device) -> "LwFPenalty":
        """Of runs that have the same classes."""
        classes = runs[0].classes
        every = len(classes) == len(runs[0].weights[WEIGHT])
        return cls(
            stacked([run.weights for run in runs], device),
            temperature,
            None if every else torch.tensor(classes, device=device),
            numbers([run.alpha for run in runs], device),
            numbers([run.temperature for run in runs], device)[:, None, None],
        )

    def __call__(self, weights: Tensors, x: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """`[R]`, for scores `found [R, B, C]` of `x [G, B, D]`; as Avalanche's LearningWithoutForgetting."""
        with torch.no_grad():
            old = scores(self.weights, x, self.temperature)
            aims = torch.softmax(self._compared(old) / self.softness, dim=2)
        have = torch.log_softmax(self._compared(found) / self.softness, dim=2)
        divergence = functional.kl_div(have, aims, reduction="none").sum((1, 2)) / found.shape[1]
        return self.alpha * divergence

    def _compared(self, found: torch.Tensor) -> torch.Tensor:
        return found if self.classes is None else found.index_select(2, self.classes)


@dataclass(frozen=True)
class EWCPenalty:
    """EWC's penalty: weights and importances `[R, E, ...]` of E earlier buckets, and `strength [R]`."""

    weights: Tensors
    importances: Tensors
    strength: torch.Tensor

    @classmethod
    def of(cls, runs: Sequence[EWCTerm], device: torch.device) -> "EWCPenalty":
        """Of runs that have as many earlier buckets."""
        return cls(
            stacked([run.weights for run in runs], device),
            stacked([run.importances for run in runs], device),
            numbers([run.strength for run in runs], device),
        )

    def __call__(self, weights: Tensors, x: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """`[R]`, for the `weights` as they are now."""
        total = torch.zeros_like(self.strength)
        for name, weight in weights.items():
            distance = (weight[:, None] - self.weights[name]).square()
            total = total + (self.importances[name] * distance).flatten(1).sum(1)
        return self.strength * total


Penalty = LwFPenalty | EWCPenalty


@dataclass(frozen=True)
class Heads:
    """The heads of R runs: `weights` by name, each `[R, ...]`, and `[R]` what they and their losses are scaled by.

    Only cosine heads have a `temperature`, and without `loss_weights` each is 1.
    """

    weights: Tensors
    temperature: torch.Tensor | None
    loss_weights: torch.Tensor | None

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """As `scores` above."""
        return scores(self.weights, x, self.temperature)

    def gradients(
        self, x: torch.Tensor, y: torch.Tensor, penalties: Sequence[Penalty] = ()
    ) -> tuple[torch.Tensor, torch.Tensor, Sequence[torch.Tensor]]:
        """(scores `[R, B, C]`, losses `[R]` with the `penalties`, gradients of each of the weights) of batches.

        These are `x [G, B, D]` and their labels `y [R, B]`.
        """
        leaves = {name: weight.detach().requires_grad_() for name, weight in self.weights.items()}
        found = scores(leaves, x, self.temperature)
        loss = losses(found, y, self.loss_weights)
        for penalty in penalties:
            loss = loss + penalty(leaves, x, found)
        # Of the sum of the losses: no run's depends on another's weights.
        gradients = torch.autograd.grad(loss, list(leaves.values()), torch.ones_like(loss))
        return found.detach(), loss.detach(), gradients
