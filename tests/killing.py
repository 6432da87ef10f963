"""Runs in processes of their own, which end where a test wants it: by SIGKILL, or by another signal.

A server process imports once what a run needs, and every run is forked from it; nothing is learned in the server, since
torch's autograd does not survive a fork. The places in a run at which it can end are those of `places`.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from places import PATIENCE_S, Label, Work, do

KILLED = -signal.SIGKILL  # the exit code of a process that was
TESTS = Path(__file__).parent
CONTEXT = multiprocessing.get_context("forkserver")
# clearctl first: with it Avalanche is imported without W&B, which has a folder that the first run to end would remove.
CONTEXT.set_forkserver_preload(["clearctl.strategies", "preloaded"])


def start_forked(target: Callable[..., None], *arguments: Any) -> Any:
    """A process of CONTEXT that does `target(*arguments)`; the first starts the server."""
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{TESTS}{os.pathsep}{path or ''}"  # where it finds what it preloads
    forkserver.ensure_running()
    if path is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = path
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    return process


@dataclass
class Ended:
    """How a process ended: its exit code (-9 when killed), what it said, which places it passed, what `train` gave."""

    exit_code: int
    said: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    places: list[Label] = field(default_factory=list)
    run: Path | None = None
    matrix: list[list[float]] | None = None
    error: str | None = None  # the class of what was raised
    text: str = ""

    def require(self) -> "Ended":
        """Itself, where the run came to its end."""
        assert self.exit_code == 0, (self.exit_code, self.error, self.text, self.said, self.warnings)
        assert self.run is not None, (self.error, self.text)
        return self


class ChildProcess:
    """A process that does `work`."""

    def __init__(self, work: Work) -> None:
        self.messages, theirs = CONTEXT.Pipe(duplex=False)
        self.process = start_forked(do, work, theirs)
        theirs.close()
        self.ended = Ended(0)
        self.until = time.monotonic() + PATIENCE_S

    @property
    def pid(self) -> int:
        """Its process id."""
        pid = self.process.pid
        assert pid is not None
        return pid

    def wait_for(self, kind: str) -> Any:
        """The next message of a `kind`: "said", "at", "workers"."""
        while True:
            assert self._is_there(), f"it ended before it sent {kind!r}: {self.ended}"
            found, value = self._receive()
            if found == kind:
                return value

    def end(self) -> Ended:
        """Wait for its end."""
        while self._is_there():
            self._receive()
        self.process.join()
        self.messages.close()
        self.ended.exit_code = self.process.exitcode or 0
        return self.ended

    def _is_there(self) -> bool:
        """Wait for a message; False at the end of the process, which its forked workers may outlive."""
        left = self.until - time.monotonic()
        ready = wait([self.messages, self.process.sentinel], max(left, 0))
        if not ready:
            self.process.kill()
            raise TimeoutError(f"the process did not end in {PATIENCE_S:.0f} s: {self.ended}")
        return self.messages in ready and self.messages.poll() and not self._closed()

    def _closed(self) -> bool:
        try:
            self._next = self.messages.recv()
        except (EOFError, OSError):
            return True
        return False

    def _receive(self) -> tuple[str, Any]:
        kind, value = self._next
        if kind == "said":
            text, is_warning = value
            (self.ended.warnings if is_warning else self.ended.said).append(text)
        elif kind == "places":
            self.ended.places = value
        elif kind == "done":
            self.ended.run, self.ended.matrix = value
        elif kind == "failed":
            self.ended.error, self.ended.text = value
        return kind, value


def run_process(target: Path, **work: Any) -> Ended:
    """Do a Work in a process of its own, and wait for its end."""
    return ChildProcess(Work(target, **work)).end()
