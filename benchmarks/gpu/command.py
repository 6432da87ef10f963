"""`clearctl` as a user runs it, in its own process."""

import multiprocessing
import subprocess
import sys
from multiprocessing.process import BaseProcess

from benchmarks.gpu.check import ROOT


def forked(*arguments: object) -> BaseProcess:
    """The command line in a process forked from this one, which has all imports and has not used the GPU."""
    process = multiprocessing.get_context("fork").Process(target=_call, args=(list(map(str, arguments)),))
    process.start()
    return process


def _call(arguments: list[str]) -> None:
    from clearctl.cli import app

    app(arguments)


def from_shell(*arguments: object) -> "subprocess.Popen[str]":
    """The command from the shell on; its stdout is to be read."""
    line = [sys.executable, "-m", "clearctl", *map(str, arguments)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=ROOT)
