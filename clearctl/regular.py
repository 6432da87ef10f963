"""Open a file for reading only if it is a regular one.

Opening a named pipe (FIFO) blocks until a process writes to it, and a device such as /dev/zero has no end: a command
that reads either of them hangs.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def open_regular(path: Path | str) -> BufferedReader:
    """Open `path` to read its bytes. Links are followed.

    Raises OSError if it does not exist or is not a regular file; `strerror` then says what it is.
    """
    file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 the caller closes it
    kind = stat.S_IFMT(os.fstat(file.fileno()).st_mode)
    if kind != stat.S_IFREG:
        file.close()
        raise _no_file(kind, path)
    return file


def read_bytes(path: Path | str) -> bytes:
    """The bytes of the regular file `path`. Raises OSError as `open_regular` does."""
    with open_regular(path) as file:
        return file.read()


def read_text(path: Path | str, encoding: str = "utf-8", errors: str = "strict") -> str:
    """The text of the regular file `path`, with "\\n" at the end of each line.

    Raises OSError as `open_regular` does, and UnicodeDecodeError.
    """
    return read_bytes(path).decode(encoding, errors).replace("\r\n", "\n").replace("\r", "\n")


def what_it_is_instead(beginning: bytes) -> str | None:
    """What stands where a binary file is expected, if `beginning` shows one of the two that downloads leave there."""
    if beginning.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself: run `git lfs pull` where it was cloned"
    if beginning.lstrip()[:5].lower() in (b"<html", b"<!doc"):
        return "it is a web page: download the file again"
    return None


def _open_at_once(path: str, flags: int) -> int:
    """A file descriptor, opened without waiting for the other end of a pipe."""
    try:
        return os.open(path, flags | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:  # the kernel's error for a socket
            raise _no_file(stat.S_IFMT(os.stat(path).st_mode), path) from None
        raise


def _no_file(kind: int, path: Path | str) -> OSError:
    return OSError(errno.EINVAL, f"found {_KINDS.get(kind, 'something else')}, expected a regular file", str(path))
