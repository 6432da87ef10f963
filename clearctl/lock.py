"""A lock file that one process holds at a time, and that contains its process id."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from clearctl.errors import ClearctlError


class LockHeldError(Exception):
    """Another process holds the lock: `pid`, or None if it has not written it yet."""

    def __init__(self, path: Path, pid: int | None) -> None:
        super().__init__(f"{path} is held by process {pid or 'unknown'}")
        self.pid = pid


# The error codes of file systems without locks: network and FUSE file systems differ.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_held: set[int] = set()


def _release_in_child() -> None:
    """A forked worker shares the lock, and would keep it for seconds after its parent was killed."""
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_release_in_child)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path` (its folder is created if missing) and remove it when the context exits.

    The system releases the lock when the process ends, however it ends: a file left by a killed process blocks nobody.
    Raises LockHeldError immediately if another process holds it, OSError if the file cannot be created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _locked(path)
    _held.add(handle)
    try:
        with suppress(OSError):
            os.fchmod(handle, 0o666)  # other users must be able to open it, whatever the umask
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        if handle in _held:  # not in a forked worker, which does not hold it
            with suppress(OSError):  # in a folder that became read-only the file stays, which blocks nobody
                path.unlink()
            _held.discard(handle)
            os.close(handle)


@contextmanager
def exclusive_lock(path: Path, what: Path, error: type[ClearctlError]) -> Iterator[None]:
    """Hold the lock file `path` while `what` is changed; if another process holds it, raise `error` with its pid.

    Without a lock in a read-only folder, where only links could be changed, and on a file system without locks.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(path))
        except LockHeldError as other:
            holder = f"process {other.pid}" if other.pid else "another process"
            raise error(f"{what} is being changed by {holder}\nwait for it to end, then run this again") from None
        except OSError as fault:
            # The folder is writable, so the file is not: another user's, who may hold it.
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
            # The previous holder removed its file when it ended: this may no longer be the file at `path`.
            if _same_file(handle, path):
                return handle
        except BlockingIOError:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip()
            os.close(handle)
            raise LockHeldError(path, int(holder) if holder.isdecimal() else None) from None
        except BaseException as error:
            if isinstance(error, OSError) and error.errno in _NO_LOCKS:
                with suppress(OSError):
                    path.unlink()  # the next process would not find it locked either
            os.close(handle)
            raise
        os.close(handle)


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
