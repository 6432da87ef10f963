"""Class means as the head's weights: a checkpoint holds what was learned, and any tool can test it."""

from collections.abc import Sequence

import torch
from avalanche.core import BasePlugin
from avalanche.training.templates import SupervisedTemplate
from torch import nn

from clearctl.strategies.methods.closed_form import forward_passes, idle_optimizer
from clearctl.strategies.methods.head import Embedding, last_layer, normalises_weights
from clearctl.strategies.strategy import MetricValues


class Prototype(SupervisedTemplate):
    """Class means of the features as the head's weights: nearest class mean, in one pass and without SGD.

    With `cumulate` the means run over all buckets so far, else over the latest one. A head with normalised weights
    (cosine) gets the normalised means. In a plain linear head the bias, if there is one, becomes -|mean|²/2, which
    makes the highest score that of the nearest mean (Snell et al., NeurIPS 2017, equation 8). A class that has had no
    sample keeps its weights. Features are taken in eval mode, of the train transform's samples.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        cumulate: bool = False,
        criterion: nn.Module = nn.CrossEntropyLoss(),  # noqa: B008 it has no state; only reports use it
        train_mb_size: int = 1,
        eval_mb_size: int | None = None,
        device: torch.device | str = "cpu",
        plugins: Sequence[BasePlugin] | None = None,
        evaluator: MetricValues | None = None,
        eval_every: int = -1,
    ) -> None:
        super().__init__(
            model=model,
            optimizer=idle_optimizer(model),
            criterion=criterion,
            train_mb_size=train_mb_size,
            train_epochs=1,
            eval_mb_size=eval_mb_size,
            device=device,
            plugins=plugins,
            evaluator=evaluator,
            eval_every=eval_every,
        )
        self.cumulate = cumulate
        self.embedding = Embedding(model)
        weight = last_layer(model)[1].weight
        self.sums = torch.zeros(weight.shape, dtype=torch.float64, device=self.device)  # [num_classes, D]
        self.counts = torch.zeros(len(weight), dtype=torch.int64, device=self.device)

    def make_optimizer(self, **kwargs: object) -> None:
        """Nothing is optimized."""

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
