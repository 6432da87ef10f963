"""The work of a process of the cluster: runs, or stacks of them, with events sent to the planner."""

import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from clearctl.config.fill import fill
from clearctl.data.stream import Stream
from clearctl.engine.build.stream import build_stream
from clearctl.progress import Counted, EpochDone, Event, Listener, TrainStep
from clearctl.sweep.cluster.folders import pack, unpack
from clearctl.sweep.outcome import RunOutcome
from clearctl.sweep.plan import PlannedRun
from clearctl.sweep.work import execute_run, execute_stack

_PERIOD_S = 1.0  # between two reports of the steps of a run

_kept_streams: list[Stream] = []  # of the run before: the next one of this process mostly has the same features


@dataclass(frozen=True)
class RemoteTask:
    """A run as it is sent to the cluster. `token` is a file that exists if its work_dir is the planner's own.

    `before` is the packed folder of a run that is to be resumed, for a machine that does not have it.
    """

    planned: PlannedRun
    token: Path
    before: bytes | None
    device: str
    threads: int


@dataclass(frozen=True)
class RemoteResult:
    """The outcome of a run, and its packed folder if the planner cannot see it."""

    outcome: RunOutcome
    packed: bytes | None = None


def run_unit(tasks: Sequence[RemoteTask], reports: Sequence[Listener]) -> list[RemoteResult]:
    """Carry out a run, or several as one stack; reports[i] is notified of tasks[i].

    In their places where this machine sees them all, else in a temporary folder, and they are sent back.
    """
    _keep_features(tasks[0].planned)
    listeners = [_rate_limited(report) for report in reports]
    if all(task.token.exists() for task in tasks):
        return [RemoteResult(outcome) for outcome in _execute([task.planned for task in tasks], tasks[0], listeners)]
    with tempfile.TemporaryDirectory(prefix="clearctl-sweep-") as folder:
        places = [Path(folder) / str(number) for number in range(len(tasks))]
        planned = [_relocated(task, place) for task, place in zip(tasks, places, strict=True)]
        return list(map(_sent_back, _execute(planned, tasks[0], listeners), places))


def _execute(planned: Sequence[PlannedRun], task: RemoteTask, listeners: Sequence[Listener]) -> list[RunOutcome]:
    if len(planned) == 1:
        return [execute_run(planned[0], device=task.device, threads=task.threads, listener=listeners[0])]
    return execute_stack(planned, device=task.device, threads=task.threads, listeners=listeners)


def _sent_back(outcome: RunOutcome, place: Path) -> RemoteResult:
    made = list(place.iterdir())
    return RemoteResult(replace(outcome, run=made[0]), pack(made[0])) if made else RemoteResult(outcome)


def _relocated(task: RemoteTask, folder: Path) -> PlannedRun:
    folder.mkdir()
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


def _rate_limited(report: Listener) -> Listener:
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
