"""The content of a report's tables in any format: columns, rows of groups, settings, notes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from clearctl.config.protocol import STREAMING
from clearctl.metrics import Number
from clearctl.report.groups import NONE, Group, Spread, best, shown
from clearctl.report.labels import one_line
from clearctl.report.numbers import NUMBERS, Numbers
from clearctl.report.remarks import DAGGER, remarks
from clearctl.report.uncertainty import Comparison, Interval, intervals

# More settings than these do not fit next to each other: they are listed group by group.
MOST_COLUMNS = 4
HEADING = "accuracy in percent, mean ± sample standard deviation (ddof 1) over n runs"

IN_BOLD = "bold: better than every other group by more than chance (95 %)"


@dataclass(frozen=True)
class Cell:
    """A mean as it is shown, its standard deviation ("" if there is none), and whether it is the best.

    `mark` is a dagger if it is on training images and its column does not say so, else "".
    """

    mean: str
    std: str
    best: bool = False
    mark: str = ""

    def text(self, plus_minus: str = " ± ") -> str:
        """Both in one line."""
        return f"{self.mean}{plus_minus}{self.std}{self.mark}" if self.std else f"{self.mean}{self.mark}"


@dataclass(frozen=True)
class Extra:
    """A further table with the columns of the summary: a label, n, and a text for each number."""

    title: str
    rows: list[tuple[str, int, list[str]]]


def summary(groups: Sequence[Group], numbers: Numbers = NUMBERS) -> list[list[Cell]]:
    """A row for each group, with a cell for each of `numbers`."""
    columns = []
    for number in numbers:
        leading = best(groups, number)
        mark = "" if is_marked(groups, number) else DAGGER
        columns.append([_cell(group, number, index in leading, mark) for index, group in enumerate(groups)])
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
    """The remarks of a report, as text."""
    return [remark.text for remark in remarks(groups)]


def heading(groups: Sequence[Group]) -> str:
    """A heading for the numbers of a report, with the evaluation protocol that they were measured under."""
    protocols = dict.fromkeys(group.protocol for group in groups if group.protocol is not None)
    return f"{HEADING}; {' and '.join(protocols)} protocol" if protocols else HEADING


def in_order(groups: Sequence[Group], numbers: Numbers) -> Numbers:
    """`numbers` in the order of a report's columns: each author's together.

    Under the streaming protocol those on unseen images lead.
    """
    numbers = measured_by(groups, numbers)
    families = list(dict.fromkeys(number.of for number in numbers.values()))
    streaming = any(group.protocol == STREAMING for group in groups)

    def place(name: str) -> tuple[int, bool]:
        return families.index(numbers[name].of), streaming and numbers[name].on_or_below_diagonal

    return {name: numbers[name] for name in sorted(numbers, key=place)}


def measured_by(groups: Sequence[Group], numbers: Numbers) -> Numbers:
    """`numbers` without those that none of the groups has measured."""
    there = {name for group in groups for name in group.numbers}
    return {name: number for name, number in numbers.items() if number.measured is None or name in there}


def families(numbers: Numbers) -> list[tuple[str, int]]:
    """(whose they are, how many) of the columns `numbers` of a report that stand next to each other.

    Where all of somebody's numbers are fractions, "(%)" is behind whose they are.
    """
    names = (f"{number.of} (%)" if _unit_is_above(number, numbers) else number.of for number in numbers.values())
    return [(name, len(list(alike))) for name, alike in groupby(names)]


def headings(numbers: Numbers, texts: Callable[[Number], str] | None = None) -> dict[str, str]:
    """{number: its heading below `families`}, which has the unit if that is not above; `texts` are the headings."""
    return {
        name: (texts or _title)(number)
        if _unit_is_above(number, numbers)
        else with_unit((texts or _title)(number), number)
        for name, number in numbers.items()
    }


def with_unit(text: str, number: Number) -> str:
    """A heading with the unit of what is below it; that of seconds is in it already."""
    unit = {"fraction": "%", "nats": "nats"}.get(number.unit)
    return f"{text} ({unit})" if unit else text


def _title(number: Number) -> str:
    return number.title


def _unit_is_above(number: Number, numbers: Numbers) -> bool:
    return bool(number.of) and all(other.unit == "fraction" for other in numbers.values() if other.of == number.of)


def in_units(numbers: Numbers) -> str:
    """ "; training in seconds": the units of those of `numbers` that are not fractions."""
    words = {"s": "seconds", "nats": "nats"}
    others = [number for number in numbers.values() if number.unit != "fraction"]
    return "".join(f"; {number.heading.removesuffix(' (s)')} in {words[number.unit]}" for number in others)


def is_marked(groups: Sequence[Group], number: str) -> bool:
    """Whether a column is on training images in every group, so that its heading is marked and not each cell."""
    return all(number in group.on_training_images for group in groups)


def extra_tables(
    groups: Sequence[Group], numbers: Numbers, *, ci: bool = False, comparison: Comparison | None = None
) -> list[Extra]:
    """The confidence intervals, with `ci`, and the comparison, if there is one."""
    found = []
    if ci:
        rows = []
        for group in groups:
            known = intervals(group)
            rows.append((group.label, len(group.counted), [_range(name, known.get(name)) for name in numbers]))
        found.append(Extra("95 % confidence interval of the mean, by bootstrap over the n runs", rows))
    if comparison is not None:
        label, pairs = comparison.label, comparison.pairs
        cells = [_difference(name, comparison.differences.get(name)) for name in numbers]
        ranges = [_range(name, comparison.intervals.get(name)) for name in numbers]
        title = "difference of two groups, paired by seed: mean ± sample standard deviation over n pairs"
        found.append(Extra(title, [(label, pairs, cells), ("95 % interval", pairs, ranges)]))
    return found


def _range(number: str, found: Interval | None) -> str:
    return NONE if found is None else f"[{shown(number, found[0])}, {shown(number, found[1])}]"


def _difference(number: str, found: Spread | None) -> str:
    if found is None or shown(number, found.mean) == NONE:
        return NONE
    std = shown(number, found.std)
    return f"{shown(number, found.mean)} ± {std}" if std != NONE else shown(number, found.mean)


def _cell(group: Group, number: str, leading: bool, mark: str) -> Cell:
    found = group.numbers.get(number)
    if found is None:
        return Cell(NONE, "")
    std = shown(number, found.std)
    mark = mark if number in group.on_training_images else ""
    return Cell(shown(number, found.mean), "" if std == NONE else std, leading, mark)
