"""Anytime accuracy: tests at regular numbers of training steps, over the whole run, as in online learning.

A point of the curve is {"bucket": number of the bucket in progress, "step": steps of training since the beginning of
the run, "samples_seen": samples of the stream since then, "accuracies": one for each bucket}.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from avalanche.training.plugins import SupervisedPlugin
from avalanche.training.templates.base_sgd import PeriodicEval

from clearctl.strategies.strategy import Strategy
from clearctl.strategies.watching.observe import BucketAccuracy
from clearctl.strategies.watching.periodic_tests import training_kept

Point: TypeAlias = dict[str, Any]


class AnytimeTests(SupervisedPlugin):
    """Tests on every bucket after every `every` steps, counted over the buckets, and keeps the `curve` of the run.

    Samples that a memory adds to a batch are none of the stream. `on_test` is called with each point.
    """

    def __init__(self, every: int, accuracy: BucketAccuracy) -> None:
        super().__init__()
        self.every = every
        self.accuracy = accuracy
        self.on_test: Callable[[Point], None] | None = None
        self.curve: list[Point] = []
        self.steps = 0
        self.samples_seen = 0
        self._in_bucket = 0  # steps

    @classmethod
    def added_to(cls, strategy: Strategy, every: int, accuracy: BucketAccuracy) -> "AnytimeTests":
        """A new one, which `strategy` calls after its own tests: after all that acts on the weights of a step."""
        place = next(i for i, plugin in enumerate(strategy.plugins) if isinstance(plugin, PeriodicEval))
        added = cls(every, accuracy)
        strategy.plugins.insert(place + 1, added)
        return added

    def before_training_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Start a bucket."""
        self._in_bucket = 0

    def after_training_iteration(self, strategy: Strategy, **loading: object) -> None:
        """Count the step, and test if a test is due."""
        size, batch = len(strategy.experience.dataset), strategy.train_mb_size
        self.samples_seen += max(min(batch, size - self._in_bucket * batch), 0)
        self._in_bucket += 1
        self.steps += 1
        if self.steps % self.every == 0:
            self._test(strategy, **loading)

    def _test(self, strategy: Strategy, **loading: object) -> None:
        bucket = strategy.experience.current_experience
        tested = strategy._eval_streams[0]
        with training_kept(strategy):
            strategy.eval(tested, **loading)
        accuracies = [self.accuracy.accuracies[number] for number in range(len(tested))]
        point = {"bucket": bucket, "step": self.steps, "samples_seen": self.samples_seen, "accuracies": accuracies}
        self.curve.append(point)
        if self.on_test is not None:
            self.on_test(point)
