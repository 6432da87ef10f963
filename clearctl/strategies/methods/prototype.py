"""Class means as the head's weights: a checkpoint holds what was learned, and any tool can test it."""

from typing import Any

import torch
from torch import nn

from clearctl.strategies.methods.closed_form import OnePass, forward_passes
from clearctl.strategies.methods.head import last_layer, normalises_weights


class Prototype(OnePass):
    """Class means of the features as the head's weights: nearest class mean, in one pass and without SGD.

    With `cumulate` the means run over all buckets so far, else over the latest one. A head with normalised weights
    (cosine) gets the normalised means. In a plain linear head the bias, if there is one, becomes -|mean|²/2, which
    makes the highest score that of the nearest mean (Snell et al., NeurIPS 2017, equation 8). A class that has had no
    sample keeps its weights. Features are taken in eval mode, of the train transform's samples.
    """

    def __init__(self, *, cumulate: bool = False, **others: Any) -> None:
        super().__init__(**others)
        self.cumulate = cumulate
        weight = last_layer(self.model)[1].weight
        self.sums = torch.zeros(weight.shape, dtype=torch.float64, device=self.device)  # [num_classes, D]
        self.counts = torch.zeros(len(weight), dtype=torch.int64, device=self.device)

    @torch.no_grad()
    def training_epoch(self, **kwargs: object) -> None:
        """Add up the features of each class, then write the head."""
        self.model.eval()
        if not self.cumulate:
            self.sums.zero_()
            self.counts.zero_()
        for features in forward_passes(self, self.embedding, **kwargs):
            self.sums.index_add_(0, self.mb_y, features.to(self.sums.dtype))
            # Not bincount, which reads the largest label from the device.
            self.counts.index_add_(0, self.mb_y, torch.ones_like(self.mb_y))
        self._write_head()

    def _write_head(self) -> None:
        layer = last_layer(self.model)[1]
        seen = self.counts > 0
        means = (self.sums[seen] / self.counts[seen, None]).to(layer.weight.dtype)
        if normalises_weights(layer):
            layer.weight[seen] = nn.functional.normalize(means)
            return
        layer.weight[seen] = means
        if getattr(layer, "bias", None) is not None:
            layer.bias[seen] = -means.square().sum(dim=1) / 2
