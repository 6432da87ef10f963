"""clearctl's heads, on the same base as mmcls's, but not in mmcls's global registry."""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from clearctl.models.openmmlab import ClsHead


class CosineLinear(nn.Linear):
    """`x [B, D]` → `temperature * cos(x, w_c)` `[B, C]` for the rows w_c of `weight [C, D]`; there is no bias."""

    def __init__(self, in_features: int, out_features: int, temperature: float) -> None:
        super().__init__(in_features, out_features, bias=False)
        self.temperature = temperature

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores `[B, C]`; a vector of zeros has cosine 0 to everything."""
        cosines = functional.linear(functional.normalize(x, dim=-1), functional.normalize(self.weight, dim=-1))
        return self.temperature * cosines


class VectorHead(ClsHead):
    """Base of heads on one vector `[B, in_channels]` per sample; their `fc` gives the scores `[B, num_classes]`.

    Of a multi-stage input the last stage is used, as by mmcls's LinearClsHead. Other arguments (`loss`, `topk`,
    `cal_acc`, `init_cfg`) are ClsHead's.
    """

    fc: nn.Module

    def __init__(self, num_classes: int, in_channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_classes < 1 or in_channels < 1:
            raise ValueError(f"num_classes={num_classes} and in_channels={in_channels} must be positive")
        self.num_classes = num_classes
        self.in_channels = in_channels

    def pre_logits(self, x: Any) -> Any:
        """The input of `fc`: here the features `[B, in_channels]` of the last stage."""
        return x[-1] if isinstance(x, tuple) else x

    def simple_test(self, x: Any, softmax: bool = True, post_process: bool = True) -> Any:
        """Scores `[B, num_classes]`, or with `softmax` probabilities; with `post_process` a list of numpy rows."""
        return super().simple_test(self.fc(self.pre_logits(x)), softmax=softmax, post_process=post_process)

    def forward_train(self, x: Any, gt_label: torch.Tensor, **kwargs: Any) -> Any:
        """mmcls's dict of losses for `gt_label [B]`."""
        return self.loss(self.fc(self.pre_logits(x)), gt_label, **kwargs)


class CosineDistanceHead(VectorHead):
    """Scores are `temperature` times the cosine between the features and each class's weight vector.

    The class weights are `fc.weight [num_classes, in_channels]`; only their direction counts. The temperature is
    fixed; its default is that of the published experiments.
    """

    def __init__(self, num_classes: int, in_channels: int, temperature: float = 2.0, **kwargs: Any) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be positive")
        self.fc = CosineLinear(in_channels, num_classes, temperature)


class RandomProjectionHead(VectorHead):
    """A linear layer on `relu(x P)`, with a fixed random projection P: RanPAC's (McDonnell et al., NeurIPS 2023).

    `projection [in_channels, projection_dim]` is drawn from the standard normal distribution when the network is built,
    as weights are, and is part of a checkpoint. 10,000 is the paper's dimension.
    """

    projection: torch.Tensor

    def __init__(self, num_classes: int, in_channels: int, projection_dim: int = 10000, **kwargs: Any) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        if projection_dim < 1:
            raise ValueError(f"projection_dim={projection_dim} must be positive")
        self.register_buffer("projection", torch.randn(in_channels, projection_dim))
        self.fc = nn.Linear(projection_dim, num_classes)

    def pre_logits(self, x: Any) -> Any:
        """The projected features `[B, projection_dim]`."""
        return functional.relu(super().pre_logits(x) @ self.projection)


class RandomFourierHead(VectorHead):
    """A linear layer on random Fourier features of the kernel `exp(-gamma |x - x'|²)` (Rahimi & Recht, NeurIPS 2007).

    They are `sqrt(2 / projection_dim) cos(x Ω + phase)`, with `projection` Ω `[in_channels, projection_dim]` of the
    variance `2 gamma`, and `phase [projection_dim]` uniform over a turn. Both are drawn when the network is built, as
    weights are, and are part of a checkpoint.
    """

    projection: torch.Tensor
    phase: torch.Tensor

    def __init__(
        self, num_classes: int, in_channels: int, projection_dim: int = 5000, gamma: float = 1e-4, **kwargs: Any
    ) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        if projection_dim < 1 or gamma <= 0:
            raise ValueError(f"projection_dim={projection_dim} and gamma={gamma} must be positive")
        self.register_buffer("projection", math.sqrt(2 * gamma) * torch.randn(in_channels, projection_dim))
        self.register_buffer("phase", 2 * math.pi * torch.rand(projection_dim))
        self.fc = nn.Linear(projection_dim, num_classes)

    def pre_logits(self, x: Any) -> Any:
        """The random Fourier features `[B, projection_dim]`."""
        turned = torch.addmm(self.phase, super().pre_logits(x), self.projection)
        return math.sqrt(2 / len(self.phase)) * torch.cos(turned)


class FeCAMHead(VectorHead):
    """Scores are minus the squared Mahalanobis distances to the class means, each by its class's own covariance.

    FeCAM's (Goswami et al., NeurIPS 2023), which the strategy of that name fills. `tukey` is the power that features
    are raised to before anything else, for which they must be at least 0; 1 leaves them as they are.
    """

    def __init__(self, num_classes: int, in_channels: int, tukey: float = 0.5, **kwargs: Any) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        if tukey <= 0:
            raise ValueError(f"tukey={tukey} must be positive")
        self.fc = MahalanobisLayer(in_channels, num_classes, tukey)


class MahalanobisLayer(nn.Module):
    """`x [B, D]` → `-(u - w_c)ᵀ P_c (u - w_c)` `[B, C]`, where u is x by Tukey's power and of length 1.

    `weight [C, D]` has the class means, `precision [C, D, D]` the inverses of their covariances. A class that is not
    `seen [C]` has the score UNSEEN.
    """

    UNSEEN = -1e30

    precision: torch.Tensor
    seen: torch.Tensor

    def __init__(self, in_features: int, out_features: int, tukey: float) -> None:
        super().__init__()
        self.tukey = tukey
        self.weight = nn.Parameter(torch.zeros(out_features, in_features))
        self.register_buffer("precision", torch.zeros(out_features, in_features, in_features))
        self.register_buffer("seen", torch.zeros(out_features, dtype=torch.bool))

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Tukey's power of `x [B, D]`, of numbers below 0 that of 0."""
        return x if self.tukey == 1 else x.clamp(min=0) ** self.tukey

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores `[B, C]`."""
        found = functional.normalize(self.transform(x), dim=-1)
        scores = []
        for mean, precision in zip(self.weight, self.precision, strict=True):
            apart = found - mean
            scores.append(-((apart @ precision) * apart).sum(dim=-1))
        return torch.stack(scores, dim=-1).masked_fill(~self.seen, self.UNSEEN)
