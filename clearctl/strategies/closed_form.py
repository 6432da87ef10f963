"""Strategies that fit the head in closed form, without gradients: class means and streaming LDA.

Both end in the weights of the model's last layer, so that a checkpoint holds what was learned and any tool can test it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from avalanche.training.supervised import StreamingLDA as AvalancheStreamingLDA
from avalanche.training.templates import SupervisedTemplate
from torch import nn

from clearctl.strategies.head import Embedding, last_layer, normalises_weights


def idle_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """An optimizer that never steps, at lr 0: whatever watches a strategy reads its learning rate."""
    return torch.optim.SGD(model.parameters(), lr=0.0)


class Prototype(SupervisedTemplate):
    """Class means of the features as the head's weights: nearest class mean, in one pass and without SGD.

    With `cumulate` the means run over all buckets so far, else over the latest one. A head with normalised weights
    (cosine) gets the normalised means. In a plain linear head the bias, where there is one, becomes -|mean|²/2, which
    makes the highest score that of the nearest mean (Snell et al., NeurIPS 2017, equation 8). A class that has had no
    sample keeps its weights. Features are taken in eval mode, of the train transform's samples.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        cumulate: bool = False,
        criterion: Any = nn.CrossEntropyLoss(),  # noqa: B008 it has no state; only reports use it
        train_mb_size: int = 1,
        eval_mb_size: int | None = None,
        device: Any = "cpu",
        plugins: Sequence[Any] | None = None,
        evaluator: Any = None,
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

    def make_optimizer(self, **kwargs: Any) -> None:
        """Nothing is optimized."""

    @torch.no_grad()
    def training_epoch(self, **kwargs: Any) -> None:
        """Add up the features of each class, then write the head."""
        self.model.eval()
        if not self.cumulate:
            self.sums.zero_()
            self.counts.zero_()
        for features in _forward_passes(self, **kwargs):
            self.sums.index_add_(0, self.mb_y, features.to(self.sums.dtype))
            self.counts += torch.bincount(self.mb_y, minlength=len(self.counts))
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


class StreamingLDA(AvalancheStreamingLDA):
    """Deep streaming LDA (Hayes & Kanan, CVPR Workshops 2020) of the features that the head's last layer takes.

    Avalanche's takes a model without its head and keeps the discriminant beside it, out of every checkpoint. The
    discriminant is linear: here it is written into the head after each epoch. `num_classes` and `input_size` are the
    head's.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        criterion: Any = nn.CrossEntropyLoss(),  # noqa: B008 it has no state; only reports use it
        num_classes: int | None = None,
        input_size: int | None = None,
        shrinkage_param: float = 1e-4,
        streaming_update_sigma: bool = True,
        train_epochs: int = 1,
        train_mb_size: int = 1,
        eval_mb_size: int = 1,
        device: Any = "cpu",
        plugins: Sequence[Any] | None = None,
        evaluator: Any = None,
        eval_every: int = -1,
    ) -> None:
        layer = last_layer(model)[1]
        shape = tuple(layer.weight.shape)
        if (num_classes or shape[0], input_size or shape[1]) != shape:
            raise ValueError(f"the head has num_classes={shape[0]} and input_size={shape[1]}: leave both out")
        if getattr(layer, "bias", None) is None or normalises_weights(layer):
            raise ValueError("it needs a head that ends in a plain linear layer with a bias")
        super().__init__(
            slda_model=model,
            criterion=criterion,
            input_size=shape[1],
            num_classes=shape[0],
            shrinkage_param=shrinkage_param,
            streaming_update_sigma=streaming_update_sigma,
            train_epochs=train_epochs,
            train_mb_size=train_mb_size,
            eval_mb_size=eval_mb_size,
            device=device,
            plugins=plugins,
            evaluator=evaluator,
            eval_every=eval_every,
        )
        self.optimizer = idle_optimizer(model)
        self.embedding = Embedding(model)

    def forward(self, return_features: bool = False) -> Any:
        """The discriminant's scores while it learns, the head's (the same, written down) while it is tested."""
        self.model.eval()
        if not self.is_training:
            return self.model(self.mb_x)
        with torch.no_grad():
            features = self.embedding(self.mb_x)
        scores = self.predict(features)
        return (scores, features) if return_features else scores

    def _check_plugin_compatibility(self) -> None:
        """Nothing: Avalanche's warns of every plugin, as each inherits the backward callbacks, which do nothing."""

    def training_epoch(self, **kwargs: Any) -> None:
        """Learn sample after sample, then write the head."""
        super().training_epoch(**kwargs)
        layer = last_layer(self.model)[1]
        with torch.no_grad():
            self.predict(torch.zeros(1, self.input_size, device=self.device))  # brings Lambda up to date
            weight = self.Lambda @ self.muK.T  # [D, num_classes]
            layer.weight.copy_(weight.T)
            layer.bias.copy_(-0.5 * (self.muK.T * weight).sum(dim=0))


def _forward_passes(strategy: Any, **kwargs: Any) -> Iterator[torch.Tensor]:
    """One pass over the data with all callbacks but those of the backward step; yields each batch's features."""
    for batch in strategy.dataloader:
        strategy.mbatch = batch
        strategy._unpack_minibatch()
        strategy._before_training_iteration(**kwargs)
        strategy.loss = strategy._make_empty_loss()
        strategy._before_forward(**kwargs)
        strategy.mb_output, features = strategy.embedding.scores(strategy.mb_x)
        strategy._after_forward(**kwargs)
        strategy.loss += strategy.criterion()
        yield features
        strategy._after_training_iteration(**kwargs)
