"""SHA256SUMS: the sha256 of the checkpoints in its folder, as `sha256sum -c SHA256SUMS` reads it.

A file without a line is as good as before there were sums: those of older runs have none, and after a kill the line of
the newest may be missing. A file that has a line must have that digest.
"""

import hashlib
import re
from pathlib import Path

from clearctl import atomic
from clearctl.regular import read_text

NAME = "SHA256SUMS"

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")  # digest, then "*" for what was read as binary


def sums_file(folder: Path) -> Path:
    """Where the sums of a folder lie."""
    return folder / NAME


def read_sums(folder: Path) -> dict[str, str]:
    """{name of a file in the folder: its sha256}; lines of another form are passed over. Raises OSError."""
    try:
        text = read_text(sums_file(folder), errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    matches = map(_LINE.fullmatch, text.split("\n"))
    return {match[2]: match[1] for match in matches if match}


def write_summed(file: Path, data: bytes | memoryview) -> None:
    """Write `data` to `file` whole or not at all, and its line to SHA256SUMS. Raises OSError.

    After a kill between any two steps no file has the line of other bytes. Lines of files that are not there any more
    are removed, so that `sha256sum -c` finds all that it looks for.
    """
    sums = read_sums(file.parent)
    others = {name: digest for name, digest in sums.items() if name != file.name and (file.parent / name).is_file()}
    digest = hashlib.sha256(data).hexdigest()
    if sums.get(file.name, digest) != digest:
        _write(file.parent, others)
    atomic.write_bytes(file, data)
    wanted = {**others, file.name: digest}
    if wanted != sums:
        _write(file.parent, wanted)


def _write(folder: Path, sums: dict[str, str]) -> None:
    """Write SHA256SUMS, exp_9.pth before exp_10.pth; none without lines, which sha256sum would take for a fault."""
    if not sums:
        sums_file(folder).unlink(missing_ok=True)
        return
    names = sorted(sums, key=lambda name: (len(name), name))
    atomic.write_text(sums_file(folder), "".join(f"{sums[name]}  {name}\n" for name in names))
