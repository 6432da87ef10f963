"""Heads of clearctl's own, beside mmcls's and on the same base, but not in mmcls's global registry."""

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


class CosineDistanceHead(ClsHead):
    """Scores are `temperature` times the cosine between the features and each class's weight vector.

    The class weights are `fc.weight [num_classes, in_channels]`; only their direction counts. The temperature is
    fixed; its default is that of the published experiments. Of a multi-stage input the last stage is used, as by
    mmcls's LinearClsHead. Other arguments (`loss`, `topk`, `cal_acc`, `init_cfg`) are ClsHead's.
    """

    def __init__(self, num_classes: int, in_channels: int, temperature: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_classes < 1 or in_channels < 1:
            raise ValueError(f"num_classes={num_classes} and in_channels={in_channels} must be positive")
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be positive")
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.fc = CosineLinear(in_channels, num_classes, temperature)

    def pre_logits(self, x: Any) -> Any:
        """The features `[B, in_channels]` of the last stage."""
        return x[-1] if isinstance(x, tuple) else x

    def simple_test(self, x: Any, softmax: bool = True, post_process: bool = True) -> Any:
        """Scores `[B, num_classes]`, or with `softmax` probabilities; with `post_process` a list of numpy rows."""
        return super().simple_test(self.fc(self.pre_logits(x)), softmax=softmax, post_process=post_process)

    def forward_train(self, x: Any, gt_label: torch.Tensor, **kwargs: Any) -> Any:
        """mmcls's dict of losses for `gt_label [B]`."""
        return self.loss(self.fc(self.pre_logits(x)), gt_label, **kwargs)
