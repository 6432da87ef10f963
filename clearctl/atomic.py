"""Files that are either whole or not there: written under a temporary name beside the target, then renamed."""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from clearctl.jsontext import json_text

# As `tempfile` names them: a random word of eight characters before the suffix.
_TEMPORARY = re.compile(r"\.(.*)\.[a-z0-9_]{8}\.tmp")
_STALE_S = 3600.0


@contextmanager
def replacing(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on a clean exit it is flushed to disk and renamed to `path`.

    Without `flush` a power cut may leave a file that is not whole: only for what has checksums and can be made again.
    On an exception the temporary file is removed and `path` is left as it was. Raises OSError.
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
    """What any new file or folder that asks for `mode` gets here."""
    umask = os.umask(0)
    os.umask(umask)
    return mode & ~umask


def remove_temporary(*folders: Path, name: str | None = None) -> None:
    """Remove the files in `folders` that killed processes were writing: all, or those that were to be called `name`.

    For the holder of a lock, without which another process may be writing there. A folder may be missing; what cannot
    be removed stays.
    """
    for folder in folders:
        for path in _temporary(folder, name):
            _remove(path)


def remove_stale(folder: Path, name: str | None = None) -> None:
    """As `remove_temporary`, but only what nobody has written to for an hour: for folders without a lock.

    Raises OSError where nothing can be written in `folder`.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        now = os.fstat(file.fileno()).st_mtime  # by the clock that the others' times are of: a server has its own
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
    """Write `data` to `path` whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, line ends as they are, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as `json_text` has it, whole or not at all."""
    write_text(path, json_text(value))


def write_with(path: Path, save: Callable[[Path], None]) -> None:
    """Let `save` write to a temporary path (`torch.save`, `figure.savefig`), then rename it to `path`."""
    with replacing(path) as temporary:
        save(temporary)
