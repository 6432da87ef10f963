"""Groups the runs of a sweep that are trained together as one batched model."""

import itertools
from collections.abc import Hashable, Sequence
from typing import TypeAlias

from clearctl.config.settings import fill
from clearctl.engine.stack.key import stack_key
from clearctl.engine.stack.opening import starting_bucket
from clearctl.sweep.plan import PlannedRun

WorkUnit: TypeAlias = tuple[tuple[int, PlannedRun], ...]  # runs of one process, each with its number in the plan


def units(runs: Sequence[tuple[int, PlannedRun]], *, stack: bool, jobs: int) -> list[WorkUnit]:
    """`runs` as they are carried out: each alone or, with `stack`, those together that may be, in the order they come.

    Those of a stack begin with the same bucket; a run whose state only a run alone can resume does so. Where there are
    fewer stacks than `jobs`, they are split, so that each job has one.
    """
    together: dict[Hashable, list[tuple[int, PlannedRun]]] = {}
    for index, planned in runs:
        bucket = starting_bucket(planned.run) if stack else None
        key = None if bucket is None else stack_key(fill(planned.config))
        together.setdefault(("alone", index) if key is None else (bucket, key), []).append((index, planned))
    parts = -(-jobs // max(1, len(together)))
    return [tuple(part) for unit in together.values() for part in _split_unit(unit, parts)]


def _split_unit(unit: Sequence[tuple[int, PlannedRun]], parts: int) -> list[Sequence[tuple[int, PlannedRun]]]:
    """`unit` in at most `parts` pieces, as even as they can be."""
    parts = min(parts, len(unit))
    ends = [len(unit) * number // parts for number in range(parts + 1)]
    return [unit[start:end] for start, end in itertools.pairwise(ends)]
