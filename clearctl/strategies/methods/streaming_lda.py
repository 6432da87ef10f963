"""Streaming LDA, written into the head: a checkpoint holds what was learned, and any tool can test it."""

from collections.abc import Sequence

import torch
from avalanche.core import BasePlugin
from avalanche.training.supervised import StreamingLDA as AvalancheStreamingLDA
from torch import nn

from clearctl.strategies.methods.closed_form import idle_optimizer, require_linear
from clearctl.strategies.methods.head import Embedding, last_layer
from clearctl.strategies.strategy import MetricValues


class StreamingLDA(AvalancheStreamingLDA):
    """Deep streaming LDA (Hayes & Kanan, CVPR Workshops 2020) of the features that the head's last layer takes.

    Avalanche's takes a model without its head and keeps the discriminant next to it, out of every checkpoint. The
    discriminant is linear: here it is written into the head after each epoch. `num_classes` and `input_size` are the
    head's.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        criterion: nn.Module = nn.CrossEntropyLoss(),  # noqa: B008 it has no state; only reports use it
        num_classes: int | None = None,
        input_size: int | None = None,
        shrinkage_param: float = 1e-4,
        streaming_update_sigma: bool = True,
        train_epochs: int = 1,
        train_mb_size: int = 1,
        eval_mb_size: int = 1,
        device: torch.device | str = "cpu",
        plugins: Sequence[BasePlugin] | None = None,
        evaluator: MetricValues | None = None,
        eval_every: int = -1,
    ) -> None:
        layer = last_layer(model)[1]
        shape = tuple(layer.weight.shape)
        if (num_classes or shape[0], input_size or shape[1]) != shape:
            raise ValueError(f"the head has num_classes={shape[0]} and input_size={shape[1]}: leave both out")
        require_linear(model)
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

    def forward(self, return_features: bool = False) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
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

    def training_epoch(self, **kwargs: object) -> None:
        """Learn sample after sample, then write the head."""
        super().training_epoch(**kwargs)
        layer = last_layer(self.model)[1]
        with torch.no_grad():
            self.predict(torch.zeros(1, self.input_size, device=self.device))  # updates Lambda
            weight = self.Lambda @ self.muK.T  # [D, num_classes]
            layer.weight.copy_(weight.T)
            layer.bias.copy_(-0.5 * (self.muK.T * weight).sum(dim=0))
