"""Makes a forked process the Python that a test started: its command line, streams, environment and end."""

import atexit
import gc
import importlib.util
import logging
import multiprocessing
import os
import random
import runpy
import signal
import sys
import threading
import traceback
import types
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver, process, resource_tracker, util
from pathlib import Path
from typing import NoReturn

from halting import HOOKS

TESTS = Path(__file__).parent


@dataclass(frozen=True)
class Start:
    """A Python to be started: its command line, the interpreter first, and the rest as `subprocess` has it."""

    words: list[str]
    folder: str
    environ: dict[bytes, bytes]
    new_session: bool
    notes: Path

    @property
    def flags(self) -> list[str]:
        """The options of the interpreter itself."""
        return self.words[1 : self._at]

    @property
    def kind(self) -> str:
        """`-m` or `-c`."""
        return self.words[self._at]

    @property
    def program(self) -> str:
        """The name of a module, or code."""
        return self.words[self._at + 1]

    @property
    def arguments(self) -> list[str]:
        """Those of the program."""
        return self.words[self._at + 2 :]

    @property
    def _at(self) -> int:
        return min(self.words.index(kind) for kind in ("-m", "-c") if kind in self.words)


def become(start: Start, descriptors: Mapping[int, int], begin: Callable[[Start], None]) -> NoReturn:
    """Do in this process what the Python would, after `begin`, and end."""
    code = 1
    try:
        gc.freeze()  # a collection would write to, and so copy, all that the server has imported
        _keep_only(descriptors)
        if start.new_session:
            os.setsid()
        os.chdir(start.folder)
        os.environb.clear()
        os.environb.update(start.environ)
        _forget_parent()
        _open_streams("-u" in start.flags)
        begin(start)
        _set_up(start)
        code = _run(start)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _keep_only(descriptors: Mapping[int, int]) -> None:
    """Give each descriptor its number, and close all others."""
    above = max([*descriptors, *descriptors.values()]) + 1
    moved = {}
    for number, descriptor in descriptors.items():
        above = moved[number] = _duplicated(descriptor, above)
        above += 1
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in moved.values():
            with suppress(OSError):
                os.close(int(name))
    for number, descriptor in moved.items():
        os.dup2(descriptor, number)
        os.close(descriptor)


def _duplicated(descriptor: int, least: int) -> int:
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_DUPFD, least)


def _forget_parent() -> None:
    """What a new interpreter has no trace of: handlers of signals, processes below, drawn numbers, commands parsed."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    (main,) = (kind for kind in process.BaseProcess.__subclasses__() if kind.__name__ == "_MainProcess")
    process._current_process = main()  # type: ignore[attr-defined]
    process._parent_process = None  # type: ignore[attr-defined]
    process._children.clear()  # type: ignore[attr-defined]
    util._finalizer_registry.clear()  # type: ignore[attr-defined]
    multiprocessing.set_start_method("fork", force=True)
    tracker, server = resource_tracker._resource_tracker, forkserver._forkserver  # type: ignore[attr-defined]
    tracker._fd = tracker._pid = None
    server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = server._inherited_fds = None
    logging.disable(logging.NOTSET)
    for name in [name for name in sys.modules if name.startswith(("clearctl.cli", "clearctl.__main__"))]:
        del sys.modules[name]
    random.seed()


def _open_streams(is_unbuffered: bool) -> None:
    """As Python does when it starts."""
    is_unbuffered = is_unbuffered or bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    for number, name, errors in ((1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        stream = os.fdopen(number, "w", encoding="utf-8", errors=errors, closefd=False)
        stream.reconfigure(line_buffering=name == "stderr" or stream.isatty(), write_through=is_unbuffered)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _set_up(start: Start) -> None:
    """The rest of what is asked from Python by its command line and environment."""
    if "-W" in start.flags:
        warnings.simplefilter("ignore")
    import numpy as np
    import torch

    np.random.seed()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))))
    more = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    first = start.folder if start.kind == "-m" else ""
    sys.path[:] = [first, *more, *(folder for folder in sys.path if not folder.startswith(str(TESTS)))]
    for file in (Path(folder, "sitecustomize.py") for folder in more):
        if file.is_file():
            _customize(file)
            break


def _customize(file: Path) -> None:
    """Run a `sitecustomize`; that of `halting`, which can be installed only once, begins to count again."""
    known = sys.modules.get("sitecustomize")
    if file.parent == HOOKS and getattr(known, "__file__", None) == str(file):
        known.known, known.seen = None, 0  # type: ignore[union-attr]
        return
    spec = importlib.util.spec_from_file_location("sitecustomize", file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules["sitecustomize"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def _run(start: Start) -> int:
    """The exit code of the program, after all that Python does at its end."""
    sys.orig_argv = start.words
    sys.argv = ["-c" if start.kind == "-c" else start.program, *start.arguments]
    code = 0
    try:
        if start.kind == "-m":
            runpy.run_module(start.program, run_name="__main__", alter_sys=True)
        else:
            sys.modules["__main__"] = module = types.ModuleType("__main__")
            exec(start.program, module.__dict__)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if not isinstance(end.code, int | None):
            print(end.code, file=sys.stderr)
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with suppress(OSError):
        sys.stderr.flush()
    try:
        sys.stdout.flush()
    except OSError:
        code = 120
    return code & 0xFF
