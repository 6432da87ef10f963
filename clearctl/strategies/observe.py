"""Plugins that watch a strategy and change nothing: the accuracy of each bucket, and progress events."""

import time
from collections.abc import Callable
from typing import Any

import torch
from avalanche.training.plugins import SupervisedPlugin

from clearctl.progress import Counted, EpochDone, Listener, TrainStep

PERIOD_S = 0.1


class BucketAccuracy(SupervisedPlugin):
    """Counts right answers of each tested bucket, exactly, whatever metrics the config names.

    `accuracies` {experience number: accuracy} belongs to the latest evaluation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.accuracies: dict[int, float] = {}

    def before_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Start counting a bucket."""
        self._right = torch.zeros((), dtype=torch.int64, device=strategy.device)
        self._seen = 0

    def after_eval_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Count a batch; the sum stays on the device."""
        self._right += (strategy.mb_output.argmax(dim=1) == strategy.mb_y).sum()
        self._seen += len(strategy.mb_y)

    def after_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Store the bucket's accuracy."""
        self.accuracies[strategy.experience.current_experience] = int(self._right) / self._seen


class ProgressReporter(SupervisedPlugin):
    """Sends TrainStep (at most every 0.1 s), EpochDone and Counted events while a strategy trains and evaluates.

    Loss and accuracy are running means over the epoch; they are read from the device only when an event is sent.
    `on_epoch` is called with each EpochDone and the learning rate that the epoch started with.
    """

    def __init__(
        self, bucket_names: list[str], listener: Listener, on_epoch: Callable[[EpochDone, float], None]
    ) -> None:
        super().__init__()
        self.bucket_names = bucket_names
        self.listener = listener
        self.on_epoch = on_epoch
        self._sent_at = 0.0

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Start counting a bucket's epochs."""
        self._epoch = 0

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Start the epoch's means."""
        self._epoch += 1
        self._started_at = time.perf_counter()
        self._lr = strategy.optimizer.param_groups[0]["lr"]  # read here: a scheduler steps before the epoch's event
        self._loss_sum = torch.zeros((), device=strategy.device)
        self._right = torch.zeros((), dtype=torch.int64, device=strategy.device)
        self._seen = self._steps = 0

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Add a batch to the means, and send them if the last event is long enough ago."""
        batch = len(strategy.mb_y)
        self._loss_sum += strategy.loss.detach().sum() * batch  # Avalanche's loss has shape [1]
        self._right += (strategy.mb_output.detach().argmax(dim=1) == strategy.mb_y).sum()
        self._seen += batch
        self._steps += 1
        if time.perf_counter() - self._sent_at < PERIOD_S:
            return
        self._sent_at = time.perf_counter()
        loss, accuracy = self._means()
        self.listener(
            TrainStep(
                **self._place(strategy),
                step=self._steps,
                num_steps=len(strategy.dataloader),
                num_samples=self._seen,
                seconds=time.perf_counter() - self._started_at,
                loss=loss,
                accuracy=accuracy,
            )
        )

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Send the epoch's means."""
        loss, accuracy = self._means()
        done = EpochDone(
            **self._place(strategy),
            num_samples=self._seen,
            seconds=time.perf_counter() - self._started_at,
            loss=loss,
            accuracy=accuracy,
        )
        self.on_epoch(done, self._lr)
        self.listener(done)

    def before_eval(self, strategy: Any, **kwargs: Any) -> None:
        """Start counting evaluated samples."""
        self._evaluated = 0
        self._to_evaluate = sum(len(experience.dataset) for experience in strategy.current_eval_stream)

    def after_eval_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Count a batch, and send the count if the last event is long enough ago."""
        self._evaluated += len(strategy.mb_y)
        now = time.perf_counter()
        if now - self._sent_at >= PERIOD_S or self._evaluated == self._to_evaluate:
            self._sent_at = now
            self.listener(Counted("testing every bucket", self._evaluated, self._to_evaluate, "samples"))

    def _means(self) -> tuple[float, float]:
        seen = max(self._seen, 1)
        return float(self._loss_sum) / seen, int(self._right) / seen

    def _place(self, strategy: Any) -> dict[str, Any]:
        number = strategy.experience.current_experience
        return {
            "bucket": self.bucket_names[number],
            "bucket_number": number + 1,
            "num_buckets": len(self.bucket_names),
            "epoch": self._epoch,
            "num_epochs": strategy.train_epochs,
        }
