"""Restores the best epoch of a bucket, if the config asks for it."""

import logging
from collections.abc import Mapping
from typing import Any

import torch
from avalanche.training.plugins import SupervisedPlugin

from clearctl.strategies.strategy import Strategy
from clearctl.strategies.watching.batch import BatchRecord
from clearctl.strategies.watching.validation import validate
from clearctl.wording import any_of

METRICS = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
_LOG = logging.getLogger(__name__)


class RestoreBestEpoch(SupervisedPlugin):
    """Restores, at the end of a bucket, the model after the epoch with the best loss or accuracy.

    That of training is the mean over the batches of an epoch while the weights change, penalties of the strategy
    included in the loss; that of validation is of the weights at the end of the epoch, on what `scenario.validation`
    holds out of the bucket. Of equal epochs the first counts. The published CLEAR experiments do this with the training
    accuracy. The strategy's own work at the end of a bucket (a copy of the model, importances, class means) follows
    after and sees the restored model. The optimizer's state stays as it is. `restored` is the latest epoch that was
    restored, from 1; the logger `clearctl.strategies.stepping.best_epoch` names each at level INFO.
    """

    def __init__(self, metric: str = "train_loss") -> None:
        super().__init__()
        if metric not in METRICS:
            raise ValueError(f"metric is {metric!r}, expected {any_of([repr(name) for name in METRICS])}")
        self.metric = metric
        self.restored: int | None = None

    def before_training_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Start a bucket."""
        self._epochs = 0
        self._best: tuple[float, int] | None = None
        self._weights: dict[str, torch.Tensor] = {}

    def after_training_epoch(self, strategy: Strategy, **kwargs: Any) -> None:
        """Keep the weights if the epoch is the best so far."""
        self._epochs += 1
        rank = self._rank(strategy, int(kwargs.get("num_workers", 0)))
        if self._best is None or rank > self._best[0]:
            self._best = (rank, self._epochs)
            self.keep(strategy.model.state_dict())

    def _rank(self, strategy: Strategy, workers: int) -> float:
        """The value of the epoch that has ended; the higher the better."""
        if self.metric.startswith("validation"):
            found = validate(strategy, workers)
            return -found.loss if self.metric == "validation_loss" else found.accuracy
        record = next(plugin for plugin in strategy.plugins if isinstance(plugin, BatchRecord))
        record.learned.read()
        total = record.learned.total
        return (-total.loss if self.metric == "train_loss" else total.right) / max(total.size, 1)

    @property
    def is_best(self) -> bool:
        """Whether the latest epoch is the best so far."""
        return self._best is not None and self._best[1] == self._epochs

    def keep(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take a copy of `weights` as those of the best epoch."""
        self._weights = {name: tensor.detach().clone() for name, tensor in weights.items()}

    def after_training_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Restore the weights of the best epoch."""
        if self._best is None:
            return
        rank, self.restored = self._best
        strategy.model.load_state_dict(self._weights)
        self._weights = {}
        _LOG.info(
            "bucket number %d ends with the weights of epoch %d of %d (%s %.6g)",
            strategy.experience.current_experience + 1,
            self.restored,
            self._epochs,
            self.metric,
            abs(rank),
        )
