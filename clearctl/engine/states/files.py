"""The files in a run's `state` folder: each with its digest, written atomically, two generations of each kind.

bucket_<k>.state                        all that a run is at the start of bucket k (from 0)
bucket_<k>_epoch_<e>.state              the changes since then, e epochs later; it needs the former too
bucket_<k>_epoch_<e>_step_<s>.state     and s steps into the next epoch
"""

import errno
import hashlib
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clearctl import atomic
from clearctl.regular import open_regular, read_bytes
from clearctl.wording import first_line

_FIRST_LINE = b"clearctl state 1 sha256 "
_NAME = re.compile(r"bucket_(\d+)(?:_epoch_(\d+)(?:_step_(\d+))?)?\.state")
KEPT = 2  # generations


class DamagedStateError(Exception):
    """A state file that is not what was written."""


@dataclass(frozen=True, order=True)
class StateKey:
    """The position at which a state was taken: at the start of a bucket (`epochs` is -1), or later in it."""

    bucket: int
    epochs: int = -1
    steps: int = 0

    @property
    def is_start(self) -> bool:
        """Whether it is the start of the bucket."""
        return self.epochs < 0

    @property
    def start(self) -> "StateKey":
        """The start of its bucket."""
        return StateKey(self.bucket)

    @property
    def file_name(self) -> str:
        """The name of its file."""
        epoch = "" if self.is_start else f"_epoch_{self.epochs:04d}"
        step = f"_step_{self.steps:06d}" if self.steps else ""
        return f"bucket_{self.bucket:04d}{epoch}{step}.state"


def state_keys(folder: Path) -> list[StateKey]:
    """The keys of the existing state files, the oldest first."""
    matches = [_NAME.fullmatch(path.name) for path in folder.glob("*.state")]
    return sorted(
        StateKey(int(match[1]), int(match[2]) if match[2] else -1, int(match[3] or 0)) for match in matches if match
    )


def write(folder: Path, key: StateKey, state: dict[str, Any]) -> None:
    """Write a state, then remove those that are older than two generations. Raises OSError; then all is as before.

    The run's other files are on disk, up to their lengths in the state, before the state is. A state within a bucket
    needs that of its start.
    """
    if not (key.is_start or (folder / key.start.file_name).is_file()):
        raise FileNotFoundError(errno.ENOENT, "the state of the bucket's start is missing")
    for name in state.get("files", {}):
        with open_regular(folder.parent / name) as file:
            os.fsync(file.fileno())
    buffer = io.BytesIO()
    torch.save(state, buffer)
    folder.mkdir(exist_ok=True)  # without parents: a run folder that was removed or renamed does not come back
    with atomic.replacing(folder / key.file_name) as temporary, temporary.open("wb") as file:
        file.write(_FIRST_LINE + hashlib.sha256(buffer.getbuffer()).hexdigest().encode() + b"\n")
        file.write(buffer.getbuffer())
    there = state_keys(folder)
    starts = [other for other in there if other.is_start and other <= key]
    later = [other for other in there if not other.is_start and other <= key]
    kept = {*starts[-KEPT:], *later[-KEPT:]}
    # A later state is useless without its start; a resume from an earlier one may have left states of later buckets.
    for other in reversed(there):
        if other not in kept or other.start not in kept:
            (folder / other.file_name).unlink(missing_ok=True)


def read(folder: Path, key: StateKey) -> dict[str, Any]:
    """The state of a moment. Raises DamagedStateError for a file that is missing or not what was written."""
    file = folder / key.file_name
    try:
        content = read_bytes(file)
    except OSError as error:
        raise DamagedStateError(f"{file.name} cannot be read: {error.strerror}") from None
    heading, _, payload = content.partition(b"\n")
    if heading != _FIRST_LINE + hashlib.sha256(payload).hexdigest().encode():
        raise DamagedStateError(f"{file.name} is damaged: its digest does not match")
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # written by another torch, say
        raise DamagedStateError(f"{file.name} cannot be read: {first_line(error)}") from None
    return state


def clean(folder: Path) -> None:
    """Remove what a process left behind that was killed while it wrote."""
    atomic.remove_temporary(folder)


def replace_all(folder: Path, key: StateKey, state: dict[str, Any]) -> None:
    """Write a state instead of all others. Raises OSError.

    The others go first: after a kill in between there is none that does not fit it.
    """
    for other in reversed(state_keys(folder)):
        if other != key:
            (folder / other.file_name).unlink(missing_ok=True)
    write(folder, key, state)


def remove_all(folder: Path) -> None:
    """Remove every state, when the run is finished."""
    clean(folder)
    for key in reversed(state_keys(folder)):  # so that what a kill leaves can be resumed
        (folder / key.file_name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
