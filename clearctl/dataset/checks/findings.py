"""The findings of the checks of a dataset folder, and how much each check covered."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Severity = Literal["fault", "note"]


@dataclass(frozen=True)
class Finding:
    """A fault, or a note of something that is allowed but worth knowing.

    `text` says all of it in one line, with paths relative to the dataset folder. `file` (relative too), `bucket` and
    `class_name` are where it is, for programs; None if it is in no single one.
    """

    severity: Severity
    check: str
    text: str
    file: str | None
    bucket: str | None
    class_name: str | None


@dataclass(frozen=True)
class Check:
    """A check by name: the number of `unit`s it looked at, and of the faults and notes that it found."""

    name: str
    looked_at: int
    unit: str
    faults: int
    notes: int


class DatasetFindings:
    """Collects what the checks of the dataset folder `root` find. `root` is made absolute."""

    def __init__(self, root: Path) -> None:
        # Absolute, so that it can be distinguished from other text in a reader's message.
        self.root = Path(os.path.abspath(root))
        self._found: list[Finding] = []
        self._looked_at: dict[str, tuple[int, str]] = {}

    def looked_at(self, check: str, number: int, unit: str) -> None:
        """Note that the check looked at `number` units; every check does so once, and is reported in that order."""
        self._looked_at[check] = (number, unit)

    def fault(
        self,
        check: str,
        what: str,
        *,
        file: Path | None = None,
        bucket: str | None = None,
        class_name: str | None = None,
    ) -> None:
        """Note a fault. The place, of which `file` is absolute, is put before and after `what`."""
        self._add("fault", check, what, file, bucket, class_name)

    def note(
        self,
        check: str,
        what: str,
        *,
        file: Path | None = None,
        bucket: str | None = None,
        class_name: str | None = None,
    ) -> None:
        """As `fault`, for what is allowed but worth knowing."""
        self._add("note", check, what, file, bucket, class_name)

    def error(
        self,
        check: str,
        error: Exception,
        *,
        file: Path | None = None,
        bucket: str | None = None,
        class_name: str | None = None,
    ) -> None:
        """Note the fault that a reader raised, whose message names the place."""
        text = str(error).replace(f"{self.root}/", "").replace("\n", "; ")
        self._found.append(Finding("fault", check, _printable(text), self._relative(file), bucket, class_name))

    def found(self) -> tuple[Finding, ...]:
        """All findings in the order of the checks, the faults of each before its notes."""
        order = list(self._looked_at)
        return tuple(sorted(self._found, key=lambda finding: (order.index(finding.check), finding.severity)))

    def checks(self) -> tuple[Check, ...]:
        """Every check, in order."""
        return tuple(
            Check(name, number, unit, self._count(name, "fault"), self._count(name, "note"))
            for name, (number, unit) in self._looked_at.items()
        )

    def _add(
        self,
        severity: Severity,
        check: str,
        what: str,
        file: Path | None,
        bucket: str | None,
        class_name: str | None,
    ) -> None:
        place = [f"bucket {bucket}"] if bucket is not None else []
        place += [f"class {class_name!r}"] if class_name is not None else []
        before = f"{self._relative(file)}: " if file else ""
        after = f" ({', '.join(place)})" if place else ""
        text = _printable(before + what + after)
        self._found.append(Finding(severity, check, text, self._relative(file), bucket, class_name))

    def _count(self, check: str, severity: Severity) -> int:
        return sum(finding.check == check and finding.severity == severity for finding in self._found)

    def _relative(self, file: Path | None) -> str | None:
        return None if file is None else os.path.relpath(file, self.root)


def _printable(text: str) -> str:
    """`text` with what a damaged file may hold, and a terminal would obey, escaped."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
