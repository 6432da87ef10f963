"""The progress and outcome of a sweep's runs, as its engines report them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from clearctl import progress
from clearctl.metrics import Matrix, Summary

Status = Literal["finished", "failed", "stopped"]


@dataclass(frozen=True)
class RunOutcome(Summary):
    """The outcome of a run.

    `failed` has what was wrong in `error`, one line or two, and the exit code that `train` alone would have had;
    `traceback` is of an exception that should not be. `diverged` is where the run did: {"bucket", "epoch", "reason"}.
    `stopped` is what a signal or a cancelled sweep leaves.
    """

    status: Status
    run: Path | None = None
    matrix: Matrix | None = None
    numbers: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    exit_code: int = 0
    traceback: str = ""
    diverged: dict[str, Any] | None = None


@dataclass(frozen=True)
class RunStarted:
    """Run number `index` of the plan is being worked on."""

    index: int


@dataclass(frozen=True)
class RunProgress:
    """An event of run number `index` of the plan."""

    index: int
    event: progress.Event


@dataclass(frozen=True)
class RunEnded:
    """Run number `index` of the plan ended."""

    index: int
    outcome: RunOutcome


SweepEvent: TypeAlias = RunStarted | RunProgress | RunEnded | progress.Message
SweepListener: TypeAlias = Callable[[SweepEvent], None]


def ignore(event: SweepEvent) -> None:
    """Listen to nothing."""
