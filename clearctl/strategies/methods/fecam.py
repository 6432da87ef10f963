"""FeCAM: the class whose mean is nearest by the Mahalanobis distance of its own covariance."""

from typing import Any

import torch
from torch import nn

from clearctl.errors import ConfigError
from clearctl.models.heads import FeCAMHead
from clearctl.strategies.methods.closed_form import ClosedForm, require_head
from clearctl.strategies.methods.moments import symmetric


class FeCAM(ClosedForm):
    """FeCAM (Goswami et al., NeurIPS 2023): Mahalanobis distances with a covariance for each class, on a FeCAMHead.

    Features are raised to Tukey's power; means and covariances are of those. Each covariance is shrunk twice, by
    `Σ + shrink1 V1 I + shrink2 V2 (1 - I)` with the means V1 of its diagonal and V2 of its other numbers that are not
    0, and with `covnorm` divided by its standard deviations; distances are between vectors of length 1. Names and
    defaults are Avalanche's FeCAMClassifier's, which follows the authors' code (github.com/dipamgoswami/FeCAM) except
    for the means, which there are taken before the power. For classes that come again the authors average the shrunk
    covariances of the buckets, and Avalanche halves means and covariances with the latest; here both are those of all
    samples so far. A class counts from its second sample on.
    """

    def __init__(
        self,
        *,
        shrink1: float = 1.0,
        shrink2: float = 1.0,
        covnorm: bool = True,
        accumulate: str = "float32",
        **others: Any,
    ) -> None:
        super().__init__(**others)
        require_head(self.model, FeCAMHead)
        self.shrink1 = shrink1
        self.shrink2 = shrink2
        self.covnorm = covnorm
        self.moments = self.no_samples(accumulate, of="classes")
        self.least = torch.zeros((), device=self.device)  # of all features so far, and 0

    def add(self, features: torch.Tensor, y: torch.Tensor) -> None:
        """Add up the transformed features and their products, of each class."""
        self.least = torch.minimum(self.least, features.min())
        self.moments.add(self.layer.transform(features), y)

    def write_head(self) -> None:
        """Write means and inverse covariances. Raises ConfigError if there is none."""
        self._require_transformable()
        layer, moments = self.layer, self.moments
        assert moments.products is not None
        means = moments.means
        varied = moments.counts >= 2
        if not varied.any():
            raise ConfigError(
                "cl_strategy.type: FeCAM needs a class with two samples for a covariance, but found none so far\n"
                "use NCM or BatchSLDA"
            )
        for target in torch.nonzero(varied).flatten().tolist():
            count = float(moments.counts[target])
            mean = means[target].to(moments.dtype)
            scatter = symmetric(moments.products[target]).addr_(mean, mean, alpha=-count)
            precision = self._inverse(scatter.div_(count - 1))
            layer.precision[target] = precision
            layer.weight[target] = nn.functional.normalize(mean, dim=0)
        layer.seen.copy_(varied)

    def _require_transformable(self) -> None:
        if self.layer.tukey != 1 and self.least < 0:
            raise ConfigError(
                f"model.head.tukey: found {self.layer.tukey:g}, a power, but some features are negative, as low as"
                f" {float(self.least):.3g}\ngive tukey=1.0, which leaves features unchanged, as in the paper for ViTs"
            )

    def _inverse(self, covariance: torch.Tensor) -> torch.Tensor:
        """The inverse of a covariance [D, D], once it is shrunk and normalised."""
        covariance = shrunk(shrunk(covariance, self.shrink1, self.shrink2), self.shrink1, self.shrink2)
        if self.covnorm:
            deviations = covariance.diagonal().sqrt()
            covariance = covariance / torch.outer(deviations, deviations)
        factor, info = torch.linalg.cholesky_ex(covariance)
        if info or not factor.isfinite().all():
            raise ConfigError(
                f"cl_strategy.shrink1: found {self.shrink1:g}, for which a covariance is singular: give a larger value"
            )
        return torch.cholesky_inverse(factor)


def shrunk(covariance: torch.Tensor, shrink1: float, shrink2: float) -> torch.Tensor:
    """A covariance [D, D] with more of its mean variance, and of its mean covariance."""
    diagonal = covariance.diagonal()
    others = covariance.sum() - diagonal.sum()
    count = (covariance != 0).sum() - (diagonal != 0).sum()
    mean_other = others / count.clamp(min=1)
    more = covariance + shrink2 * mean_other
    more.diagonal().add_(shrink1 * diagonal.mean() - shrink2 * mean_other)
    return more
