"""The result of a check, and how to run a group of checks so that none can end the command."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from clearctl.wording import first_line

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Check:
    """One line of the diagnosis.

    A "problem" keeps clearctl from training on a CPU; a "warning" is something that training does not need, or
    that may be an obstacle later. `fix` is the command, or the setting, that changes it; an "ok" line may have one too,
    for an optional package.
    """

    name: str
    state: State
    found: str
    fix: str | None = None


@dataclass(frozen=True)
class Section:
    """The checks of one kind."""

    title: str
    checks: tuple[Check, ...]


CheckFunction = Callable[[], Iterable[Check]]


def ok(name: str, found: str, fix: str | None = None) -> Check:
    """Nothing to do."""
    return Check(name, "ok", found, fix)


def warning(name: str, found: str, fix: str | None = None) -> Check:
    """Training works, and something else does not, or not well."""
    return Check(name, "warning", found, fix)


def problem(name: str, found: str, fix: str | None = None) -> Check:
    """Training does not work."""
    return Check(name, "problem", found, fix)


def section(title: str, functions: dict[str, CheckFunction]) -> Section:
    """Run `functions`, {name: function}; one that raises becomes a warning of that name, since it shows nothing."""
    checks: list[Check] = []
    for name, function in functions.items():
        try:
            checks.extend(function())
        except Exception as error:
            checks.append(warning(name, f"could not be checked: {type(error).__name__}: {first_line(error)}"))
    return Section(title, tuple(checks))
