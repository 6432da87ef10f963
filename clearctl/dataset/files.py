"""Write the files of a command: all are checked before the first is written, and each is written atomically.

Two passes over units (buckets): the first compares the requested files with the existing ones, the second writes the
missing ones. Small files are kept for the second pass up to `KEPT_BYTES`; units beyond it make theirs again, so that at
most one of them is in memory.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clearctl import atomic, layout, lock
from clearctl.atomic import write_bytes
from clearctl.errors import DatasetError
from clearctl.progress import Counted, Listener
from clearctl.regular import read_bytes

KEPT_BYTES = 64 * 2**20


@dataclass(frozen=True)
class WantedFile:
    """A requested file: `is_in` says whether an existing file is it, `write` writes it whole.

    Both may raise OSError. `size_bytes` is the memory that the two use; None if that is not known.
    """

    path: Path
    is_in: Callable[[Path], bool]
    write: Callable[[Path], None]
    size_bytes: int | None = None


WantedFiles = Callable[[], Iterable[WantedFile]]


@dataclass(frozen=True)
class WriteResult:
    """The files that were written, or would be in a dry run.

    `written` and `unchanged` count files: those made or replaced, and those that existed. `replaced` are
    those that existed with other contents.
    """

    written: int
    unchanged: int
    replaced: tuple[Path, ...]


def wanted_bytes(path: Path, data: bytes) -> WantedFile:
    """A file that is to hold `data`."""
    return WantedFile(
        path, lambda there: read_bytes(there) == data, lambda target: write_bytes(target, data), len(data)
    )


def write_files(
    units: Sequence[WantedFiles], *, force: bool, dry_run: bool, listener: Listener, check: str, write: str, unit: str
) -> WriteResult:
    """Write every missing file of every unit; the units' order is the order of writing.

    `check` and `write` name the two passes to the `listener`, `unit` what the first counts. Without `force` a file that
    exists with other contents is a DatasetError, before anything is written; so are files that cannot be read or
    written. Units that raise end it as they are.
    """
    outstanding: list[_PendingFiles] = []
    room_bytes = KEPT_BYTES
    differing: list[Path] = []
    unchanged = 0
    for done, wanted_of in enumerate(units, 1):
        of_unit = _PendingFiles(wanted_of, room_bytes)
        for wanted in wanted_of():
            found = _found(wanted)
            if found:
                unchanged += 1
                continue
            if found is not None:
                differing.append(wanted.path)
            of_unit.add(wanted)
        outstanding.append(of_unit)
        room_bytes -= of_unit.kept_bytes
        listener(Counted(check, done, len(units), unit))
    if differing and not force:
        raise DatasetError(
            f"{differing[0]} already exists, with different contents\n"
            f"nothing was written; files that differ: {len(differing)}; use --force to replace them"
        )
    total = sum(len(of_unit.paths) for of_unit in outstanding)
    if not dry_run:
        for done, wanted in enumerate(itertools.chain.from_iterable(outstanding), 1):
            _write(wanted)
            listener(Counted(write, done, total, "files"))
    return WriteResult(total, unchanged, tuple(differing))


class _PendingFiles:
    """The files of a unit that are to be written: kept, or made again where they need more than `room_bytes`."""

    def __init__(self, make: WantedFiles, room_bytes: int) -> None:
        self.paths: set[Path] = set()
        self.kept_bytes = 0
        self._make = make
        self._room_bytes = room_bytes
        self._kept: list[WantedFile] | None = []

    def add(self, wanted: WantedFile) -> None:
        """Note a file that does not exist yet."""
        self.paths.add(wanted.path)
        if self._kept is None:
            return
        if wanted.size_bytes is None or self.kept_bytes + wanted.size_bytes > self._room_bytes:
            self._kept, self.kept_bytes = None, 0
            return
        self._kept.append(wanted)
        self.kept_bytes += wanted.size_bytes

    def __iter__(self) -> Iterator[WantedFile]:
        """Each file, in the order in which the unit makes them."""
        if self._kept is not None:
            return iter(self._kept)
        return (wanted for wanted in self._make() if wanted.path in self.paths)


@contextmanager
def dataset_lock(root: Path) -> Iterator[None]:
    """Lock the dataset folder `root` against other commands. Raises DatasetError with the other command's pid.

    Unfinished files of a killed command are removed first.
    """
    with lock.exclusive_lock(layout.lock_file(root), root, DatasetError):
        atomic.remove_temporary(root, *_prepared_folders(layout.training_folder(root)))
        yield


def _prepared_folders(folder: Path) -> Iterator[Path]:
    """`training_folder` and all folders in it, except for those that have their own lock or need none."""
    others = (layout.all_features_folder(folder.parent), layout.image_cache_folder(folder.parent))
    for path, names, _ in os.walk(folder):
        names[:] = [name for name in names if Path(path, name) not in others]
        yield Path(path)


def _found(wanted: WantedFile) -> bool | None:
    """Whether the file has the right contents; None if it does not exist. Raises DatasetError."""
    try:
        return wanted.is_in(wanted.path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DatasetError(f"{wanted.path} cannot be read: {error.strerror}") from None


def _write(wanted: WantedFile) -> None:
    try:
        wanted.write(wanted.path)
    except OSError as error:
        raise DatasetError(f"{wanted.path} cannot be written: {error.strerror}") from None
