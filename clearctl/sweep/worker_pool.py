"""The process from which a sweep's runs are forked: it imports libraries and reads features once for all of them.

It is started by `local`, with one end of a socket pair: it receives the runs, and reports their events. Features are in
memory once, however many runs train on them at a time, since the forks share what none of them writes to. It runs no
second thread and never asks for a GPU, since neither outlives a fork.
"""

import faulthandler
import functools
import gc
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from clearctl.config.check import check
from clearctl.config.fill import fill
from clearctl.data.stream import Stream
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.engine.build.stream import build_stream
from clearctl.engine.gpu import share_gpu
from clearctl.engine.machine import hide_gpus
from clearctl.engine.run.stopping import STOPPING
from clearctl.progress import Event, rate_limited
from clearctl.sweep.local import CARRIED_OUT, Assignment
from clearctl.sweep.outcome import RunEnded, RunOutcome, RunProgress, RunStarted
from clearctl.sweep.stacks import WorkUnit
from clearctl.sweep.work import execute_run, execute_stack


@dataclass
class Worker:
    """A unit in progress: its process, the pipe for its events, its output.

    `outcomes` {number in the plan: how the run ended} has what it reported of that.
    """

    unit: WorkUnit
    process: BaseProcess
    pipe: Connection
    output: Path
    outcomes: dict[int, RunOutcome] = field(default_factory=dict)


class WorkerPool:
    """Forks the runs of an assignment one after another, and passes on their events."""

    def __init__(self, parent: Connection, assignment: Assignment, folder: Path) -> None:
        self.parent = parent
        self.assignment = assignment
        self.folder = folder
        self.waiting = list(assignment.units)
        self.workers: list[Worker] = []
        self.features: dict[tuple[Any, ...], Stream] = {}
        self.stopping = False

    def work(self) -> None:
        """Carry out all runs, or until it is asked to stop and those in progress have ended."""
        while True:
            while self.waiting and not self.ending and len(self.workers) < self.assignment.jobs:
                self._fork(self.waiting.pop(0))
            if not self.workers:
                return
            self._wait_for_messages()

    @property
    def ending(self) -> bool:
        """Whether no other run is to begin: the parent said so, or will, since all processes got a signal."""
        return self.stopping or signal.SIGTERM in signal.sigpending()

    def _wait_for_messages(self) -> None:
        pipes = {worker.pipe: worker for worker in self.workers}
        for ready in wait([self.parent, *pipes]):
            if ready is self.parent:
                self._handle_command()
            elif isinstance(ready, Connection):
                self._receive(pipes[ready])

    def _handle_command(self) -> None:
        """Follow the parent's commands; if it has ended, the runs end as well."""
        try:
            command = self.parent.recv()
        except (EOFError, OSError):
            command = "stop" if not self.stopping else "kill"
            self.parent.close()
            self.parent = _silent_connection()
        self.stopping = True
        for worker in self.workers:
            with suppress(ProcessLookupError):
                assert worker.process.pid is not None
                os.kill(worker.process.pid, signal.SIGKILL if command == "kill" else signal.SIGTERM)

    def _receive(self, worker: Worker) -> None:
        try:
            index, message = worker.pipe.recv()
        except (EOFError, OSError):  # it has ended, or was killed in the middle of a message
            self._reap(worker)
            return
        if isinstance(message, RunOutcome):
            worker.outcomes[index] = message
        else:
            self._report(RunProgress(index, message))

    def _reap(self, worker: Worker) -> None:
        worker.process.join()
        worker.pipe.close()
        self.workers.remove(worker)
        for index, _ in worker.unit:
            self._report(RunEnded(index, worker.outcomes.get(index) or self._outcome_without_report(worker)))
        worker.output.unlink(missing_ok=True)

    def _outcome_without_report(self, worker: Worker) -> RunOutcome:
        """The outcome of a process that said none."""
        code = worker.process.exitcode or 0
        if self.ending and code in (-signal.SIGTERM, -signal.SIGKILL):
            return RunOutcome("stopped", error="stopped before its state could be saved")
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        memory = ": it may have run out of memory: use fewer --jobs" if code == -signal.SIGKILL else ""
        last = worker.output.read_text(errors="replace").strip()[-4000:]
        return RunOutcome("failed", error=f"its process {how}{memory}", exit_code=5, traceback=last)

    def _report(self, event: RunStarted | RunProgress | RunEnded) -> None:
        with suppress(OSError):  # the parent has ended, which `_handle_command` will notice
            self.parent.send(event)

    def _fork(self, unit: WorkUnit) -> None:
        self._keep_features(unit)
        reading, writing = multiprocessing.Pipe(duplex=False)
        output = self.folder / f"{unit[0][0]}.log"
        others = [self.parent, reading, *(worker.pipe for worker in self.workers)]
        process = multiprocessing.get_context("fork").Process(
            target=_run_worker, args=(unit, self.assignment, writing, output, others)
        )
        process.start()
        writing.close()  # so that its end is noticed when the worker ends
        self.workers.append(Worker(unit, process, reading, output))
        for index, _ in unit:
            self._report(RunStarted(index))

    def _keep_features(self, unit: WorkUnit) -> None:
        """Load the features of a unit before it is forked, and keep only those that other units still need."""
        key = _features(unit)
        if key is None:
            return
        # Those that are in progress keep theirs, whatever is dropped here.
        coming = {key, *(_features(other) for other in self.waiting)}
        self.features = {known: stream for known, stream in self.features.items() if known in coming}
        if key not in self.features:
            with suppress(Exception):  # which the run itself will raise and report
                settings = fill(unit[0][1].config)
                self.features[key] = build_stream(settings.scenario, settings.data)


