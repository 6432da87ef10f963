"""Atomic writes: a file is written under a temporary name next to the target, then renamed."""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from clearctl.jsontext import json_text

# The names that `tempfile` gives: a random word of eight characters before the suffix.
_TEMPORARY = re.compile(r"\.(.*)\.[a-z0-9_]{8}\.tmp")
_STALE_S = 3600.0


@contextmanager
def replacing(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on a clean exit it is flushed to disk and renamed to `path`.

    Without `flush` a power failure may leave a truncated file: use it only for files with checksums that can be
    rebuilt. On an exception the temporary file is removed and `path` is left as it was. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if flush:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        temporary.chmod(permissions(0o666))  # mkstemp makes files private
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def permissions(mode: int) -> int:
    """The permissions that a new file or folder created with `mode` gets under the umask."""
    umask = os.umask(0)
    os.umask(umask)
    return mode & ~umask


def remove_temporary(*folders: Path, name: str | None = None) -> None:
    """Remove the temporary files that killed processes left in `folders`: all, or only those for the file `name`.

    Call it only while holding the lock: without it another process may be writing there. A missing folder is skipped,
    and so is a file that cannot be removed.
    """
    for folder in folders:
        for path in _temporary(folder, name):
            _remove(path)


def remove_stale(folder: Path, name: str | None = None) -> None:
    """Like `remove_temporary`, but only files that were not written to for an hour: for folders without a lock.

    Raises OSError if `folder` is not writable.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        now = os.fstat(file.fileno()).st_mtime  # the clock of the file system, which may be a server's
    for path in _temporary(folder, name):
        with suppress(OSError):
            if now - path.stat().st_mtime > _STALE_S:
                _remove(path)


def _temporary(folder: Path, name: str | None) -> list[Path]:
    try:
        paths = list(folder.iterdir())
    except OSError:
        return []
    return [path for path in paths if (found := _TEMPORARY.fullmatch(path.name)) and name in (None, found[1])]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write `data` to `path` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8 atomically, with its line ends unchanged."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as the output of `json_text`, atomically."""
    write_text(path, json_text(value))


def write_with(path: Path, save: Callable[[Path], None]) -> None:
    """Call `save` (`torch.save`, `figure.savefig`) with a temporary path, then rename that file to `path`."""
    with replacing(path) as temporary:
        save(temporary)
