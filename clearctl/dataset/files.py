"""Write the files that a command is to leave behind: all checked before the first is written, each whole or not.

Two passes over units (buckets) that make their files each time, so that no more than one unit is in memory: the
first compares what is wanted with what is there, the second writes what is not there.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clearctl import atomic, layout, lock
from clearctl.atomic import write_bytes
from clearctl.errors import DatasetError
from clearctl.progress import Counted, Listener
from clearctl.regular import read_bytes


@dataclass(frozen=True)
class WantedFile:
    """A file that is to be there: `is_in` says whether an existing file is it, `write` writes it whole.

    Both may raise OSError.
    """

    path: Path
    is_in: Callable[[Path], bool]
    write: Callable[[Path], None]


WantedFiles = Callable[[], Iterable[WantedFile]]


@dataclass(frozen=True)
class WriteResult:
    """What was done, or would be in a dry run.

    `written` and `unchanged` count files: those made or replaced, and those that were there already. `replaced` are
    those that were there with other contents.
    """

    written: int
    unchanged: int
    replaced: tuple[Path, ...]


def wanted_bytes(path: Path, data: bytes) -> WantedFile:
    """A file that is to hold `data`."""
    return WantedFile(path, lambda there: read_bytes(there) == data, lambda target: write_bytes(target, data))


def write_files(
    units: Sequence[WantedFiles], *, force: bool, dry_run: bool, listener: Listener, check: str, write: str, unit: str
) -> WriteResult:
    """Make every file of every unit be there; the units' order is the order of writing.

    `check` and `write` name the two passes to the `listener`, `unit` what the first counts. Without `force` a file that
    is there with other contents is a DatasetError, before anything is written; so are files that cannot be read or
    written. Units that raise end it as they are.
    """
    outstanding: dict[WantedFiles, set[Path]] = {}
    differing: list[Path] = []
    unchanged = 0
    for done, wanted_of in enumerate(units, 1):
        missing = set()
        for wanted in wanted_of():
            found = _found(wanted)
            if found:
                unchanged += 1
                continue
            if found is not None:
                differing.append(wanted.path)
            missing.add(wanted.path)
        if missing:
            outstanding[wanted_of] = missing
        listener(Counted(check, done, len(units), unit))
    if differing and not force:
        raise DatasetError(
            f"{differing[0]} is there already, with other contents\n"
            f"nothing was written; files that differ: {len(differing)}; use --force to replace them"
        )
    total = sum(len(paths) for paths in outstanding.values())
    if not dry_run:
        for done, wanted in enumerate(_outstanding_files(outstanding), 1):
            _write(wanted)
            listener(Counted(write, done, total, "files"))
    return WriteResult(total, unchanged, tuple(differing))


@contextmanager
def dataset_lock(root: Path) -> Iterator[None]:
    """Let no second command change the dataset folder `root` meanwhile. Raises DatasetError, naming the other's pid.

    What a killed one was writing is removed first.
    """
    with lock.exclusive_lock(layout.lock_file(root), root, DatasetError):
        atomic.remove_temporary(root, *_prepared_folders(layout.training_folder(root)))
        yield


def _prepared_folders(folder: Path) -> Iterator[Path]:
    """`training_folder` and all folders in it, but for those that have a lock of their own or need none."""
    others = (layout.all_features_folder(folder.parent), layout.image_cache_folder(folder.parent))
    for path, names, _ in os.walk(folder):
        names[:] = [name for name in names if Path(path, name) not in others]
        yield Path(path)


def _outstanding_files(outstanding: Mapping[WantedFiles, set[Path]]) -> Iterator[WantedFile]:
    for wanted_of, paths in outstanding.items():
        for wanted in wanted_of():
            if wanted.path in paths:
                yield wanted


def _found(wanted: WantedFile) -> bool | None:
    """Whether the file is there with the right contents; None where there is none. Raises DatasetError."""
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
