"""Confidence intervals of means over seeds, and paired comparisons of two groups."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clearctl.errors import UsageError
from clearctl.nearby import closest
from clearctl.report.groups import Group, Spread, spread
from clearctl.report.runs import by_dataset

RESAMPLES = 9999
CONFIDENCE = 0.95

Interval = tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """Group `first` minus group `second`, seed by seed.

    `differences` {number: Spread} are over the pairs of runs, `intervals` {number: (low, high)} those of their means,
    None of a single pair. `on_training_images` are the numbers of which either group has accuracies on such.
    """

    first: str
    second: str
    pairs: int
    differences: dict[str, Spread]
    intervals: dict[str, Interval | None]
    on_training_images: frozenset[str]

    @property
    def label(self) -> str:
        """The names of the two settings, with a minus sign between them."""
        return f"{self.first} − {self.second}"


def interval(values: Sequence[float]) -> Interval | None:
    """The 95 % confidence interval of the mean of `values`, by the percentile bootstrap (Efron, 1979).

    It is of 9,999 resamples, drawn with their own seed, so that it is the same each time. None of fewer than two
    values, and if one is NaN.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    from scipy.stats import bootstrap  # takes a second to import

    found = bootstrap(
        (np.asarray(values),),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def intervals(group: Group) -> dict[str, Interval | None]:
    """{number: interval} of a group's summary numbers, over the runs that count."""
    return {name: interval([run.numbers[name] for run in group.counted]) for name in group.numbers}


def compare(groups: Sequence[Group], first: str, second: str) -> Comparison:
    """The difference of two groups, over the runs of equal seeds (and splits).

    A group is named by its label, or by the name of its runs if no other group's have it. Raises UsageError for a name
    of no group or of several, for groups of different datasets, and if no seed is in both.
    """
    a, b = _named(groups, first), _named(groups, second)
    if len(by_dataset([*a.runs, *b.runs])) > 1:
        raise UsageError(f"--compare {first} {second}: they are of different datasets, which cannot be compared")
    runs, others = ({run.identity: run for run in group.counted if not run.foreign} for group in (a, b))
    shared = [identity for identity in runs if identity in others]
    if not shared or not (a.complete and b.complete):
        what = "the groups have no common seed" if a.complete and b.complete else "one group has no finished run"
        raise UsageError(f"--compare {first} {second}: {what}\nexpected groups whose runs have the same seeds")
    differences = {
        name: [runs[one].numbers[name] - others[one].numbers[name] for one in shared]
        for name in a.numbers
        if name in b.numbers
    }
    return Comparison(
        a.label,
        b.label,
        len(shared),
        {name: spread(values) for name, values in differences.items()},
        {name: interval(values) for name, values in differences.items()},
        a.on_training_images | b.on_training_images,
    )


def _named(groups: Sequence[Group], name: str) -> Group:
    exact = [group for group in groups if group.label == name]
    found = exact or [group for group in groups if group.runs[0].name == name]
    if len(found) == 1:
        return found[0]
    labels = "; ".join(group.label for group in (found or groups))
    if found:
        raise UsageError(f"--compare {name}: {len(found)} groups have that name\nexpected one of: {labels}")
    hint = closest(name, [group.label for group in groups])
    raise UsageError(f"--compare {name}: no such group{hint}\nexpected one of: {labels}")
