"""Kernel linear discriminant analysis, by random Fourier features."""

from typing import Any

import torch

from clearctl.models.heads import RandomFourierHead
from clearctl.strategies.methods.batch_slda import BatchSLDA
from clearctl.strategies.methods.closed_form import require_head
from clearctl.strategies.methods.moments import symmetric


class KLDA(BatchSLDA):
    """KLDA (Momeni, Mazumder & Liu, AAAI 2025): BatchSLDA on the random Fourier features of a RandomFourierHead.

    As in the authors' code (github.com/salehmomeni/klda) nothing shrinks the covariance, and its pseudo-inverse is
    taken: directions in which no class varies do not count. Theirs is the scatter, in float32; here it is divided by
    N, which changes no prediction, and computed in float64, without which the little that these features vary is
    lost in rounding. With a `shrinkage_param` above 0 it is BatchSLDA's inverse, which takes a fraction of the time.
    """

    def __init__(self, *, shrinkage_param: float = 0.0, accumulate: str = "float64", **others: Any) -> None:
        super().__init__(shrinkage_param=shrinkage_param, accumulate=accumulate, **others)
        require_head(self.model, RandomFourierHead)

    def solve(self, covariance: torch.Tensor, means: torch.Tensor) -> torch.Tensor | None:
        """`w_c` of all classes [D, C]."""
        if self.shrinkage_param > 0:
            return super().solve(covariance, means)
        return torch.linalg.pinv(symmetric(covariance), hermitian=True) @ means.T.to(covariance.dtype)
