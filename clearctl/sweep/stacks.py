"""Groups the runs of a sweep that are trained together as one batched model."""

import itertools
from collections.abc import Hashable, Sequence
from typing import TypeAlias

from clearctl.config.fill import fill
from clearctl.config.settings import Settings
from clearctl.engine.stack.key import stack_key
from clearctl.engine.stack.opening import starting_bucket
from clearctl.strategies.registry import argument
from clearctl.strategies.traits import traits_of
from clearctl.sweep.plan import PlannedRun

BUCKETS_SO_FAR = 5.5  # the mean number of buckets that Cumulative trains on, of CLEAR's ten
WorkUnit: TypeAlias = tuple[tuple[int, PlannedRun], ...]  # runs of one process, each with its number in the plan


def units(runs: Sequence[tuple[int, PlannedRun]], *, stack: bool, jobs: int) -> list[WorkUnit]:
    """`runs` as they are carried out: each alone or, with `stack`, those together that can be.

    The runs of a stack start at the same bucket; a run with a state that only `resume` can continue is trained alone.
    If there are fewer stacks than `jobs`, they are split, so that each job has one. Stacks that are expected to take
    longest come first, and runs alone last, so that no job has a long stack left when the others are done. Without
    `stack` the order is that of `runs`.
    """
    together: dict[Hashable, list[tuple[int, PlannedRun]]] = {}
    for index, planned in runs:
        bucket = starting_bucket(planned.run) if stack else None
        key = None if bucket is None else stack_key(fill(planned.config))
        together.setdefault(("alone", index) if key is None else (bucket, key), []).append((index, planned))
    parts = -(-jobs // max(1, len(together)))
    found = [tuple(part) for unit in together.values() for part in _split_unit(unit, parts)]
    return sorted(found, key=_expected_samples, reverse=True) if stack else found


def _expected_samples(unit: WorkUnit) -> float:
    """The samples that a stack passes through its heads, relative to those of a bucket; 0 for a run that is alone."""
    if len(unit) == 1:
        return 0.0
    settings = [fill(planned.config) for _, planned in unit]
    return sum(one.strategy.train_epochs * _samples_of_a_sample(one) for one in settings)


def _samples_of_a_sample(settings: Settings) -> float:
    """The number of samples that a strategy computes for each sample of the bucket."""
    strategy = settings.strategy
    traits = traits_of(strategy.call.type)
    if traits.samples_every_bucket:
        return 1 + float(argument(strategy.call, "sample_size")) / strategy.train_mb_size
    if traits.learns == "buckets so far":
        return BUCKETS_SO_FAR
    return 2.0 if traits.replaces_loader else 1.0


def _split_unit(unit: Sequence[tuple[int, PlannedRun]], parts: int) -> list[Sequence[tuple[int, PlannedRun]]]:
    """`unit` in at most `parts` pieces, as even as they can be."""
    parts = min(parts, len(unit))
    ends = [len(unit) * number // parts for number in range(parts + 1)]
    return [unit[start:end] for start, end in itertools.pairwise(ends)]
