"""What a part finds, and whether that is good; on disk after each finding, so that a part that is cut keeps it.

Three kinds: `right` is about correctness, and fails the check where it is not so; `goal` is about speed, and is met or
missed; `figure` is a number to read.
"""

import json
import math
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from clearctl import atomic

Kind = Literal["right", "goal", "figure"]


@dataclass(frozen=True)
class Finding:
    """`good` is None if there is nothing to judge, or where what is judged could not be measured here."""

    name: str
    kind: Kind
    value: Any
    good: bool | None = None
    wanted: str = ""

    @property
    def verdict(self) -> str:
        """One word for the table."""
        if self.good is None:
            return "" if self.kind == "figure" else "not measured"
        words = {"right": ("WRONG", "right"), "goal": ("missed", "met"), "figure": ("", "")}
        return words[self.kind][self.good]

    @property
    def fails(self) -> bool:
        """Whether the check fails because of it."""
        return self.kind == "right" and self.good is False


class Findings:
    """The findings of a part; `file` always has all of them so far."""

    def __init__(self, part: str, file: Path) -> None:
        self.part = part
        self.file = file
        self.found: list[Finding] = []

    def figure(self, name: str, value: Any) -> None:
        """Something to read."""
        self._add(Finding(name, "figure", value))

    def right(self, name: str, value: Any, good: bool, wanted: str) -> None:
        """Something that must be `wanted`, in words."""
        self._add(Finding(name, "right", value, bool(good), wanted))

    def equal(self, name: str, value: Any, expected: Any) -> None:
        """Something that must be `expected`."""
        self.right(name, value, value == expected, str(expected))

    def at_least(self, name: str, value: float | None, goal: float) -> None:
        """A speed that is to be `goal` or more; None if it could not be measured."""
        self._add(Finding(name, "goal", value, None if value is None else value >= goal, f"at least {goal:g}"))

    def at_most(self, name: str, value: float | None, goal: float) -> None:
        """A time that is to be `goal` or less; None if it could not be measured."""
        self._add(Finding(name, "goal", value, None if value is None else value <= goal, f"at most {goal:g}"))

    @contextmanager
    def noted(self, name: str) -> Iterator[None]:
        """A context in which an error becomes a finding that fails the check, and the part continues."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            value = {"error": f"{type(error).__name__}: {error}"[:800], "trace": traceback.format_exc()[-3000:]}
            self._add(Finding(name, "right", value, False, "no error"))

    def _add(self, finding: Finding) -> None:
        self.found.append(finding)
        atomic.write_json(self.file, [_finite(asdict(each)) for each in self.found])
        print(
            f"[{self.part}] {finding.name}: {finding.verdict} {json.dumps(finding.value, default=str)[:600]}",
            flush=True,
        )


def read(file: Path) -> list[Finding]:
    """The findings in a part's file; none if it was never written."""
    return [Finding(**each) for each in json.loads(file.read_text())] if file.exists() else []


def _finite(value: Any) -> Any:
    """`value` for a JSON file, which has no NaN, no infinity and no paths."""
    if isinstance(value, dict):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
