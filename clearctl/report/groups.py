"""Groups of runs that differ only in their seeds: their mean and standard deviation, and the best group."""

import hashlib
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from clearctl.config.check import SECTIONS
from clearctl.metrics import NUMBERS, Matrix
from clearctl.report.labels import automatic_labels
from clearctl.report.runs import Run, by_dataset
from clearctl.shortrepr import ShortRepr
from clearctl.units import percent

# The keys that may differ within a group: seeds and paths.
_APART = ("seed", "scenario.seed", "scenario.dataset_root", "work_dir", "data.cache_dir")
_DIGITS = 8  # of a digest
NONE = "-"  # a missing number in tables


@dataclass(frozen=True)
class Spread:
    """The mean of `n` runs, and their sample standard deviation (n − 1 in the denominator), None for a single one."""

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True, repr=False)
class Group(ShortRepr):
    """Runs that differ in nothing but their seeds, in the order of these.

    `label` distinguishes the groups of a report. `settings` {dotted key: value} has the values in which not all groups
    of the report agree; a key that the group's config lacks is left out.
    """

    label: str
    runs: tuple[Run, ...]
    settings: dict[str, Any]
    include_diverged: bool = False

    @cached_property
    def counted(self) -> tuple[Run, ...]:
        """The runs that the means are of: none that diverged, unless they are included, and of each seed the newest.

        Of these, those with the most buckets done, since the others cannot be compared. There may be none.
        """
        sound = [run for run in self.runs if self.include_diverged or run.diverged is None]
        most = max((len(run.matrix) for run in sound), default=0)
        newest: dict[Any, Run] = {}
        for run in sorted((run for run in sound if len(run.matrix) == most), key=lambda run: run.age):
            newest[run.folder if run.foreign else run.identity] = run
        return tuple(run for run in self.runs if any(run is other for other in newest.values()))

    @property
    def diverged(self) -> tuple[Run, ...]:
        """The runs that diverged."""
        return tuple(run for run in self.runs if run.diverged is not None)

    @property
    def what(self) -> str:
        """A description of the runs that the mean is of."""
        n = len(self.counted)
        if self.runs[0].foreign:
            return "from a file"
        return f"mean of {n} runs" if n > 1 else "a single run" if n else "no run counts"

    @property
    def complete(self) -> bool:
        """Whether there are runs that count, and they have learned every bucket."""
        return bool(self.counted) and len(self.counted[0].matrix) == len(self.bucket_names)

    @property
    def protocol(self) -> str | None:
        """The evaluation protocol of the runs; None of a matrix from a file."""
        return self.runs[0].protocol

    @property
    def on_training_images(self) -> frozenset[str]:
        """The names of the numbers that have accuracies on images that were trained on (see `Run`)."""
        return self.runs[0].on_training_images

    @property
    def bucket_names(self) -> list[str]:
        """The names of the buckets, in order."""
        return self.runs[0].bucket_names

    @cached_property
    def mean(self) -> Matrix:
        """The mean R [rows, N] of the runs that count; [0, N] if none does."""
        if not self.counted:
            return np.empty((0, len(self.bucket_names)))
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
        if not self.counted:
            return {}
        first, *others = (run.numbers for run in self.counted)
        shared = [name for name in first if all(name in other for other in others)]
        return {name: spread([run.numbers[name] for run in self.counted]) for name in shared}


def group_runs(runs: Sequence[Run], *, include_diverged: bool = False) -> list[Group]:
    """The groups, in the order in which their first runs come.

    Runs of one config that learned from other data, or began with other weights, are of different groups, whose
    `settings` then have what differs.
    """
    together: dict[tuple[Any, ...], list[Run]] = {}
    flat: dict[tuple[Any, ...], dict[str, Any]] = {}
    of_config: dict[tuple[Any, ...], dict[tuple[Any, ...], None]] = {}
    for run in runs:
        values = settings_without_seeds(run.values)
        # The file that weights are read from says less than what was in it.
        text = {name: repr(value) for name, value in values.items() if f"weights.{name}" not in run.data}
        config: tuple[Any, ...] = (run.bucket_names, *sorted(text.items()))
        key: tuple[Any, ...] = (repr(config), run.dataset, *sorted(run.data.items()))
        if run.foreign:
            key = (run.folder,)
        else:
            of_config.setdefault((repr(config),), {})[key] = None
        together.setdefault(key, []).append(run)
        flat.setdefault(key, values)
    for keys in of_config.values():
        data = [together[key][0].data for key in keys]
        for name in _differing(data):
            for key, digests in zip(keys, data, strict=True):
                if name in digests:
                    flat[key] = {name: digests[name][:_DIGITS], **flat[key]}
    # A matrix from a file has no settings, which is not a difference in each of them.
    differing = _differing([flat[key] for key, members in together.items() if not members[0].foreign])
    settings = {key: {name: flat[key][name] for name in differing if name in flat[key]} for key in flat}
    labels = automatic_labels([(members[0], settings[key]) for key, members in together.items()])
    return [
        Group(
            label,
            tuple(sorted(members, key=lambda run: (run.seed or 0, str(run.folder)))),
            settings[key],
            include_diverged,
        )
        for label, (key, members) in zip(labels, together.items(), strict=True)
    ]


