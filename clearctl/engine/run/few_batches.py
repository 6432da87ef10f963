"""A few batches of a run's first buckets, for a dry run."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from clearctl.config.registry import parameters
from clearctl.config.settings import StrategySettings
from clearctl.data.stream import Samples
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.engine.build.experiment import Experiment
from clearctl.strategies.build import trains_on_whole_stream


def evenly_spaced(samples: Samples, count: int) -> Samples:
    """At most `count` samples, evenly from the whole list, so that all classes are among them."""
    count = min(count, len(samples))
    return samples.subset([index * len(samples) // count for index in range(count)])


def with_epochs(strategy: StrategySettings, epochs: int) -> StrategySettings:
    """`strategy` with this number of epochs per bucket, if it takes one."""
    if "train_epochs" not in parameters(CATALOGUE.strategies[strategy.call.type])[0]:
        return strategy
    return replace(strategy, call=strategy.call.having(train_epochs=epochs))


def turns(experiment: Experiment) -> Iterator[tuple[Any, Any]]:
    """Yields the data to learn and the bucket to test, in two turns; in one if all buckets are learned at once.

    The first turn warms up what is allocated and compiled at first use.
    """
    benchmark = experiment.benchmark
    at_once = trains_on_whole_stream(experiment.strategy)
    for number in range(1 if at_once else min(2, len(benchmark.train_stream))):
        learned = benchmark.train_stream if at_once else benchmark.train_stream[number]
        yield learned, benchmark.test_stream[number]
