"""Plugins that observe a strategy without changing it: the accuracy of each bucket, and progress events."""

import time
from collections.abc import Callable
from typing import Any

from avalanche.training.plugins import SupervisedPlugin

from clearctl.progress import Counted, EpochDone, Listener, TrainStep
from clearctl.strategies.strategy import Strategy
from clearctl.strategies.watching.batch import BatchRecord

OnEpoch = Callable[[EpochDone, float], None]


class BucketAccuracy(SupervisedPlugin):
    """Counts right answers of each tested bucket, exactly, whatever metrics the config names.

    `accuracies` {experience number: accuracy} belongs to the latest evaluation.
    """

    def __init__(self, record: BatchRecord) -> None:
        super().__init__()
        self.record = record
        self.accuracies: dict[int, float] = {}

    def after_eval_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Store the bucket's accuracy."""
        self.record.tested.read()
        total = self.record.tested.total
        self.accuracies[strategy.experience.current_experience] = total.right / total.size


class ProgressReporter(SupervisedPlugin):
    """Sends TrainStep (at most every 0.1 s), EpochDone and Counted events while a strategy trains and evaluates.

    Loss and accuracy are means over the epoch so far; they are read from the device only when an event is sent.
    `on_epoch` is called with each EpochDone and the learning rate that the epoch started with.
    """

    def __init__(
        self, record: BatchRecord, bucket_names: list[str], listener: Listener, on_epoch: OnEpoch | None
    ) -> None:
        super().__init__()
        self.record = record
        self.bucket_names = bucket_names
        self.listener = listener
        self.on_epoch = on_epoch
        self._started_at = self._test_began_at = time.perf_counter()
        record.watchers.append(self._report)

    def before_training_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Start counting a bucket's epochs."""
        self._epoch = 0

    def before_training_epoch(self, strategy: Strategy, **kwargs: object) -> None:
        """Start an epoch."""
        self._epoch += 1
        self._started_at = time.perf_counter()
        self._lr = strategy.optimizer.param_groups[0]["lr"]  # read here: a scheduler steps before the epoch's event

    def after_training_epoch(self, strategy: Strategy, **kwargs: object) -> None:
        """Send the epoch's means."""
        solved = getattr(strategy, "solved_lambda", None)
        done = EpochDone(**self._place(strategy), **self._means(), ridge_lambda=solved)
        if self.on_epoch is not None:
            self.on_epoch(done, self._lr)
        self.listener(done)

    def before_eval(self, strategy: Strategy, **kwargs: object) -> None:
        """Start counting evaluated samples."""
        self._test_began_at = time.perf_counter()
        self._evaluated = 0
        self._to_evaluate = sum(len(experience.dataset) for experience in strategy.current_eval_stream)

    def after_eval_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Count a bucket; the last is always reported."""
        self._evaluated += len(strategy.experience.dataset)
        if self._evaluated == self._to_evaluate:
            self._report_tested(self._evaluated)

    def after_eval(self, strategy: Strategy, **kwargs: object) -> None:
        """Leave a test within an epoch out of the time of the epoch."""
        self._started_at += time.perf_counter() - self._test_began_at

    def _report(self, strategy: Strategy) -> None:
        """An event in the middle of a bucket."""
        if not strategy.is_training:
            self.record.tested.read()
            self._report_tested(self._evaluated + self.record.tested.total.size)
            return
        steps: dict[str, Any] = {"step": len(self.record.learned), "num_steps": len(strategy.dataloader)}
        self.listener(TrainStep(**self._place(strategy), **steps, **self._means()))

    def _report_tested(self, count: int) -> None:
        self.listener(Counted("testing every bucket", count, self._to_evaluate, "samples"))

    def _means(self) -> dict[str, Any]:
        self.record.learned.read()
        total = self.record.learned.total
        return {
            "num_samples": total.size,
            "seconds": time.perf_counter() - self._started_at,
            "loss": total.loss / max(total.size, 1),
            "accuracy": total.right / max(total.size, 1),
        }

    def _place(self, strategy: Strategy) -> dict[str, Any]:
        number = strategy.experience.current_experience
        return {
            "bucket": self.bucket_names[number],
            "bucket_number": number + 1,
            "num_buckets": len(self.bucket_names),
            "epoch": self._epoch,
            "num_epochs": strategy.train_epochs,
        }
