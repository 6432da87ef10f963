"""Avalanche's evaluation plugin without the cost: the same metric values under the same names, for the same loggers.

Avalanche calls every metric and every logger at each moment of a step, and each accuracy and loss works its value out
again and waits for the device. Here they are updated from the batch record, batch by batch in the same arithmetic,
when the epoch or the test of a bucket ends. Metrics of other kinds are called as usual, but only at the moments when
they have something to do.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from avalanche.evaluation import GenericPluginMetric, PluginMetric
from avalanche.evaluation import metrics as avalanche_metrics
from avalanche.evaluation.metric_results import MetricValue
from avalanche.evaluation.metric_utils import get_metric_name
from avalanche.evaluation.metrics import AccuracyMatrixPluginMetric
from avalanche.logging import BaseLogger
from avalanche.training.plugins import EvaluationPlugin

from clearctl.strategies.figures import is_figure
from clearctl.strategies.strategy import Strategy, tests_validation
from clearctl.strategies.watching.batch import BatchRecord, BatchResult, BatchResults
from clearctl.strategies.watching.hooks import EVENTS, STEP_EVENTS, handles

PERIOD_S = 2.0  # a live curve is at most this far behind


def _named(*names: str) -> tuple[type, ...]:
    return tuple(getattr(avalanche_metrics, name) for name in names)


_ACCURACIES = _named(
    "MinibatchAccuracy", "EpochAccuracy", "RunningEpochAccuracy", "ExperienceAccuracy", "StreamAccuracy"
)
_LOSSES = _named("MinibatchLoss", "EpochLoss", "RunningEpochLoss", "ExperienceLoss", "StreamLoss")
_FORGETTING = _named("ExperienceForgetting", "StreamForgetting", "ExperienceBWT", "StreamBWT")

# Where metrics must be up to date: the batches are over, or those of an epoch are interrupted by a test.
_OF_TESTS = frozenset(event for event in EVENTS if "_eval" in event)
_BEGINNINGS = ("before_training_epoch", "before_eval_exp")
_ENDS = ("after_training_epoch", "after_eval_exp", "before_eval")


@dataclass
class _Phase:
    """The state of the `metrics` of training, or of testing, over the batches that are in progress."""

    metrics: list[PluginMetric]
    batches: BatchResults = field(default_factory=BatchResults)
    done: int = 0
    experience: int = -1
    x: int = 0  # where the values of the first batch are plotted
    names: dict[PluginMetric, str] = field(default_factory=dict)  # of the metrics that have a value for each batch


class Evaluator(EvaluationPlugin):
    """An EvaluationPlugin whose accuracies and losses follow `record` instead of each step.

    Like Avalanche's it answers to the callbacks of a plugin, but only to those at which something is to be done.
    `of_validation` are the metrics again, for tests on the stream of validation parts: those that compare a test with
    earlier ones, such as forgetting, know buckets by their numbers alone, and would take one stream for the other.
    Avalanche's accuracy matrix is of the tests alone: its name names no stream.
    """

    metrics: list[PluginMetric]
    loggers: list[BaseLogger]
    _metric_values: list[MetricValue]
    _validating: _Phase | None = None  # set if there are validation parts: the states of other runs lack it

    # Avalanche's catches every callback here, again for each access of an attribute.
    __getattribute__ = object.__getattribute__

    def __init__(
        self,
        record: BatchRecord,
        metrics: Sequence[PluginMetric],
        loggers: Sequence[BaseLogger],
        of_validation: Sequence[PluginMetric | Sequence[PluginMetric]] = (),
    ) -> None:
        super().__init__(*metrics, loggers=list(loggers))
        self._record = record
        self._caught_up_at = 0.0
        listens = any(handles(logger, event) for logger in self.loggers for event in STEP_EVENTS)
        later = [] if listens else [m for m in self.metrics if type(m) in (*_ACCURACIES, *_LOSSES, *_FORGETTING)]
        self._learning = _Phase([metric for metric in later if _mode(metric) == "train"])
        self._testing = _Phase([metric for metric in later if _mode(metric) == "eval"])
        again: list[PluginMetric] = []
        if of_validation:
            every = EvaluationPlugin(*of_validation, loggers=[]).metrics
            again = [m for m in every if _mode(m) == "eval" and type(m) is not AccuracyMatrixPluginMetric]
            later += [] if listens else [m for m in again if type(m) in (*_ACCURACIES, *_LOSSES, *_FORGETTING)]
            self._validating = _Phase([metric for metric in later if metric in again])
            self.of_validation = again
        for event in EVENTS:
            called, of_validation_called = (
                [m for m in kind if _metric_acts(m, event) and not (m in later and event in STEP_EVENTS)]
                for kind in (self.metrics, again)
            )
            listened = any(handles(logger, event) for logger in self.loggers)
            if event in _BEGINNINGS:
                setattr(self, event, partial(self._begin, called, of_validation_called, event))
            elif called or of_validation_called or listened or event in _ENDS:
                setattr(self, event, partial(self._call, called, of_validation_called, event))
        record.watchers.append(self._follow)

    def publish_metric_value(self, mval: MetricValue) -> None:
        """As Avalanche's, but a figure is released by pyplot, which would keep and show it after the run too."""
        super().publish_metric_value(mval)
        for value in getattr(mval.value, "alternatives", (mval.value,)):
            if is_figure(value):
                from matplotlib import pyplot  # which has been loaded to draw it

                pyplot.close(value)

    def get_last_metrics(self) -> dict[str, Any]:
        """The latest value of every metric by its full name."""
        self._catch_up()
        return super().get_last_metrics()

    def get_all_metrics(self) -> dict[str, Any]:
        """All values of every metric by its full name, as (x positions, values)."""
        self._catch_up()
        return super().get_all_metrics()

    def reset_last_metrics(self) -> None:
        """Forget the latest values."""
        self._catch_up()
        super().reset_last_metrics()

    def flush(self) -> None:
        """Pass the results of the steps so far to the loggers; for a run that ends in the middle of one."""
        self._catch_up()

    def _begin(
        self,
        metrics: list[PluginMetric],
        of_validation: list[PluginMetric],
        event: str,
        strategy: Strategy,
        **kwargs: object,
    ) -> None:
        """The batches of an epoch or of a bucket begin; the record, which comes first, has started with them."""
        if strategy.is_training:
            phase, phase.batches = self._learning, self._record.learned
        elif self._validating is not None and tests_validation(strategy):
            phase, phase.batches = self._validating, self._record.tested
        else:
            phase, phase.batches = self._testing, self._record.tested
        phase.done, phase.x = 0, strategy.clock.train_iterations
        phase.experience = strategy.experience.current_experience
        emitting = [metric for metric in phase.metrics if getattr(metric, "_emit_at", None) == "iteration"]
        original = strategy.experience
        strategy.experience = original.logging()  # in which a metric may see all of an experience
        try:
            phase.names = {metric: get_metric_name(metric, strategy) for metric in emitting}
        finally:
            strategy.experience = original
        self._call(metrics, of_validation, event, strategy)

    def _call(
        self,
        metrics: list[PluginMetric],
        of_validation: list[PluginMetric],
        event: str,
        strategy: Strategy,
        **kwargs: object,
    ) -> None:
        """Call those metrics that act at an event, and the loggers, as Avalanche does.

        The results of metrics in a step wait for those that come later, so that no logger sees x fall.
        """
        waits = event in STEP_EVENTS and bool(self._learning.metrics or self._testing.metrics)
        if event not in STEP_EVENTS:
            self._catch_up()
        if event in _OF_TESTS and tests_validation(strategy):
            metrics = of_validation
        elif event not in _OF_TESTS and of_validation:
            self._tell(of_validation, event, strategy)
        everything, self.metrics = self.metrics, metrics
        loggers, values = self.loggers, self._metric_values
        if waits:
            self.loggers = []
        try:
            self._update_metrics_and_loggers(strategy, event)
        finally:
            self.metrics, self.loggers = everything, loggers
            if waits:
                self._metric_values = values

    def _tell(self, metrics: list[PluginMetric], event: str, strategy: Strategy) -> None:
        """Call the metrics of tests in training too; their results there are ignored, since others have given them."""
        original = strategy.experience
        if original is not None:
            strategy.experience = original.logging()
        try:
            for metric in metrics:
                getattr(metric, event)(strategy)
        finally:
            strategy.experience = original

    def _follow(self, strategy: Strategy) -> None:
        """Catch up if it is time to, in the middle of an epoch or a bucket."""
        if time.monotonic() - self._caught_up_at > PERIOD_S:
            self._catch_up()

    def _catch_up(self) -> None:
        """Update the metrics with the batches so far, and pass their values to the loggers."""
        self._caught_up_at = time.monotonic()
        for phase in (self._learning, self._testing, self._validating):
            if phase is None or len(phase.batches) == phase.done or not phase.metrics:
                continue
            batches = phase.batches.read()
            for number in range(phase.done, len(batches)):
                if self._active:
                    self._update(phase, batches[number], phase.x + number)
            phase.done = len(batches)
        if self._metric_values:
            self._metric_values.sort(key=lambda value: value.x_plot)
            for logger in self.loggers:
                logger.log_metrics(self._metric_values)
            self._metric_values = []

    def _update(self, phase: _Phase, batch: BatchResult, x: int) -> None:
        """Update each metric with one batch."""
        for metric in phase.metrics:
            if type(metric) in _FORGETTING:
                metric._current_metric._mean_accuracy[0]._mean_accuracy.update(batch.right / batch.size, batch.size)
                metric.eval_exp_id = phase.experience
                continue
            if metric._reset_at == "iteration":
                metric.reset()
            if type(metric) in _LOSSES:
                metric._metric._mean_loss.update(batch.loss, weight=batch.size)
            else:
                metric._metric._mean_accuracy.update(batch.right / batch.size, batch.size)
            if metric in phase.names:
                self.publish_metric_value(MetricValue(metric, phase.names[metric], metric.result(), x))


def _mode(metric: PluginMetric) -> str:
    """Whether a metric is of training or of tests; only the generic ones say so, all others are of tests."""
    return str(getattr(metric, "_mode", "eval"))


def _metric_acts(metric: PluginMetric, event: str) -> bool:
    """Whether a metric does anything at an event: most inherit callbacks that look at where they reset and emit."""
    if not handles(metric, event):
        return False
    if getattr(type(metric), event) is not getattr(GenericPluginMetric, event, None):
        return True
    side, _, unit = event.partition("_")
    phase, _, unit = unit.partition("_")
    if metric._mode != {"training": "train", "eval": "eval"}[phase]:
        return False
    at = {"": "stream", "exp": "experience"}.get(unit, unit)
    return event == f"after_{phase}_iteration" or at == (metric._reset_at if side == "before" else metric._emit_at)
