"""The process that a sweep's runs are forked from: libraries are imported and features read once, for all of them.

It is started by `local`, with one end of a socket pair: it is sent the runs, and tells how they go. Features are in
memory once, however many runs train on them at a time, since the forks share what none of them writes to. It runs no
second thread and never asks for a GPU, since neither outlives a fork.
"""

import faulthandler
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from clearctl.data.stream import Stream
from clearctl.engine.build import build_stream
from clearctl.errors import ClearctlError
from clearctl.progress import Event, rarely
from clearctl.sweep.outcome import Outcome, RunEnded, RunStarted, RunTold
from clearctl.sweep.plan import PlannedRun
from clearctl.sweep.work import carry_out


@dataclass(frozen=True)
class Assignment:
    """What the nursery is asked to do: the runs by their number in the plan, at most `jobs` of them at a time.

    Each has `threads` threads.
    """

    runs: Sequence[tuple[int, PlannedRun]]
    jobs: int
    threads: int
    device: str


@dataclass
class Child:
    """A run under way: its number in the plan, its process, the pipe that it tells its events through, its output."""

    index: int
    process: BaseProcess
    pipe: Connection
    output: Path
    outcome: Outcome | None = None


class Nursery:
    """Forks the runs of an assignment one after another, and passes on what they tell."""

    def __init__(self, parent: Connection, assignment: Assignment, folder: Path) -> None:
        self.parent = parent
        self.assignment = assignment
        self.folder = folder
        self.waiting = list(assignment.runs)
        self.children: list[Child] = []
        self.features: dict[tuple[Any, ...], Stream] = {}
        self.stopping = False

    def work(self) -> None:
        """Carry out all runs, or until it is asked to stop and those under way have ended."""
        while self.children or (self.waiting and not self.stopping):
            while self.waiting and not self.stopping and len(self.children) < self.assignment.jobs:
                self._fork(*self.waiting.pop(0))
            self._listen()

    def _listen(self) -> None:
        pipes = {child.pipe: child for child in self.children}
        for ready in wait([self.parent, *pipes]):
            if ready is self.parent:
                self._obey()
            elif isinstance(ready, Connection):
                self._hear(pipes[ready])

    def _obey(self) -> None:
        """Do what the parent says; where it is gone, the runs are to end as well."""
        try:
            word = self.parent.recv()
        except (EOFError, OSError):
            word = "stop" if not self.stopping else "kill"
            self.parent.close()
            self.parent = _nobody()
        self.stopping = True
        for child in self.children:
            with suppress(ProcessLookupError):
                assert child.process.pid is not None
                os.kill(child.process.pid, signal.SIGKILL if word == "kill" else signal.SIGTERM)

    def _hear(self, child: Child) -> None:
        try:
            told = child.pipe.recv()
        except (EOFError, OSError):  # it has ended, or was killed in the middle of a word
            self._bury(child)
            return
        if isinstance(told, Outcome):
            child.outcome = told
        else:
            self._tell(RunTold(child.index, told))

    def _bury(self, child: Child) -> None:
        child.process.join()
        child.pipe.close()
        self.children.remove(child)
        outcome = child.outcome or self._without_a_word(child)
        child.output.unlink(missing_ok=True)
        self._tell(RunEnded(child.index, outcome))

    def _without_a_word(self, child: Child) -> Outcome:
        """The outcome of a process that said none."""
        code = child.process.exitcode or 0
        if self.stopping and code in (-signal.SIGTERM, -signal.SIGKILL):
            return Outcome("stopped", error="stopped before its state could be saved")
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        memory = ": perhaps memory ran out, then use fewer --jobs" if code == -signal.SIGKILL else ""
        last = child.output.read_text(errors="replace").strip()[-4000:]
        return Outcome("failed", error=f"its process {how}{memory}", exit_code=5, traceback=last)

    def _tell(self, event: RunStarted | RunTold | RunEnded) -> None:
        with suppress(OSError):  # the parent is gone, which `_obey` will hear of
            self.parent.send(event)

    def _fork(self, index: int, planned: PlannedRun) -> None:
        self._keep_features(planned)
        reading, writing = multiprocessing.Pipe(duplex=False)
        output = self.folder / f"{index}.log"
        others = [self.parent, reading, *(child.pipe for child in self.children)]
        process = multiprocessing.get_context("fork").Process(
            target=_live, args=(planned, self.assignment, writing, output, others)
        )
        process.start()
        writing.close()  # so that its end is heard when the child ends
        self.children.append(Child(index, process, reading, output))
        self._tell(RunStarted(index))

    def _keep_features(self, planned: PlannedRun) -> None:
        """Have the features of a run in memory when it is forked, and no others than those that runs still wait for."""
        key = _features(planned)
        if key is None:
            return
        # Those that are under way keep theirs, whatever is let go of here.
        coming = {key, *(_features(run) for _, run in self.waiting)}
        self.features = {known: stream for known, stream in self.features.items() if known in coming}
        if key not in self.features:
            with suppress(ClearctlError):  # which the run itself will raise and tell
                self.features[key] = build_stream(planned.config)


def _features(planned: PlannedRun) -> tuple[Any, ...] | None:
    """What is equal for runs on the same matrix of features; None for a run on images."""
    scenario = planned.config.values["scenario"]
    if not scenario.get("feature_type"):
        return None
    return scenario["dataset_root"], scenario["feature_type"], str(scenario.get("buckets"))


def _live(
    planned: PlannedRun, assignment: Assignment, pipe: Connection, output: Path, others: Sequence[Connection]
) -> None:
    """What a forked process does: the run, telling its events and at last its outcome through `pipe`."""
    for other in others:
        other.close()
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    faulthandler.enable()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gone = False

    def tell(event: Event) -> None:
        nonlocal gone
        if gone:
            return
        try:
            pipe.send(event)
        except OSError:  # nobody is there any more to run the sweep: end as if asked to
            gone = True
            os.kill(os.getpid(), signal.SIGTERM)

    outcome = carry_out(planned, device=assignment.device, threads=assignment.threads, listener=rarely(tell))
    with suppress(OSError):
        pipe.send(outcome)


def _nobody() -> Connection:
    """A connection on which nothing is ever heard."""
    here, there = multiprocessing.Pipe()
    _kept.append(there)
    return here


_kept: list[Connection] = []


def main(descriptor: int) -> None:
    """Serve the parent at the other end of `descriptor`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)  # a fork inherits no pool of threads, but waits for one that was made before
    parent = Connection(descriptor)
    with tempfile.TemporaryDirectory(prefix="clearctl-sweep-") as folder:
        assignment = parent.recv()
        Nursery(parent, assignment, Path(folder)).work()
    os._exit(0)  # unloading torch would take a second
