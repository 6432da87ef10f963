"""The engine `local`: the runs of a sweep in several processes of this machine."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import IO

from clearctl.engine.stopping import Wish
from clearctl.errors import CapabilityError
from clearctl.sweep.nursery import Assignment
from clearctl.sweep.outcome import SweepListener
from clearctl.sweep.plan import PlannedRun

_POLL_S = 0.2  # how soon a Ctrl-C is noticed


def run_local(
    runs: Sequence[tuple[int, PlannedRun]], *, jobs: int, device: str, listener: SweepListener, wish: Wish
) -> None:
    """Carry out `runs` (each with its number in the plan), `jobs` at a time; the cores are divided among them.

    Where `wish` asks for the end, those under way save their state and end, and no other begins; at a KeyboardInterrupt
    they end at once.
    """
    threads = max(1, usable_cores() // jobs)
    with tempfile.TemporaryFile("w+", errors="replace") as words:
        process, nursery = _start(threads, words)
        with nursery:
            try:
                nursery.send(Assignment(runs, jobs, threads, device))
                _listen(nursery, listener, wish)
            except (EOFError, ConnectionError):
                pass  # it ends once all runs have
            except KeyboardInterrupt:
                nursery.send("kill")
                raise
            finally:
                nursery.close()  # else it would wait for its runs, whatever was raised here
                process.wait()
        if process.returncode:
            words.seek(0)
            last = (words.read().strip().splitlines() or ["it said nothing"])[-1]
            raise CapabilityError(
                f"the process that the runs are started from ended with {process.returncode}: {last}\n"
                "run the same command again: finished runs are kept, the others go on"
            )


def _start(threads: int, words: IO[str]) -> tuple[subprocess.Popen[bytes], Connection]:
    """The nursery, and the connection to it. What it and the libraries print goes to `words`."""
    mine, theirs = socket.socketpair()
    with mine, theirs:
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; from clearctl.sweep.nursery import main; main({theirs.fileno()})"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # the terminal's Ctrl-C is passed on by this process, once
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
        return process, Connection(os.dup(mine.fileno()))


def usable_cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _listen(nursery: Connection, listener: SweepListener, wish: Wish) -> None:
    """Pass on what the nursery tells until it ends, which is an EOFError."""
    passed_on = False
    while True:
        if wish.signum is not None and not passed_on:
            nursery.send("stop")
            passed_on = True
        if nursery.poll(_POLL_S):
            listener(nursery.recv())
