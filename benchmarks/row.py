"""A row of the table: what was measured against what, and how the number compares with its goal."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

# The formula of a row's number from the two figures, and whether it should be small or large.
Number = Literal["times as much", "times faster", "itself"]


@dataclass(frozen=True)
class Row:
    """`ours` against `theirs`, both in `unit`; lists hold a figure for each round, measured in turn.

    `goal` is what was set for `number`, on CLEAR-10's sizes; `floor` is what --quick insists on, with generous slack,
    because its sizes are small and a CI machine has neighbours.
    """

    part: str
    what: str
    ours: Sequence[float]
    against: str
    theirs: Sequence[float]
    number: Number = "times as much"
    unit: str = "s"
    goal: float | None = None
    floor: float | None = None

    @property
    def value(self) -> float:
        """The number: the median over the rounds, of ratios within a round, so that a machine's drift cancels."""
        if self.number == "itself":
            return statistics.median(self.ours)
        pairs = zip(self.ours, self.theirs, strict=True)
        if self.number == "times faster":
            return statistics.median(theirs / ours for ours, theirs in pairs)
        return statistics.median(ours / theirs for ours, theirs in pairs)

    def meets(self, limit: float) -> bool:
        """Whether the number is on the right side of `limit`."""
        return self.value >= limit if self.number == "times faster" else self.value <= limit

    def bound(self, limit: float | None) -> str:
        """`limit` in words."""
        if limit is None:
            return ""
        unit = f" {self.unit}" if self.number == "itself" else ""
        return f"at {'least' if self.number == 'times faster' else 'most'} {limit:g}{unit}"

    def figures(self) -> dict[str, Any]:
        """Everything, for the JSON file."""
        medians = {"ours_median": statistics.median(self.ours), "theirs_median": statistics.median(self.theirs)}
        return {**asdict(self), **medians, "value": self.value, "met": self.goal is None or self.meets(self.goal)}

    def cells(self, quick: bool) -> tuple[str, ...]:
        """The row of the table; with `quick` its floor is looked at, since the goals are for CLEAR-10's sizes."""
        limit = self.floor if quick else self.goal
        ours, theirs = (f"{statistics.median(figures):.4g} {self.unit}" for figures in (self.ours, self.theirs))
        number = f"{self.value:.2f}" if self.number != "itself" else ""
        word = {"times as much": "×", "times faster": "× faster", "itself": ""}[self.number]
        mark = "" if limit is None else "met: " if self.meets(limit) else "missed: "
        return (self.part, self.what, ours, self.against, theirs, f"{number}{word}", mark + self.bound(limit))
