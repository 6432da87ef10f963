"""Nearest class mean: the means of all features so far, as the head's weights."""

from typing import Any

import torch
from torch import nn

from clearctl.strategies.methods.closed_form import ClosedForm
from clearctl.strategies.methods.head import normalises_weights


class NCM(ClosedForm):
    """Nearest class mean (Mensink et al., TPAMI 2013) of all samples so far, in one pass and exactly.

    In a plain linear head `w_c = mean_c` and `b_c = -|mean_c|²/2`, so that the highest score is that of the nearest
    mean. A head with normalised weights (cosine) gets the normalised means, and has no bias. A class that has had no
    sample keeps its weights. It is Prototype with `cumulate=True`, in the bucket's own order.
    """

    def __init__(self, **others: Any) -> None:
        super().__init__(**others)
        self.moments = self.no_samples("float64", of="nothing")

    def add(self, features: torch.Tensor, y: torch.Tensor) -> None:
        """Add up the features of each class."""
        self.moments.add(features, y)

    def write_head(self) -> None:
        """Write the means."""
        write_means(self.layer, self.moments.means, self.moments.seen)


def write_means(layer: Any, means: torch.Tensor, seen: torch.Tensor) -> None:
    """Write class means `[C, D]` into a head's last layer, of the classes that are `seen [C]`."""
    means = means.to(layer.weight.dtype)
    if normalises_weights(layer):
        layer.weight.copy_(torch.where(seen[:, None], nn.functional.normalize(means), layer.weight))
        return
    layer.weight.copy_(torch.where(seen[:, None], means, layer.weight))
    if getattr(layer, "bias", None) is not None:
        layer.bias.copy_(torch.where(seen, -means.square().sum(dim=1) / 2, layer.bias))
