"""Going back to the best epoch of a bucket, where a config asks for it."""

import logging
from typing import Any

import torch
from avalanche.training.plugins import SupervisedPlugin

METRICS = ("train_loss", "train_accuracy")
_LOG = logging.getLogger(__name__)


class RestoreBestEpoch(SupervisedPlugin):
    """At a bucket's end, restores the model as it was after the epoch with the best training loss or accuracy.

    The value of an epoch is the mean over its batches while the weights change, penalties of the strategy included
    in the loss; of equal epochs the first counts. The strategy's own work at the bucket's end (a copy of the model,
    importances, class means) follows after and sees the restored model. The optimizer's state stays as it is.
    Each restoration is told by a warning of the logger `clearctl.strategies.restore`; `restored` is the latest
    epoch gone back to, from 1.
    """

    def __init__(self, metric: str = "train_loss") -> None:
        super().__init__()
        if metric not in METRICS:
            raise ValueError(f"metric is {metric!r}, expected 'train_loss' or 'train_accuracy'")
        self.metric = metric
        self.restored: int | None = None

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Start a bucket."""
        self._epochs = 0
        self._best: tuple[float, int] | None = None
        self._weights: dict[str, torch.Tensor] = {}

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Start an epoch's mean."""
        self._sum: torch.Tensor = torch.zeros((), device=strategy.device)
        self._seen = 0

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Add a batch to the mean; it stays on the device."""
        batch = len(strategy.mb_y)
        if self.metric == "train_loss":
            self._sum += strategy.loss.detach().sum() * batch
        else:
            self._sum += (strategy.mb_output.detach().argmax(dim=1) == strategy.mb_y).sum()
        self._seen += batch

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Keep the weights if the epoch is the best so far."""
        self._epochs += 1
        value = float(self._sum) / max(self._seen, 1)
        rank = -value if self.metric == "train_loss" else value
        if self._best is None or rank > self._best[0]:
            self._best = (rank, self._epochs)
            self._weights = {name: tensor.detach().clone() for name, tensor in strategy.model.state_dict().items()}

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Put the best epoch's weights back and tell it."""
        if self._best is None:
            return
        rank, self.restored = self._best
        strategy.model.load_state_dict(self._weights)
        self._weights = {}
        _LOG.warning(
            "RestoreBestEpoch: bucket number %d goes on with the weights of epoch %d of %d (%s %.6g)",
            strategy.experience.current_experience + 1,
            self.restored,
            self._epochs,
            self.metric,
            abs(rank),
        )