def settings_of(run: Run) -> dict[str, Any]:
    """{dotted key: value} of the run's config; a list of numbers or names is one value."""
    return _settings(run.values)


def settings_without_seeds(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a config's `values`, without the keys that may differ within a group."""
    return {key: value for key, value in _settings(values).items() if key not in _APART}


def group_name(values: Mapping[str, Any], config: str) -> str:
    """The name of the group of runs that differ only in their seeds, `quickstart-1f0c2a9b`.

    `config` is the file of the `values`, whose name it has where they give none.
    """
    name = values.get("name") or Path(config).stem
    settings = sorted((key, repr(value)) for key, value in settings_without_seeds(values).items())
    return f"{name}-{hashlib.sha256(repr(settings).encode()).hexdigest()[:_DIGITS]}"


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    # Names that are not sections are variables of the file, which have no further use.
    return dict(_leaves({name: value for name, value in values.items() if name in SECTIONS}))


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
    """Mean and sample standard deviation of `values`, which are one or more; both NaN if one of them is."""
    if any(map(math.isnan, values)):
        return Spread(math.nan, math.nan if len(values) > 1 else None, len(values))
    std = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), std, len(values))


def shown(number: str, value: float | None) -> str:
    """`value` of a summary number as in tables: percent or seconds with one decimal, nats with three.

    "-" for none and for NaN.
    """
    if value is None or math.isnan(value):
        return NONE
    unit = NUMBERS[number].unit
    if unit == "fraction":
        return percent(value)
    text = f"{value:.3f}" if unit == "nats" else f"{value:.1f}"
    return text.removeprefix("-") if float(text) == 0 else text


def best(groups: Sequence[Group], number: str) -> set[int]:
    """The index of the group with the best mean of `number`, if it is better than each other by more than chance.

    That is so where the two-sided 95 % confidence interval of the difference, by Welch's t-test, leaves out 0; of
    single runs nothing is known of chance. Never best is a group that no run has learned every bucket of, one that
    diverged runs count in, NaN, and an accuracy on training images; and nothing is where the groups are of several
    datasets or, of seconds, were trained on several kinds of machine.
    """
    whole = [i for i, group in enumerate(groups) if group.complete and number in group.numbers]
    spreads = {i: groups[i].numbers[number] for i in whole if number not in groups[i].on_training_images}
    spreads = {i: spread for i, spread in spreads.items() if not math.isnan(spread.mean)}
    if len(spreads) < 2 or not _comparable([groups[i] for i in spreads], number):
        return set()
    choose = min if NUMBERS[number].lower_is_better else max
    top = choose(spreads, key=lambda i: spreads[i].mean)
    if any(run.diverged is not None for run in groups[top].counted):
        return set()
    others = [spread for i, spread in spreads.items() if i != top]
    looks = shown(number, spreads[top].mean)
    clear = all(_differ(spreads[top], other) and shown(number, other.mean) != looks for other in others)
    return {top} if clear else set()


def _comparable(groups: Sequence[Group], number: str) -> bool:
    """Whether a number of the groups is of one dataset and, of seconds, of one kind of machine."""
    runs = [run for group in groups for run in group.counted]
    if len(by_dataset(runs)) > 1 or len({run.on_validation_images for run in runs}) > 1:
        return False
    return NUMBERS[number].unit != "s" or len({repr(machine(run)) for run in runs}) == 1


def machine(run: Run) -> tuple[Any, ...]:
    """A key of the machine and settings that training seconds depend on, besides the work of a run."""
    names = ("platform", "device_name", "torch_threads", "processes", "stacked", "graph")
    return tuple(run.environment.get(name) for name in names)


def _differ(a: Spread, b: Spread) -> bool:
    """Whether the 95 % confidence interval of the difference of two means (Welch, 1947) leaves out 0."""
    if a.std is None or b.std is None:
        return False
    parts = [spread.std**2 / spread.n for spread in (a, b) if spread.std is not None]
    variance = sum(parts)
    if variance == 0:
        return a.mean != b.mean
    freedom = variance**2 / sum(part**2 / (spread.n - 1) for part, spread in zip(parts, (a, b), strict=True))
    from scipy.special import stdtrit  # here, since it takes a while

    return abs(a.mean - b.mean) > float(stdtrit(freedom, 0.975)) * math.sqrt(variance)


def _differing(configs: Sequence[dict[str, Any]]) -> list[str]:
    """The keys that have more than one value, or that some config lacks, in order."""
    keys = dict.fromkeys(key for config in configs for key in config)
    missing = object()
    return [key for key in keys if len({repr(config.get(key, missing)) for config in configs}) > 1]
