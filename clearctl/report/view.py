"""The view of a report: the order of its groups, their labels, the numbers, a title and a caption."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from clearctl import metrics
from clearctl.errors import UsageError
from clearctl.nearby import closest
from clearctl.report.groups import Group
from clearctl.report.labels import one_line, renamed
from clearctl.report.numbers import NUMBERS, Numbers
from clearctl.report.tables import in_order, measured_by
from clearctl.report.uncertainty import Comparison, compare
from clearctl.wording import any_of

WIDTHS = ("column", "page")
LABEL = "label"  # what groups can be sorted by besides numbers and settings


@dataclass(frozen=True)
class View:
    """Settings that every format of a report follows.

    Args:
        numbers: the columns, in order; None for all that there are, in the order of reports.
        ci: whether there are confidence intervals.
        comparison: of two groups.
        title: of the whole report, and `caption` of its summary; "" for none.
        width: one of WIDTHS: what a LaTeX table has to fit in.
    """

    numbers: Numbers | None = None
    ci: bool = False
    comparison: Comparison | None = None
    title: str = ""
    caption: str = ""
    width: str = "page"

    def columns(self, groups: Sequence[Group]) -> Numbers:
        """The numbers that the report has a column for."""
        return in_order(groups, NUMBERS) if self.numbers is None else self.numbers


DEFAULT = View()


def make_view(
    groups: Sequence[Group],
    numbers: Numbers,
    *,
    columns: Sequence[str] = (),
    ci: bool = False,
    compared: tuple[str, str] | None = None,
    title: str = "",
    caption: str = "",
    width: str = "page",
) -> View:
    """A view of `numbers`, or of the `columns` alone.

    Raises UsageError for an unknown width, a column that no run has measured, and groups that cannot be
    compared.
    """
    if width not in WIDTHS:
        raise UsageError(f"--width {width}: expected {any_of(WIDTHS)}")
    chosen = {name: metrics.NUMBERS[name] for name in columns} if columns else in_order(groups, numbers)
    there = measured_by(groups, chosen)
    for name in chosen:
        if name not in there:
            raise UsageError(f"--columns {name}: not measured by any run\nexpected some of {', '.join(_known(groups))}")
    comparison = compare(groups, *compared) if compared is not None else None
    return View(chosen, ci, comparison, one_line(title), one_line(caption), width)


def named(groups: Sequence[Group], texts: Sequence[str]) -> list[Group]:
    """The groups with the labels that `texts` ("KEY=TEXT") give them; raises UsageError (`labels.renamed`)."""
    labels = renamed([group.label for group in groups], texts)
    return [replace(group, label=label) for group, label in zip(groups, labels, strict=True)]


def ordered(groups: Sequence[Group], by: str) -> list[Group]:
    """The groups sorted by a number, the best first, or by "label" or a setting; those that have none come last.

    A setting is named by its dotted key, or by the end of it. Raises UsageError for what is none of them.
    """
    if by == LABEL:
        return sorted(groups, key=lambda group: group.label)
    if by in measured_by(groups, metrics.NUMBERS):
        sign = 1 if metrics.NUMBERS[by].lower_is_better else -1
        means = {group.label: group.numbers[by].mean for group in groups if by in group.numbers}
        known = [group for group in groups if not math.isnan(means.get(group.label, math.nan))]
        known.sort(key=lambda group: sign * means[group.label])
    else:
        key = _setting_key(groups, by)
        known = [group for group in groups if key in group.settings]
        known.sort(key=lambda group: _rank(group.settings[key]))
    return [*known, *(group for group in groups if all(group is not other for other in known))]


def _known(groups: Sequence[Group]) -> list[str]:
    return list(measured_by(groups, metrics.NUMBERS))


def _setting_key(groups: Sequence[Group], by: str) -> str:
    keys = list(dict.fromkeys(key for group in groups for key in group.settings))
    found = [key for key in keys if key == by] or [key for key in keys if key.endswith(f".{by}")]
    if len(found) != 1:
        what = f"{len(found)} settings end in it" if found else f"no such column{closest(by, _known(groups))}"
        settings = f"; settings: {', '.join(found or keys)}" if keys else ""
        raise UsageError(f"--sort {by}: {what}\nexpected {LABEL} or a number: {', '.join(_known(groups))}{settings}")
    return found[0]


def _rank(value: object) -> tuple[int, float, str]:
    """Numbers before texts."""
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, str(value))
