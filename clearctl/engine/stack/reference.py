"""A-GEM for several runs at once: the gradients of their memories, and those of their batches corrected by them."""

from collections.abc import Sequence

import torch
from torch.nn import functional

from clearctl.engine.stack.features import Features
from clearctl.engine.stack.heads import BIAS, WEIGHT, Heads, of_each_run


@torch.no_grad()
def reference_gradients(heads: Heads, features: Features, rows: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    """The gradients, `[R, ...]` of each of the weights, of the mean loss of samples: `rows` and labels `y`, `[G, M]`.

    A CPU computes one group of runs after another, in the same memory: M samples are far more than its caches hold.
    Autograd would keep the samples of all groups until its backward pass.
    """
    runs = len(heads.weights[WEIGHT]) // len(rows)  # that share samples
    sums = {name: torch.zeros_like(weight) for name, weight in heads.weights.items()}
    at_once = len(rows) if rows.is_cuda else 1
    for first in range(0, len(rows), at_once):
        groups = slice(first, first + at_once)
        members = slice(groups.start * runs, groups.stop * runs)
        part = heads.of(members)
        x = features.take(rows[groups])  # [g, M, D]
        errors = part.scores(x).softmax(2)  # [g * runs, M, C], first the probabilities
        labels = of_each_run(y[groups], len(errors))[..., None]
        errors.scatter_add_(2, labels, errors.new_full((1, 1, 1), -1.0).expand_as(labels))
        if part.temperature is not None:
            errors *= part.temperature[:, None, None]
        _add_products(sums[WEIGHT][members], errors, x)
        if BIAS in sums:
            sums[BIAS][members] += errors.sum(1)
    scale = torch.full((len(sums[WEIGHT]),), 1 / rows.shape[1], device=rows.device)
    if heads.loss_weights is not None:
        scale = scale * heads.loss_weights
    found = [value.mul_(scale.view(-1, *[1] * (value.ndim - 1))) for value in sums.values()]
    if heads.temperature is None:
        return found
    return [_through_normalize(heads.weights[WEIGHT], gradient) for gradient in found]  # a cosine head has no bias


def _add_products(sums: torch.Tensor, errors: torch.Tensor, x: torch.Tensor) -> None:
    """Add `errors[r].T @ x` to the `sums [R, C, D]` of the runs of `errors [R, B, C]` and `x [G, B, D]`."""
    columns = errors.transpose(1, 2).reshape(len(x), -1, x.shape[1])  # [G, R/G * C, B]
    into = sums.view(len(x), -1, x.shape[2])
    if len(x) == 1:
        into[0].addmm_(columns[0], x[0])
    else:
        into.baddbmm_(columns, x)


def _through_normalize(weight: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """The gradient of `weight [R, C, D]`, of that of its rows of length 1."""
    leaf = weight.detach().requires_grad_()
    with torch.enable_grad():
        (found,) = torch.autograd.grad(functional.normalize(leaf, dim=-1), leaf, gradient)
    return found


def projected(gradients: Sequence[torch.Tensor], references: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The `gradients`, `[R, ...]` of each of the weights; without the part that contradicts a run's `references`.

    As `AGEMPlugin.after_backward`.
    """

    def dot(left: Sequence[torch.Tensor], right: Sequence[torch.Tensor]) -> torch.Tensor:
        products = [torch.linalg.vecdot(a.flatten(1), b.flatten(1)) for a, b in zip(left, right, strict=True)]
        return torch.stack(products).sum(0)  # [R]

    product, square = dot(gradients, references), dot(references, references)
    share = torch.where((product < 0) & (square > 0), product / square, torch.zeros_like(product))
    return [
        gradient - share.view(-1, *[1] * (gradient.ndim - 1)) * reference
        for gradient, reference in zip(gradients, references, strict=True)
    ]
