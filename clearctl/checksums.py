"""SHA256SUMS: the sha256 of the checkpoints in its folder, as `sha256sum -c SHA256SUMS` reads it.

A file without a line counts as valid: older runs have no checksums, and after a kill the newest file's line may be
missing. A file with a line must have that digest.
"""

import hashlib
import re
from pathlib import Path

from clearctl import atomic
from clearctl.regular import read_text

NAME = "SHA256SUMS"

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")  # digest, then "*" in binary mode


def sums_file(folder: Path) -> Path:
    """The SHA256SUMS file of a folder."""
    return folder / NAME


def read_sums(folder: Path) -> dict[str, str]:
    """{name of a file in the folder: its sha256}; other lines are skipped. Raises OSError."""
    try:
        text = read_text(sums_file(folder), errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    matches = map(_LINE.fullmatch, text.split("\n"))
    return {match[2]: match[1] for match in matches if match}


def write_summed(file: Path, data: bytes | memoryview) -> None:
    """Write `data` to `file` atomically, and its line to SHA256SUMS. Raises OSError.

    A kill between any two steps never leaves a file with a wrong checksum. Lines of files that no longer exist are
    removed, so that `sha256sum -c` passes.
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
    """Write SHA256SUMS, exp_9.pth before exp_10.pth; remove it if there are no lines, which sha256sum rejects."""
    if not sums:
        sums_file(folder).unlink(missing_ok=True)
        return
    names = sorted(sums, key=lambda name: (len(name), name))
    atomic.write_text(sums_file(folder), "".join(f"{sums[name]}  {name}\n" for name in names))
