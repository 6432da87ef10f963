"""What a process of the cluster does for a sweep: one run after another, with events sent to the planner."""

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from clearctl.config.settings import fill
from clearctl.data.stream import Stream
from clearctl.engine.build.stream import build_stream
from clearctl.progress import Counted, EpochDone, Event, TrainStep
from clearctl.sweep.cluster.folders import pack, unpack
from clearctl.sweep.outcome import RunOutcome
from clearctl.sweep.plan import PlannedRun
from clearctl.sweep.work import execute_run

_PERIOD_S = 1.0  # between two reports of the steps of a run

_kept_streams: list[Stream] = []  # of the run before: the next one of this process mostly has the same features


@dataclass(frozen=True)
class RemoteTask:
    """A run as it is sent to the cluster. `token` is a file that is there where its work_dir is the planner's own.

    `before` is the packed folder of a run that is to be resumed, for a machine that does not have it.
    """

    planned: PlannedRun
    token: Path
    before: bytes | None
    device: str
    threads: int


@dataclass(frozen=True)
class RemoteResult:
    """How a run ended, and its packed folder where the planner cannot see it."""

    outcome: RunOutcome
    packed: bytes | None = None


def run_task(task: RemoteTask, report: Callable[[Event], None]) -> RemoteResult:
    """Carry out a run: in its place where this machine sees that, else in a temporary folder that is sent back."""
    _keep_features(task.planned)
    listener = _rate_limited(report)
    if task.token.exists():
        outcome = execute_run(task.planned, device=task.device, threads=task.threads, listener=listener)
        return RemoteResult(outcome)
    with tempfile.TemporaryDirectory(prefix="clearctl-sweep-") as folder:
        planned = _relocated(task, Path(folder))
        outcome = execute_run(planned, device=task.device, threads=task.threads, listener=listener)
        made = [place for place in Path(folder).iterdir() if place.is_dir()]
        if not made:
            return RemoteResult(outcome)
        return RemoteResult(replace(outcome, run=made[0]), pack(made[0]))


def _relocated(task: RemoteTask, folder: Path) -> PlannedRun:
    config = task.planned.config
    moved = replace(config, values={**config.values, "work_dir": str(folder)})
    run = task.planned.run
    if run is not None and task.before is not None:
        unpack(task.before, folder / run.name)
        run = folder / run.name
    return replace(task.planned, config=moved, run=run)


def _keep_features(planned: PlannedRun) -> None:
    """Read the features of a run, and only then drop those of the run before: they may be the same."""
    held = []
    settings = fill(planned.config)
    if settings.scenario.feature_type:
        with suppress(Exception):  # which the run itself will raise and report
            held.append(build_stream(settings.scenario, settings.data))
    _kept_streams[:] = held


def _rate_limited(report: Callable[[Event], None]) -> Callable[[Event], None]:
    """`report`, but of steps, epochs and counts only one in a while: each goes over the network."""
    sent_at = 0.0

    def listener(event: Event) -> None:
        nonlocal sent_at
        if isinstance(event, TrainStep | EpochDone | Counted):
            now = time.monotonic()
            if now - sent_at < _PERIOD_S:
                return
            sent_at = now
        report(event)

    return listener
