"""What the tables of a report have in them, whatever they are written in: columns, rows of groups, settings, notes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearctl.report.groups import NONE, Group, best, one_line, shown
from clearctl.report.numbers import NUMBERS, Numbers
from clearctl.report.runs import by_dataset

# More settings than these do not fit beside each other: they are listed group by group.
MOST_COLUMNS = 4
HEADING = "accuracy in percent, mean ± sample standard deviation over n runs"


@dataclass(frozen=True)
class Cell:
    """A mean as it is shown, its standard deviation ("" where there is none), and whether no group has a better one."""

    mean: str
    std: str
    best: bool = False

    def text(self, plus_minus: str = " ± ") -> str:
        """Both in one line."""
        return f"{self.mean}{plus_minus}{self.std}" if self.std else self.mean


def summary(groups: Sequence[Group], numbers: Numbers = NUMBERS) -> list[list[Cell]]:
    """A row for each group, with a cell for each of `numbers`."""
    columns = []
    for number in numbers:
        leading = best(groups, number)
        columns.append([_cell(group, number, index in leading) for index, group in enumerate(groups)])
    return [list(row) for row in zip(*columns, strict=True)]


def matrix_cells(group: Group) -> list[list[Cell]]:
    """The accuracy matrix [rows, N] of a group."""
    stds = np.full(group.mean.shape, np.nan) if group.std is None else group.std
    return [
        [
            Cell(shown("accuracy", mean), "" if np.isnan(std) else shown("accuracy", std))
            for mean, std in zip(means, row_of_stds, strict=True)
        ]
        for means, row_of_stds in zip(group.mean.tolist(), stds.tolist(), strict=True)
    ]


def setting_keys(groups: Sequence[Group]) -> list[str]:
    """The dotted keys of the settings in which the groups differ."""
    return list(dict.fromkeys(key for group in groups for key in group.settings))


def setting(group: Group, key: str) -> str:
    """The group's value of a setting; "-" where its config has none."""
    missing: Any = NONE
    return one_line(group.settings.get(key, missing))


def notes(groups: Sequence[Group]) -> list[str]:
    """What a reader of the numbers has to know: runs that are not finished, that do not count, or are there twice."""
    found = []
    datasets = by_dataset([run for group in groups for run in group.runs])
    if len(datasets) > 1:
        found.append(f"the runs are of {len(datasets)} datasets or choices of buckets: do not compare their numbers")
    for group in groups:
        total, most = len(group.bucket_names), len(group.counted[0].matrix)
        for run in group.runs:
            done = len(run.matrix)
            what = f"{run.folder} is not finished ({done} of {total} buckets)"
            if done < most:
                found.append(f"{what}, so it does not count in the means of {group.label}")
            elif done < total:
                found.append(f"{what}, so it has no summary numbers yet")
        seeds = Counter((run.seed, run.values.get("scenario", {}).get("seed")) for run in group.counted)
        twice = ", ".join(f"seed {seed}" for (seed, _), count in seeds.items() if count > 1)
        if twice:
            found.append(f"{group.label} has more than one run of {twice}")
    return [one_line(note) for note in found]


def _cell(group: Group, number: str, leading: bool) -> Cell:
    found = group.numbers.get(number)
    if found is None:
        return Cell(NONE, "")
    std = shown(number, found.std)
    return Cell(shown(number, found.mean), "" if std == NONE else std, leading)
