"""Commands in processes of their own that have imported the libraries already: forked, as `killing` forks runs.

In all tests `subprocess` forks what would be a new Python for `-m clearctl ...`: here from the fork server, and in what
was forked, such as a launcher or a sweep, from that process itself. The process is a child of the one that starts it,
with the same arguments, environment, folder, pipes, exit code and signals. What it imports, and how fast it starts, is
not that of a new interpreter: a test of these is marked `process` and gets one.
"""

import atexit
import ctypes
import gc
import importlib.util
import logging
import multiprocessing
import os
import pty
import random
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver, process, resource_tracker, util
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from halting import HOOKS
from killing import CONTEXT, TESTS, start_forked

MODULES = ("clearctl", "torch.distributed.run")
# Programs for `-c` that are forked: those that say so, and what a sweep starts its worker pool with.
FORKED = "# The libraries may be imported already.\n"
WORKER_POOL = "from clearctl.sweep.worker_pool import main"
PR_SET_CHILD_SUBREAPER = 36  # of Linux: orphans below become children of this process

_fork_exec: Callable[..., int] = subprocess._fork_exec  # type: ignore[attr-defined]
_notes = Path()  # the folder with the environments of what was forked; /proc has those of new interpreters only


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


@contextmanager
def warm_starts() -> Iterator[None]:
    """Fork what would be a new Python for clearctl, on Linux; elsewhere nothing changes."""
    global _notes
    if sys.platform != "linux":
        yield
        return
    with tempfile.TemporaryDirectory() as folder, _starting(_start_from_server):
        _notes = Path(folder)
        yield


def new_starts() -> AbstractContextManager[None]:
    """Start new interpreters after all."""
    return _starting(_fork_exec)


@contextmanager
def _starting(how: Callable[..., int]) -> Iterator[None]:
    before = subprocess._fork_exec  # type: ignore[attr-defined]
    subprocess._fork_exec = how  # type: ignore[attr-defined]
    try:
        yield
    finally:
        subprocess._fork_exec = before  # type: ignore[attr-defined]


def deliver_sigint() -> None:
    """For `preexec_fn`: Ctrl-C reaches the process also where a shell has started the tests in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def environ_of(pid: int) -> list[str]:
    """The environment that a process was started with, as NAME=VALUE. Raises OSError where it has ended."""
    with suppress(FileNotFoundError):
        return _note(_notes, pid).read_bytes().decode(errors="replace").split("\0")
    return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")


def words_of(command: str, folder: Path, environ: Mapping[str, str]) -> list[list[str]]:
    """The arguments of each `clearctl` in a command line of a shell, as the shell would start them in `folder`."""
    script = "clearctl() { printf '%s\\0' \"$@\"; printf '\\n'; }\n" + command
    said = subprocess.run(script, shell=True, cwd=folder, env=dict(environ), stdout=subprocess.PIPE, check=True)
    return [line.split("\0")[:-1] for line in said.stdout.decode().splitlines()]


def run_warm(command: str, folder: Path, environ: Mapping[str, str]) -> list[subprocess.CompletedProcess[str]]:
    """What each of them does and prints, one after another; one that fails is the last."""
    ended = []
    for words in words_of(command, folder, environ):
        arguments = [sys.executable, "-m", "clearctl", *words]
        ended.append(subprocess.run(arguments, cwd=folder, env=dict(environ), capture_output=True, text=True))
        if ended[-1].returncode:
            break
    return ended


def run_on_terminal(arguments: Sequence[object], read: Callable[[bytes], None] = lambda more: None) -> tuple[int, str]:
    """The exit code of `clearctl` on a pseudo-terminal and what it printed; `read` is called with each part of that."""
    ours, theirs = pty.openpty()
    printed = b""
    command = [sys.executable, "-m", "clearctl", *map(str, arguments)]
    started = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        with suppress(OSError):  # Linux says so when nobody is there any more to write
            while more := os.read(ours, 65536):
                printed += more
                read(more)
    finally:
        os.close(ours)
    return started.wait(), printed.decode()


# In the process that starts another


def _start_from_server(*given: Any) -> int:
    """`fork_exec` in a process that is not to be forked itself, since it has used torch's autograd."""
    start, descriptors = _asked(*given)
    if start is None:
        return _fork_exec(*given)
    libc = ctypes.CDLL(None)
    ours, theirs = CONTEXT.Pipe(duplex=False)
    passed = {number: Connection(os.dup(one)) for number, one in descriptors.items()}
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        parent = start_forked(_leave_orphan, start, passed, theirs)
        theirs.close()
        pid: int = ours.recv()
        parent.join()  # from now on it is a child of this process
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0)
        for connection in (*passed.values(), ours):
            connection.close()
    return pid


def _start_from_here(*given: Any) -> int:
    """`fork_exec` in a process that was forked from the server."""
    start, descriptors = _asked(*given)
    if start is None:
        return _fork_exec(*given)
    pid = os.fork()
    return pid if pid else _become(start, descriptors)


def _asked(*given: Any) -> tuple[Start | None, dict[int, int]]:
    """What `fork_exec` is to start, None where that is to be a new process; and {number there: descriptor here}."""
    arguments, _, _, kept, folder, environ, stdin, _, _, stdout, _, stderr, _, error, _, new_session = given[:16]
    words = [os.fsdecode(argument) for argument in arguments]
    start = Start(
        words,
        os.fsdecode(folder) if folder else os.getcwd(),
        dict(os.environb) if environ is None else dict(entry.split(b"=", 1) for entry in environ),
        bool(new_session),
        _notes,
    )
    first = [function for function in given[16:] if callable(function)]  # what is called between fork and exec
    if not _is_warm(start) or first not in ([], [deliver_sigint]):
        return None, {}
    descriptors = {number: number if one < 0 else one for number, one in enumerate((stdin, stdout, stderr))}
    return start, {**descriptors, **{number: number for number in kept if number != error}}


def _is_warm(start: Start) -> bool:
    if start.words[0] != sys.executable or not {"-m", "-c"} & set(start.words):
        return False
    if any(flag not in ("-u", "-W", "ignore") for flag in start.flags):
        return False
    if start.kind == "-m":
        return start.program in MODULES
    return FORKED in start.program or WORKER_POOL in start.program


# In the server and in what is forked from it


def _leave_orphan(start: Start, passed: Mapping[int, Connection], answer: Connection) -> None:
    """Start it, and end: the test adopts it."""
    pid = os.fork()
    if not pid:
        _become(start, {number: connection.fileno() for number, connection in passed.items()})
    answer.send(pid)


def _become(start: Start, descriptors: Mapping[int, int]) -> NoReturn:
    """Do in this process what the Python would, and end."""
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
    global _notes
    _notes = start.notes
    with suppress(FileNotFoundError):  # the test has ended
        note = _note(_notes, os.getpid())
        written = note.with_suffix(".new")
        written.write_bytes(b"\0".join(name + b"=" + value for name, value in start.environ.items()))
        written.rename(note)
    subprocess._fork_exec = _start_from_here  # type: ignore[attr-defined]
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


def _note(folder: Path, pid: int) -> Path:
    """Named by when the process began, too, since ids come again."""
    began = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return folder / f"{pid}-{began}"


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
