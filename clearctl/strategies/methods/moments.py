"""Sums over samples, from which class means, covariances and regressions follow.

Sums do not depend on the order of the samples, nor on how they are divided into batches and buckets: what is solved
from them after bucket k is what one would solve from all samples of the buckets up to k at once. N samples, C classes,
features of width D.
"""

from typing import Literal

import torch

Of = Literal["nothing", "all", "classes"]

BLOCK = 256  # columns of the product that are computed at once: half of it, its lower triangle, never is


class Moments:
    """`counts` [C] and `sums` [C, D] of the features of each class, and sums of their products `x xᵀ`.

    `products` is [D, D] over all samples, [C, D, D] of each class, or None, by `of`. Only its upper triangle is filled.
    It is summed in `dtype`; counts and sums are float64, where each batch's part of a sum has been rounded to `dtype`.
    """

    def __init__(
        self,
        classes: int,
        width: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        of: Of = "all",
    ) -> None:
        self.dtype = dtype
        self.counts = torch.zeros(classes, dtype=torch.float64, device=device)
        self.sums = torch.zeros(classes, width, dtype=torch.float64, device=device)
        shapes = {"nothing": None, "all": (width, width), "classes": (classes, width, width)}
        shape = shapes[of]
        self.products = None if shape is None else torch.zeros(shape, dtype=dtype, device=device)

    def add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Add samples: features `x [B, D]` and class indices `y [B]`."""
        x = x.to(self.dtype)
        # Not one_hot and bincount, which read the largest label from the device; and a product is deterministic there.
        of_class = (y[:, None] == torch.arange(len(self.counts), device=y.device)).to(self.dtype)  # [B, C]
        self.counts += of_class.sum(dim=0)
        self.sums += of_class.T @ x
        if self.products is None:
            return
        if self.products.ndim == 2:
            _add_products(self.products, x)
            return
        for target in sorted(set(y.tolist())):
            _add_products(self.products[target], x[y == target])

    def merge(self, other: "Moments") -> None:
        """Add the samples of `other`."""
        self.counts += other.counts
        self.sums += other.sums
        if self.products is not None and other.products is not None:
            self.products += other.products

    @property
    def seen(self) -> torch.Tensor:
        """[C] bool: the classes that have had a sample."""
        return self.counts > 0

    @property
    def means(self) -> torch.Tensor:
        """[C, D] float64; zeros for a class without samples."""
        return self.sums / self.counts.clamp(min=1)[:, None]

    def gram(self) -> torch.Tensor:
        """G, the sum of `x xᵀ` over all samples: [D, D], of which the upper triangle is filled."""
        assert self.products is not None
        return self.products.clone()

    def within(self) -> torch.Tensor:
        """The scatter within the classes, the sum of `(x - mean)(x - mean)ᵀ` with the mean of x's class: [D, D].

        Its upper triangle is filled.
        """
        scaled = (self.means * self.counts.sqrt()[:, None]).to(self.dtype)
        return torch.addmm(self.gram(), scaled.T, scaled, alpha=-1)


def _add_products(total: torch.Tensor, x: torch.Tensor) -> None:
    """Add `xᵀ x` of `x [B, D]` to the upper triangle of `total` [D, D], block by block."""
    for start in range(0, len(total), BLOCK):
        end = start + BLOCK
        total[start:end, start:].addmm_(x[:, start:end].T, x[:, start:])


def symmetric(upper: torch.Tensor) -> torch.Tensor:
    """A copy of `upper` [D, D] whose lower triangle mirrors the upper one."""
    full = upper.triu()
    full += upper.triu(1).T
    return full


def solve_positive(upper: torch.Tensor, right: torch.Tensor) -> torch.Tensor | None:
    """The solution [D, C] of `matrix @ solution = right`, by Cholesky; None if the matrix is not positive definite.

    The matrix is given by its `upper` triangle [D, D]: LAPACK reads the lower one alone, of the transpose, which has
    its order of numbers too. It is computed in that dtype, and again in float64 if rounding alone keeps the
    matrix from being positive definite.
    """
    factor, info = torch.linalg.cholesky_ex(upper.T)
    if not info:
        return torch.cholesky_solve(right.to(upper.dtype), factor)
    return solve_positive(upper.double(), right) if upper.dtype != torch.float64 else None
