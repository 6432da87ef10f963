"""The heads of several runs as one batched head.

R runs, B samples a batch, D numbers a sample, C classes. Runs with the same samples share a batch: there are G batches,
each of R/G consecutive runs, and G is R if no runs share.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.autograd.function import BackwardCFunction, FunctionCtx
from torch.nn import functional

from clearctl.strategies.lockstep import Tensors

# A term `[R]` of the losses, computed from the weights, a batch and its scores.
Penalty = Callable[[Tensors, torch.Tensor, torch.Tensor], torch.Tensor]
WEIGHT, BIAS = "head.fc.weight", "head.fc.bias"


def stacked(parts: Sequence[Tensors], device: torch.device) -> Tensors:
    """Weights `[...]` of each run as `[R, ...]` on `device`, a copy."""
    return {name: torch.stack([part[name].detach() for part in parts]).to(device) for name in parts[0]}


def numbers(values: Sequence[float], device: torch.device) -> torch.Tensor:
    """A number for each run, `[R] float32`."""
    return torch.tensor(values, dtype=torch.float32, device=device)


def scores(weights: Tensors, x: torch.Tensor, temperature: torch.Tensor | None) -> torch.Tensor:
    """Class scores `[R, B, C]` of the batches `x [G, B, D]`.

    With a `temperature` `[R]` the heads are cosine heads, and the samples are normalized already.
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
    """`x [G, B, D] @ weight [G, K, D].T`, with a gradient of the weights only; `at_once` as one batched product.

    On a CPU a batched product takes 1.4 times as long as one product after another, and so does its gradient.
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
    """The labels `[R, B]` of R `runs`, from those `[G, B]` of their batches."""
    return y.repeat_interleave(runs // len(y), 0) if len(y) < runs else y


def losses(found: torch.Tensor, y: torch.Tensor, loss_weights: torch.Tensor | None) -> torch.Tensor:
    """Each run's mean cross-entropy `[R]` of scores `[R, B, C]` and class indices `y [R, B]`, times its loss weight."""
    each = functional.cross_entropy(found.flatten(0, 1), y.flatten(), reduction="none")
    mean = each.view(y.shape).mean(1)
    return mean if loss_weights is None else mean * loss_weights


@dataclass(frozen=True)
class Heads:
    """The heads of R runs: `weights` by name, each `[R, ...]`.

    `temperature [R]` multiplies the scores of cosine heads, `loss_weights [R]` the losses; None is 1 for each run.
    """

    weights: Tensors
    temperature: torch.Tensor | None
    loss_weights: torch.Tensor | None

    def of(self, runs: slice) -> "Heads":
        """The heads of some of the runs, as views."""
        temperature = None if self.temperature is None else self.temperature[runs]
        loss_weights = None if self.loss_weights is None else self.loss_weights[runs]
        return Heads({name: weight[runs] for name, weight in self.weights.items()}, temperature, loss_weights)

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
