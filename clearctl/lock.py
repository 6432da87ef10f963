"""A lock file that one process holds at a time, and that says which."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from clearctl.errors import ClearctlError


class LockHeldError(Exception):
    """Another process holds the lock: `pid`, or None where it did not say yet."""

    def __init__(self, path: Path, pid: int | None) -> None:
        super().__init__(f"{path} is held by process {pid or 'unknown'}")
        self.pid = pid


# What the system says on a file system without locks: network and FUSE file systems do not agree on one of them.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_held: set[int] = set()


def _release_in_child() -> None:
    """A forked worker shares the lock, and would hold it on for seconds after its parent was killed."""
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_release_in_child)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path` (its folder is made where it is not there) and remove it at the end.

    The system lets go of it when the process ends, however it ends: a file left behind by a killed process holds
    nobody up. Raises LockHeldError at once where another process holds it, OSError where the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _locked(path)
    _held.add(handle)
    try:
        with suppress(OSError):
            os.fchmod(handle, 0o666)  # another user of the folder is to find it held, whatever the umask
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        if handle in _held:  # not in a forked worker, which does not hold it
            with suppress(OSError):  # in a folder that is read-only by now the file stays, and holds nobody up
                path.unlink()
            _held.discard(handle)
            os.close(handle)


@contextmanager
def exclusive_lock(path: Path, what: Path, error: type[ClearctlError]) -> Iterator[None]:
    """Hold the lock file `path` while `what` is changed; where another process holds it, raise `error`, naming its pid.

    In a folder that cannot be written the lock is left out, since nothing can be changed there but through links; and
    on a file system that knows no locks.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(path))
        except LockHeldError as other:
            holder = f"process {other.pid}" if other.pid else "another process"
            raise error(f"{what} is being changed by {holder}\nwait for it to end, then run this again") from None
        except OSError as fault:
            # Where the folder can be written, it is the file that is refused: another user's, who may hold it.
            is_read_only = fault.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and not os.access(
                path.parent, os.W_OK
            )
            if not is_read_only and fault.errno not in _NO_LOCKS:
                raise error(f"{path} cannot be written: {fault.strerror}") from None
        yield


def _locked(path: Path) -> int:
    """An open descriptor of the file at `path`, locked."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder before removed its file when it ended: what is locked here may no longer be the file at `path`.
            if _same_file(handle, path):
                return handle
        except BlockingIOError:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip()
            os.close(handle)
            raise LockHeldError(path, int(holder) if holder.isdecimal() else None) from None
        except BaseException as error:
            if isinstance(error, OSError) and error.errno in _NO_LOCKS:
                with suppress(OSError):
                    path.unlink()  # the next one would not find it held either
            os.close(handle)
            raise
        os.close(handle)


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
