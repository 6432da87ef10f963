"""Commands in processes of their own that have imported the libraries already: forked, as `killing` forks runs.

In all tests `subprocess` forks what would be a new Python for `-m clearctl ...`: here from the fork server, and in what
was forked, such as a launcher or a sweep, from that process itself. The process is a child of the one that starts it,
with the same arguments, environment, folder, pipes, exit code and signals. What it imports, and how fast it starts, is
not that of a new interpreter: a test of these is marked `process` and gets one.
"""

import ctypes
import os
import pty
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from interpreter import Start, become
from killing import CONTEXT, start_forked

MODULES = ("clearctl", "torch.distributed.run")
# Programs for `-c` that are forked: those that say so, and what a sweep starts its worker pool with.
FORKED = "# The libraries may be imported already.\n"
WORKER_POOL = "from clearctl.sweep.worker_pool import main"
PR_SET_CHILD_SUBREAPER = 36  # of Linux: orphans below become children of this process

_fork_exec: Callable[..., int] = subprocess._fork_exec  # type: ignore[attr-defined]
_notes = Path()  # the folder with the environments of what was forked; /proc has those of new interpreters only


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
    return pid if pid else become(start, descriptors, _begin)


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
        become(start, {number: connection.fileno() for number, connection in passed.items()}, _begin)
    answer.send(pid)


def _begin(start: Start) -> None:
    """Note the environment, and fork again from here."""
    global _notes
    _notes = start.notes
    with suppress(FileNotFoundError):  # the test has ended
        note = _note(_notes, os.getpid())
        written = note.with_suffix(".new")
        written.write_bytes(b"\0".join(name + b"=" + value for name, value in start.environ.items()))
        written.rename(note)
    subprocess._fork_exec = _start_from_here  # type: ignore[attr-defined]


def _note(folder: Path, pid: int) -> Path:
    """Named by when the process began, too, since ids come again."""
    began = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return folder / f"{pid}-{began}"