def _features(unit: WorkUnit) -> tuple[Any, ...] | None:
    """A key that is equal for units on the same matrix of features; None for a run on images."""
    settings = fill(unit[0][1].config)
    scenario = settings.scenario
    if not scenario.feature_type:
        return None
    return scenario.dataset_root, scenario.feature_type, str(scenario.buckets), settings.data.loader == "mapped"


def _run_worker(
    unit: WorkUnit, assignment: Assignment, pipe: Connection, output: Path, others: Sequence[Connection]
) -> None:
    """The main function of a forked process: the run, reporting its events and finally its outcome through `pipe`."""
    for other in others:
        other.close()
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    faulthandler.enable()
    gone = stopping = False

    def end(number: int, frame: FrameType | None) -> None:
        # Once the run is stopping, a second signal would end it before its state is saved: whoever stops a job may
        # signal all of its processes, and the worker pool signals this one too.
        if not stopping:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)

    def report(index: int, event: Event) -> None:
        nonlocal gone, stopping
        stopping = stopping or event == STOPPING
        if gone:
            return
        try:
            pipe.send((index, event))
        except OSError:  # the process that runs the sweep has ended: end as if asked to
            gone = True
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)  # outside of `catch_stop_signals`, and within it for a second one
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    listeners = [rate_limited(functools.partial(report, index)) for index, _ in unit]
    device, threads = assignment.device, assignment.threads
    share_gpu(assignment.jobs)
    if len(unit) == 1:
        outcomes = [execute_run(unit[0][1], device=device, threads=threads, listener=listeners[0])]
    else:
        runs = [planned for _, planned in unit]
        outcomes = execute_stack(runs, device=device, threads=threads, listeners=listeners)
    with suppress(OSError):
        for (index, _), outcome in zip(unit, outcomes, strict=True):
            pipe.send((index, outcome))


def _silent_connection() -> Connection:
    """A connection on which nothing is ever heard."""
    here, there = multiprocessing.Pipe()
    _kept.append(there)
    return here


_kept: list[Connection] = []


def import_libraries() -> None:
    """Import mmcls and Avalanche, which take long, so that every fork still can use a GPU."""
    with hide_gpus():
        for registry in (CATALOGUE.heads, CATALOGUE.strategies):
            _ = registry.classes


def main(descriptor: int) -> None:
    """Serve the parent at the other end of `descriptor`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whoever stops a job may signal all of its processes: this one ends when its runs have. One that is forked now is
    # signalled when it can be.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    torch.set_num_threads(1)  # a fork inherits no pool of threads, but waits for one that was made before
    import_libraries()
    parent = Connection(descriptor)
    with suppress(EOFError, OSError):  # the sweep has ended, or has no more work
        while True:
            assignment = parent.recv()
            if isinstance(assignment, Assignment):  # what else comes was for runs that had just ended
                _carry_out(assignment, parent)
                parent.send(CARRIED_OUT)
    os._exit(0)  # unloading torch would take a second


def _carry_out(assignment: Assignment, parent: Connection) -> None:
    with hide_gpus():
        for planned in {planned.label: planned for unit in assignment.units for _, planned in unit}.values():
            check(planned.config, CATALOGUE)  # which also imports all other classes that the config names
    gc.freeze()  # a collection in a run would write to, and so copy, all that is imported
    with tempfile.TemporaryDirectory(prefix="clearctl-sweep-") as folder:
        WorkerPool(parent, assignment, Path(folder)).work()
