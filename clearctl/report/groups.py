"""Runs that differ in nothing but their seeds belong together: their mean and standard deviation, and what is best."""

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from clearctl.config.check import SECTIONS
from clearctl.metrics import Matrix
from clearctl.report.runs import Run

# What may differ within a group: the seeds, and where things lie.
_APART = ("seed", "scenario.seed", "scenario.dataset_root", "work_dir", "data.cache_dir")
# Of these a small value is the better one; of all others a large one.
LOWER_IS_BETTER = ("training_s",)
SECONDS = ("training_s",)  # all others are fractions, which tables show in percent
# A label has no more settings than this, each of no more letters.
MOST_IN_LABEL, MOST_LETTERS = 4, 32
NONE = "-"  # what tables show of a number that there is none of


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
    def what(self) -> str:
        """What the mean is of."""
        n = len(self.counted)
        return "from a file" if self.runs[0].foreign else f"mean of {n} runs" if n > 1 else "a single run"

    @property
    def complete(self) -> bool:
        """Whether the runs that count have learned every bucket."""
        return len(self.counted[0].matrix) == len(self.bucket_names)

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
        values = {key: value for key, value in settings_of(run).items() if key not in _APART}
        key: tuple[Any, ...] = (run.dataset, *sorted((name, repr(value)) for name, value in values.items()))
        if run.foreign:
            key = (run.folder,)
        together.setdefault(key, []).append(run)
        flat.setdefault(key, values)
    # A matrix from a file has no settings, which is no difference in each of them.
    differing = _differing([flat[key] for key, members in together.items() if not members[0].foreign])
    settings = {key: {name: flat[key][name] for name in differing if name in flat[key]} for key in flat}
    labels = _labels([(together[key][0].name, settings[key]) for key in together])
    return [
        Group(label, tuple(sorted(members, key=lambda run: (run.seed or 0, str(run.folder)))), settings[key])
        for label, (key, members) in zip(labels, together.items(), strict=True)
    ]


def settings_of(run: Run) -> dict[str, Any]:
    """{dotted key: value} of the run's config; a list of numbers or names is one value."""
    # What is no section is a variable of the file, used up once it was read.
    return dict(_leaves({name: value for name, value in run.values.items() if name in SECTIONS}))


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list) and any(isinstance(child, dict | list) for child in value):
        parts = enumerate(value)
    if not parts:
        yield key, value
    for name, child in parts:
        yield from _leaves(child, f"{key}.{name}" if key else str(name))


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation of `values`, which are one or more; both NaN where one of them is."""
    if any(map(math.isnan, values)):
        return Spread(math.nan, math.nan if len(values) > 1 else None, len(values))
    std = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), std, len(values))


def shown(number: str, value: float | None) -> str:
    """`value` of a summary number as tables have it: percent or seconds with one decimal, "-" for none and for NaN."""
    if value is None or math.isnan(value):
        return NONE
    text = f"{value if number in SECONDS else 100 * value:.1f}"
    return text.removeprefix("-") if float(text) == 0 else text


def best(groups: Sequence[Group], number: str) -> set[int]:
    """The indices of the groups with the best mean of `number`: more than one where they look the same in a table.

    None of a single group. NaN is never best, and nor is a group that no run has learned every bucket of.
    """
    whole = {i: group.numbers for i, group in enumerate(groups) if group.complete}
    texts = {i: shown(number, numbers[number].mean) for i, numbers in whole.items() if number in numbers}
    means = {i: float(text) for i, text in texts.items() if text != NONE}
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
    """The names of the groups; those of one name are told apart by the first settings in which they differ."""
    labels = []
    for name, settings in named:
        alike = [other for other_name, other in named if other_name == name]
        own = {key: settings.get(key, "-") for key in _differing(alike)} if len(alike) > 1 else {}
        parts = [f"{key.rpartition('.')[2]}={_short(one_line(value))}" for key, value in own.items()]
        left_out = ["..."] if len(parts) > MOST_IN_LABEL else []
        labels.append(", ".join([one_line(name), *parts[:MOST_IN_LABEL], *left_out]))
    return [_numbered(labels, index) for index in range(len(labels))]


def one_line(value: Any) -> str:
    """`value` as text that breaks no line and no table: what cannot be printed is a blank."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(value)).split())


def _short(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 3]}..."


def _numbered(labels: Sequence[str], index: int) -> str:
    """A label that is there before, as of runs of two datasets, with its number."""
    label = labels[index]
    before = labels[:index].count(label)
    return f"{label} ({before + 1})" if before else label
