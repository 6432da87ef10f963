"""The engine `local`: the runs of a sweep in several processes of this machine.

It imports little, so that the worker pool can be started before the caller imports what the plan needs.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import IO, TYPE_CHECKING

from clearctl.cores import usable_cores
from clearctl.engine.run.stopping import StopRequest
from clearctl.errors import CapabilityError
from clearctl.sweep.outcome import SweepListener

if TYPE_CHECKING:
    from clearctl.sweep.stacks import WorkUnit

_POLL_S = 0.2  # how soon a Ctrl-C is noticed
CARRIED_OUT = "carried out"  # what the worker pool sends when an assignment is


@dataclass(frozen=True)
class Assignment:
    """The work of the worker pool: the units of runs, each in a process, at most `jobs` of them at a time.

    Each has `threads` threads.
    """

    units: Sequence["WorkUnit"]
    jobs: int
    threads: int
    device: str


class LocalEngine:
    """The worker pool: a process that the runs are forked from. The output of it and of the libraries goes to `log`.

    It carries out one assignment after another, until it is closed.
    """

    def __init__(self, log: IO[str]) -> None:
        self.log = log
        self.used = False
        mine, theirs = socket.socketpair()
        with mine, theirs:
            code = (
                f"import sys; sys.path[:] = {sys.path!r};"
                f" from clearctl.sweep.worker_pool import main; main({theirs.fileno()})"
            )
            self.process = subprocess.Popen(
                [sys.executable, "-c", code],
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # the terminal's Ctrl-C is passed on by this process, once
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1"},  # it has no second thread; a run is given its number
            )
            self.pipe = Connection(os.dup(mine.fileno()))

    def execute(self, assignment: Assignment, listener: SweepListener, stop_request: StopRequest) -> None:
        """Carry out all runs of an assignment.

        Where `stop_request` asks for the end, those in progress save their state and end, and no other begins; at a
        KeyboardInterrupt they end at once. Raises CapabilityError if the worker pool itself fails.
        """
        self.used = True
        carried_out = False
        try:
            with suppress(ConnectionError):  # if it has ended, the cause is reported below
                self.pipe.send(assignment)
            carried_out = self._relay_events(listener, stop_request)
        except KeyboardInterrupt:
            with suppress(OSError):
                self.pipe.send("kill")
            raise
        finally:
            if not carried_out:
                self.pipe.close()  # else it would wait for its runs, whatever was raised here
                self.process.wait()
        if not carried_out:
            self.log.seek(0)
            last = (self.log.read().strip().splitlines() or ["no output"])[-1]
            raise CapabilityError(
                f"the process that starts the runs ended with exit code {self.process.returncode}: {last}\n"
                "run the same command again: finished runs are kept, the others are resumed"
            )

    def _relay_events(self, listener: SweepListener, stop_request: StopRequest) -> bool:
        """Pass on the worker pool's events until all runs have ended; False if it ends before it says so."""
        passed_on = False
        while True:
            try:
                if stop_request.signum is not None and not passed_on:
                    self.pipe.send("stop")
                    passed_on = True
                event = self.pipe.recv() if self.pipe.poll(_POLL_S) else None
            except (EOFError, ConnectionError):
                return False
            if event == CARRIED_OUT:
                return True
            if event is not None:
                listener(event)

    def close(self) -> None:
        """End it; one that was given nothing to do has nothing to save."""
        self.pipe.close()
        if not self.used:
            self.process.kill()
        self.process.wait()


@contextmanager
def local_engine() -> Iterator[LocalEngine]:
    """A worker pool that imports what runs need while the caller does something else; closed at the end."""
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        engine = LocalEngine(log)
        try:
            yield engine
        finally:
            engine.close()


def threads_each(jobs: int) -> int:
    """The number of threads of each of `jobs` runs: its part of the cores, and no more than $OMP_NUM_THREADS."""
    part = max(1, usable_cores() // jobs)
    given = os.environ.get("OMP_NUM_THREADS", "")
    return min(part, int(given)) if given.isdecimal() and int(given) > 0 else part
