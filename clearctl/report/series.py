"""Series of a group over its buckets: each a mean over its runs, with its deviation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from clearctl.metrics import Matrix
from clearctl.report.groups import Group
from clearctl.report.remarks import DAGGER
from clearctl.report.runs import Run

MOST_LINES = 12  # of a chart, a line for each group; more cannot be told apart


@dataclass(frozen=True)
class Series:
    """Fractions at the first K buckets: `mean` [K], and of several runs the sample standard deviation `std` [K]."""

    mean: Matrix
    std: Matrix | None


@dataclass(frozen=True)
class Kind:
    """A line for each group.

    `number` is the summary number that it is the course of, whose mean over the buckets it has or is the negative of,
    `of_run` its values of one run, [0] where the run has none; `x_label` and `y_label` name the axes.
    """

    name: str
    title: str
    number: str
    x_label: str
    y_label: str
    of_run: Callable[[Run], Matrix]

    @property
    def in_points(self) -> bool:
        """Whether it is a difference of accuracies."""
        return self.number == "gem_bwt"

    def series(self, group: Group) -> Series | None:
        """The mean over the runs of a group; None if they have no value."""
        values = np.array([self.of_run(run) for run in group.counted])
        if not values.size:
            return None
        return Series(values.mean(axis=0), values.std(axis=0, ddof=1) if len(values) > 1 else None)

    def marked_label(self, groups: Sequence[Group]) -> str:
        """The label of the y axis, with a dagger where a group's values are on training images."""
        marked = any(self.number in group.on_training_images for group in groups)
        return f"{self.y_label}{DAGGER}" if marked else self.y_label


def bucket_names(groups: Sequence[Group]) -> list[str]:
    """The names of the buckets; their numbers from 1 where the groups have others each."""
    longest = max((group.bucket_names for group in groups), key=len, default=[])
    alike = all(longest[: len(group.bucket_names)] == group.bucket_names for group in groups)
    return longest if alike else [str(number) for number in range(1, len(longest) + 1)]


def accuracy_so_far(run: Run) -> Matrix:
    """After each bucket the mean accuracy on the buckets up to it [rows]."""
    return np.array([row[: number + 1].mean() for number, row in enumerate(run.matrix)])


def next_domain(run: Run) -> Matrix:
    """The accuracy on the bucket after each [rows, or N - 1 of a whole run]."""
    return np.diagonal(run.matrix, offset=1).copy()


def forgetting(run: Run) -> Matrix:
    """The accuracy lost since training on each bucket but the last [N - 1]; none before the end of the run."""
    if len(run.matrix) < len(run.bucket_names):
        return np.empty(0)
    return np.diagonal(run.matrix)[:-1] - run.matrix[-1, :-1]


KINDS = (
    Kind(
        "over-time",
        "Accuracy on the buckets so far",
        "accuracy",
        "trained to bucket",
        "accuracy on buckets so far (%)",
        accuracy_so_far,
    ),
    Kind(
        "next-domain",
        "Accuracy on the next bucket",
        "next_domain",
        "trained to bucket",
        "accuracy on next bucket (%)",
        next_domain,
    ),
    Kind(
        "forgetting",
        "Forgetting of each bucket: accuracy lost from the training on it to the end",
        "gem_bwt",
        "bucket",
        "accuracy lost (points)",
        forgetting,
    ),
)
