"""Files that are either whole or not there: written under a temporary name beside the target, then renamed."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clearctl.jsontext import json_text


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


def temporary_files(folder: Path, names: str = "*") -> Iterator[Path]:
    """What is in `folder` of files that are being written, or were by a process that was killed, called `names`."""
    return folder.glob(f".{names}.*.tmp")


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
