"""Runs that differ in nothing but their seeds belong together: their mean and standard deviation, and what is best."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from clearctl.config.check import SECTIONS
from clearctl.config.load import flatten
from clearctl.metrics import Matrix
from clearctl.report.runs import Run

# What may differ within a group: the seeds, and where things lie.
_APART = ("seed", "scenario.seed", "scenario.dataset_root", "work_dir", "data.cache_dir")
# Of these a small value is the better one; of all others a large one.
LOWER_IS_BETTER = ("training_s",)
DIGITS = 4  # of a number in a table; two that look the same there are equally good


@dataclass(frozen=True)
class Spread:
    """The mean of `n` runs, and their sample standard deviation (n − 1 in the denominator), None for a single one."""

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seeds, in the order of these.

    `label` tells the groups of a report apart. `settings` {dotted key: value} has the values in which not all groups
    of the report agree; a key that the group's config lacks is left out.
    """

    label: str
    runs: tuple[Run, ...]
    settings: dict[str, Any]

    @cached_property
    def counted(self) -> tuple[Run, ...]:
        """The runs that the means are of: those with the most buckets done, since the others cannot be compared."""
        most = max(len(run.matrix) for run in self.runs)
        return tuple(run for run in self.runs if len(run.matrix) == most)

    @property
    def bucket_names(self) -> list[str]:
        """The names of the buckets, in order."""
        return self.runs[0].bucket_names

    @cached_property
    def mean(self) -> Matrix:
        """The mean R [rows, N] of the runs that count."""
        return np.asarray(np.mean([run.matrix for run in self.counted], axis=0))

    @cached_property
    def std(self) -> Matrix | None:
        """The sample standard deviation of R [rows, N]; None for a single run."""
        if len(self.counted) < 2:
            return None
        return np.asarray(np.std([run.matrix for run in self.counted], axis=0, ddof=1))

    @cached_property
    def numbers(self) -> dict[str, Spread]:
        """{name: Spread} of the summary numbers that every run that counts has."""
        first, *others = (run.numbers for run in self.counted)
        shared = [name for name in first if all(name in other for other in others)]
        return {name: spread([run.numbers[name] for run in self.counted]) for name in shared}


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """The groups, in the order in which their first runs come."""
    together: dict[tuple[Any, ...], list[Run]] = {}
    flat: dict[tuple[Any, ...], dict[str, Any]] = {}
    for run in runs:
        # What is no section is a variable of the file, used up once it was read.
        values = {
            key: value for key, value in flatten(run.values) if key not in _APART and key.partition(".")[0] in SECTIONS
        }
        key = (run.dataset, *sorted((name, repr(value)) for name, value in values.items()))
        together.setdefault(key, []).append(run)
        flat.setdefault(key, values)
    differing = _differing(list(flat.values()))
    settings = {key: {name: flat[key][name] for name in differing if name in flat[key]} for key in flat}
    labels = _labels([(together[key][0].name, settings[key]) for key in together])
    return [
        Group(label, tuple(sorted(members, key=lambda run: (run.seed, str(run.folder)))), settings[key])
        for label, (key, members) in zip(labels, together.items(), strict=True)
    ]


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation of `values`, which are one or more."""
    std = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), std, len(values))


def best(groups: Sequence[Group], number: str) -> set[int]:
    """The indices of the groups with the best mean of `number`, to the digits that are shown; none of a single group.

    NaN is never best.
    """
    means = {i: round(group.numbers[number].mean, DIGITS) for i, group in enumerate(groups) if number in group.numbers}
    means = {i: mean for i, mean in means.items() if mean == mean}
    if len(means) < 2:
        return set()
    choose = min if number in LOWER_IS_BETTER else max
    top = choose(means.values())
    return {i for i, mean in means.items() if mean == top}


def _differing(configs: Sequence[dict[str, Any]]) -> list[str]:
    """The keys that have more than one value, or that some config lacks, in the order in which they come."""
    keys = dict.fromkeys(key for config in configs for key in config)
    missing = object()
    return [key for key in keys if len({repr(config.get(key, missing)) for config in configs}) > 1]


def _labels(named: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """The names of the groups; those of one name are told apart by the settings in which they differ."""
    labels = []
    for name, settings in named:
        alike = [other for other_name, other in named if other_name == name]
        own = {key: settings.get(key, "-") for key in _differing(alike)} if len(alike) > 1 else {}
        parts = [f"{key.rpartition('.')[2]}={value}" for key, value in own.items()]
        labels.append(", ".join([name, *parts]))
    return [_numbered(labels, index) for index in range(len(labels))]


def _numbered(labels: Sequence[str], index: int) -> str:
    """A label that is there before, as of runs of two datasets, with its number."""
    label = labels[index]
    before = labels[:index].count(label)
    return f"{label} ({before + 1})" if before else label
