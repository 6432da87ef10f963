"""The progress of each run of a sweep, from its events, and the time that is left."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from clearctl import rundir
from clearctl.cli.progress import fraction_done
from clearctl.errors import RunError
from clearctl.metrics import HEADLINE, compute_numbers
from clearctl.progress import BucketDone, Counted, EpochDone, TrainStep
from clearctl.sweep.outcome import RunEnded, RunOutcome, RunProgress, RunStarted
from clearctl.sweep.plan import PlannedRun

_SHORT = {"testing every bucket": "testing"}


DIVERGED = "diverged"  # what is shown of a finished run whose numbers mean nothing


@dataclass
class Row:
    """A run of a sweep. `status` is waiting, running, or how it ended; `doing` says more of one that is running."""

    planned: PlannedRun
    status: str = "waiting"
    doing: str = "waiting"
    bucket: str = ""
    epoch: str = ""
    headline: float | None = None  # the number HEADLINE
    outcome: RunOutcome | None = None
    ended_at: float = 0.0
    whole_s: float | None = None  # of one that ran from its beginning to its end
    _began_at: float = 0.0
    _first: tuple[float, float] | None = None  # when it was first reported how far the run was, and how far
    _done: float = 0.0
    _rows: list[tuple[float, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.planned.run is not None:
            with suppress(RunError):
                matrix, names = rundir.read_matrix(self.planned.run)
                self._rows = [tuple(row) for row in matrix.tolist()]
                self.bucket = f"{len(matrix)}/{len(names)}"
                self._measure()
        if self.planned.state == "finished":
            self.status = self.doing = "finished"

    @property
    def name(self) -> str:
        """Its name in messages."""
        return f"{self.planned.label} seed {self.planned.seed}"

    def update(self, event: RunStarted | RunProgress | RunEnded) -> None:
        """Update the row by `event`."""
        if isinstance(event, RunStarted):
            self.status, self.doing, self._began_at = "running", "starting", time.monotonic()
        elif isinstance(event, RunEnded):
            self._end(event.outcome)
        elif isinstance(event.event, TrainStep):
            step = event.event
            self._train(step, fraction_done(step, step.step / step.num_steps))
        elif isinstance(event.event, EpochDone):
            self._train(event.event, fraction_done(event.event, 1.0))
        elif isinstance(event.event, BucketDone):
            done = event.event
            self._rows = [*self._rows[: done.bucket_number - 1], done.accuracies]
            self.bucket = f"{done.bucket_number}/{done.num_buckets}"
            self._measure()
        elif isinstance(event.event, Counted):
            work = event.event.work
            percent = 100 * event.event.done // max(1, event.event.total)
            self.doing = _SHORT.get(work, f"{work} {percent}%")

    def spent_s(self) -> float | None:
        """Seconds that it has run in this sweep; None if it has not."""
        return (self.ended_at or time.monotonic()) - self._began_at if self._began_at else None

    def left_s(self) -> float | None:
        """The time that it will still run, by the share of its epochs; None if it is not known."""
        if self.status != "running" or self._first is None or self._done <= self._first[1]:
            return None
        began_at, already = self._first
        return (time.monotonic() - began_at) * (1 - self._done) / (self._done - already)

    def expected_s(self) -> float | None:
        """Seconds that a run like it takes, from beginning to end."""
        left = self.left_s()
        if left is None or self._first is None:
            return self.whole_s
        return left / max(1e-9, 1 - self._done) if self._done < 1 else self.whole_s

    def _train(self, event: TrainStep | EpochDone, done: float) -> None:
        self.doing, self._done = "training", done
        if self._first is None:
            self._first = time.monotonic(), done
        self.bucket = f"{event.bucket_number}/{event.num_buckets}"
        self.epoch = f"{event.epoch}/{event.num_epochs}"

    def _measure(self) -> None:
        """The headline number so far, of the buckets that were learned."""
        done = len(self._rows)
        matrix = np.array([row[:done] for row in self._rows])
        self.headline = compute_numbers(matrix).get(HEADLINE) if done else None

    def _end(self, outcome: RunOutcome) -> None:
        self.status = self.doing = outcome.status
        self.outcome = outcome
        if outcome.diverged is not None:
            self.doing = DIVERGED
        self.ended_at, self.epoch = time.monotonic(), ""
        if outcome.status == "finished":
            self.headline = outcome.numbers.get(HEADLINE, self.headline)
            if self.planned.state == "new":
                self.whole_s = outcome.seconds


def time_left(rows: Sequence[Row]) -> float | None:
    """The time that all remaining runs will take, with as many at a time as now; None if it is not known yet.

    A waiting run is assumed to take as long as those of its label, else as all do on average.
    """
    running = [row for row in rows if row.status == "running"]
    expected: dict[str, list[float]] = {}
    for row in rows:
        seconds = row.expected_s()
        if seconds is not None:
            expected.setdefault(row.planned.label, []).append(seconds)
    known = [seconds for alike in expected.values() for seconds in alike]
    if not running or not known:
        return None

    def whole(row: Row) -> float:
        alike = expected.get(row.planned.label, known)
        return sum(alike) / len(alike)

    lefts = [left if (left := row.left_s()) is not None else whole(row) for row in running]
    waiting = sum(whole(row) for row in rows if row.status == "waiting")
    return max(*lefts, (sum(lefts) + waiting) / len(running))
