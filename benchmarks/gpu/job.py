"""A part in its own process, which is killed with all that it started when its time is over."""

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from benchmarks.gpu.check import Check
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.parts import Part

PRELOADED = ("benchmarks.gpu.preload",)


def forkserver() -> BaseContext:
    """Processes that are forked from one which has imported the libraries, and asked for no GPU: they begin at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


class Job:
    """A part in progress. Its output goes to the file `log`, its findings to `file`."""

    def __init__(self, context: BaseContext, part: Part, check: Check, file: Path, log: Path) -> None:
        self.part = part
        self.file = file
        self.started = time.monotonic()
        self.process: BaseProcess = context.Process(target=_work, args=(part, check, file, log))  # type: ignore[attr-defined]
        self.process.start()

    def wait(self, seconds: float) -> int | None:
        """The exit code; None if it runs still after `seconds`."""
        self.process.join(max(0.0, seconds))
        return self.process.exitcode

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self.started

    def kill(self) -> None:
        """End it at once, and whatever it started."""
        assert self.process.pid is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()


def _work(part: Part, check: Check, file: Path, log: Path) -> None:
    os.setsid()  # its own group, which can be killed as a whole
    # A process of a fork server starts its own children through one too: data loaders would take seconds for each.
    multiprocessing.set_start_method("fork", force=True)
    sys.stdout = sys.stderr = log.open("a", buffering=1)
    for descriptor in (1, 2):  # of libraries and of other processes
        os.dup2(sys.stdout.fileno(), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the check runs in the background
    try:
        part.load()(check, Findings(part.name, file))
    except BaseException:
        traceback.print_exc()
        raise SystemExit(1) from None
    finally:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        print(f"[{part.name}] {sum(each.ru_utime + each.ru_stime for each in used):.1f} s of the processor", flush=True)
