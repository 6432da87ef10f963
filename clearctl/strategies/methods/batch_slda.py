"""Linear discriminant analysis of a stream, exact and in whole batches."""

from typing import Any

import torch

from clearctl.errors import ConfigError
from clearctl.strategies.methods.closed_form import ClosedForm, require_linear
from clearctl.strategies.methods.moments import solve_positive


class BatchSLDA(ClosedForm):
    """Linear discriminant analysis with one covariance for all classes, of all samples so far, in whole batches.

    The discriminant of deep streaming LDA (Hayes & Kanan, CVPR Workshops 2020):
    `Λ = [(1 - shrinkage_param) Σ + shrinkage_param I]⁻¹`, `w_c = Λ mean_c`, `b_c = -mean_cᵀ Λ mean_c / 2`.
    Here Σ is the covariance within the classes itself, their scatter over N, in whatever order samples come. The paper,
    and with it StreamingLDA, updates Σ sample by sample: the t-th sample, from 0, adds `t/(t+1) d dᵀ`, where d is its
    distance from its class's mean so far. Of its class's n samples before it, the scatter itself grows by
    `n/(n+1) d dᵀ`. So theirs is larger, mostly by the first sample of each class, whose mean so far is 0; the
    difference falls as 1/N. A class without samples has zeros, as there.
    """

    def __init__(self, *, shrinkage_param: float = 1e-4, accumulate: str = "float32", **others: Any) -> None:
        super().__init__(**others)
        require_linear(self.model)
        self.shrinkage_param = shrinkage_param
        self.moments = self.no_samples(accumulate)

    def add(self, features: torch.Tensor, y: torch.Tensor) -> None:
        """Add up features and their products."""
        self.moments.add(features, y)

    def write_head(self) -> None:
        """Write the discriminant. Raises ConfigError if the covariance is singular, and nothing shrinks it."""
        means = self.moments.means  # [C, D]
        covariance = self.moments.within().div_(self.moments.counts.sum())
        covariance.mul_(1 - self.shrinkage_param).diagonal().add_(self.shrinkage_param)
        weight = self.solve(covariance, means)
        if weight is None:
            raise ConfigError(
                f"cl_strategy.shrinkage_param: found {self.shrinkage_param:g}, for which the covariance of"
                f" {int(self.moments.counts.sum())} samples of {len(covariance)} numbers is singular\n"
                "give a larger value, such as 1e-4"
            )
        self.layer.weight.copy_(weight.T)
        self.layer.bias.copy_(-0.5 * (means.T * weight).sum(dim=0))

    def solve(self, covariance: torch.Tensor, means: torch.Tensor) -> torch.Tensor | None:
        """`w_c` of all classes [D, C], of means [C, D] and the upper triangle of the shrunk covariance [D, D].

        None if that is singular.
        """
        return solve_positive(covariance, means.T)
