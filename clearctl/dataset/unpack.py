"""Unpack an archive into the dataset folder atomically: nothing outside it, no links, no more than declared.

An archive is checked as a whole before the first byte is written. It is unpacked into a folder next to it, from which
its top-level entries are renamed into place, so that a kill leaves nothing half unpacked under a final name:

    <archive>.unpacking/   being written
    <archive>.unpacked/    whole; what is still in here is to be renamed into place
    <archive>.replaced/    earlier files, with `force`, until everything is in place
"""

import errno
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from clearctl.errors import DatasetError
from clearctl.progress import Counted, Listener, rate_limited
from clearctl.regular import open_regular, what_it_is_instead
from clearctl.units import megabytes

# Several times the largest release.
MAX_UNPACKED_BYTES = 200_000_000_000

# Several times as much as any release needs; without a limit a name alone could fill the memory.
_LONGEST_NAME_BYTES = 1000
_LONGEST_PART_BYTES = 255

_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UNSAFE_NAME = re.compile(r"[\\\x00-\x1f\x7f-\x9f]|^[A-Za-z]:")
# An offset before the beginning of the archive is what a seek finds invalid; the rest are names that the file system
# cannot have.
_BAD_OFFSET_OR_NAME = (errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
# The exceptions that zipfile raises for an invalid archive, by its own fuzz reports and ours.
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError)


class BadArchiveError(DatasetError):
    """The fault is in the archive itself: another copy is needed."""


@dataclass(frozen=True)
class Contents:
    """The entries to unpack: `entries` are files and folders, `top_level` the names of the first path components."""

    entries: tuple[zipfile.ZipInfo, ...]
    top_level: tuple[str, ...]
    num_files: int
    total_bytes: int


def read_contents(archive: Path, *, max_bytes: int = MAX_UNPACKED_BYTES) -> Contents:
    """The contents of `archive`, every entry checked, nothing written.

    The entries that macOS adds (`__MACOSX/`, `.DS_Store`) are left out. Raises BadArchiveError for what is not a whole
    zip archive; for an entry that leaves the folder, is a link or a device, is encrypted, comes twice, or is a file
    and a folder at once; and if the files are declared to have more than `max_bytes` together. OSError if it cannot be
    read.
    """
    with (
        _reading(archive, "is not a complete zip archive"),
        open_regular(archive) as file,
    ):
        if found := what_it_is_instead(file.read(64)):
            raise BadArchiveError(f"{_name(archive)} is not a complete zip archive: {found}")
        with zipfile.ZipFile(file) as opened:
            entries = tuple(info for info in opened.infolist() if not _is_junk(info.filename))
    for info in entries:
        if fault := _fault_of(info):
            raise BadArchiveError(f"{_name(archive)}: the entry {_shortened(info.orig_filename)!r} {fault}")
    _check_names(archive, entries)
    files = [info for info in entries if not info.is_dir()]
    total_bytes = sum(info.file_size for info in files)
    if not files:
        raise BadArchiveError(f"{_name(archive)} contains no file")
    if total_bytes > max_bytes:
        raise BadArchiveError(
            f"{_name(archive)} would unpack to {megabytes(total_bytes):,} MB, the limit is {megabytes(max_bytes):,} MB"
        )
    top_level = tuple(dict.fromkeys(info.filename.split("/")[0] for info in entries))
    return Contents(entries, top_level, len(files), total_bytes)


def unpack(archive: Path, contents: Contents, root: Path, *, force: bool, listener: Listener) -> None:
    """Put the `contents` of `archive` into `root`. The archive must be on the file system of `root`.

    After a kill the same call continues. Files get ordinary permissions, whatever the archive says. Content
    of `root` under a top-level name is an error, or replaced with `force`. Call `clear` once all is done.

    Raises BadArchiveError, naming the entry, for data that are not as declared; DatasetError for existing files
    and if the disk has no room; OSError for what cannot be written.
    """
    unpacking, unpacked, replaced = _scratch_folders(archive)
    if not unpacked.exists():
        require_absent(contents.top_level, root, force)
        clear(archive)
        free = shutil.disk_usage(root).free
        if contents.total_bytes > free:
            raise DatasetError(
                f"no room to unpack {archive}: {megabytes(contents.total_bytes):,} MB are needed, "
                f"{megabytes(free):,} MB are free\nfree some space and run this again: the archive is kept"
            )
        try:
            _extract(archive, contents, unpacking, listener)
        except BadArchiveError:
            clear(archive)
            raise
        os.sync()  # whole on disk before it gets a name that says so
        unpacking.rename(unpacked)
    left = sorted(entry.name for entry in unpacked.iterdir())
    require_absent(left, root, force)
    for name in left:
        if os.path.lexists(root / name):
            replaced.mkdir(exist_ok=True)
            (root / name).rename(replaced / name)
        (unpacked / name).rename(root / name)


def is_unpacked(archive: Path) -> bool:
    """Whether `unpack` was ended after all was written, but perhaps not all renamed."""
    return _scratch_folders(archive)[1].exists()


def clear(archive: Path) -> None:
    """Remove what `unpack` leaves beside the archive. Raises OSError."""
    for folder in _scratch_folders(archive):
        if folder.exists():
            shutil.rmtree(folder)


def require_absent(names: Iterable[str], root: Path, force: bool) -> None:
    """Raise DatasetError if one of the names is in `root`, unless `force`."""
    there = [name for name in names if os.path.lexists(root / name)]
    if there and not force:
        raise DatasetError(
            f"{root / there[0]} already exists\n"
            f"use --force to replace {', '.join(there)}, or choose another --dataset-root"
        )


def _scratch_folders(archive: Path) -> tuple[Path, Path, Path]:
    unpacking, unpacked, replaced = (
        archive.with_name(f"{archive.name}.{state}") for state in ("unpacking", "unpacked", "replaced")
    )
    return unpacking, unpacked, replaced


def _extract(archive: Path, contents: Contents, folder: Path, listener: Listener) -> None:
    """Write every entry into the new `folder`."""
    listener, done = rate_limited(listener), 0
    folder.mkdir()
    made = {folder}
    with _reading(archive, "is not a complete zip archive"):
        opened = zipfile.ZipFile(archive)
    with opened:
        for info in contents.entries:
            target = folder / info.filename
            parent = target if info.is_dir() else target.parent
            name = repr(_shortened(info.filename))
            with _reading(archive, f"cannot be unpacked here: its entry {name}"):
                if parent not in made:
                    parent.mkdir(parents=True, exist_ok=True)
                    made.add(parent)
                file = None if info.is_dir() else target.open("xb")
            if file:
                with file, _reading(archive, f"is damaged: its entry {name}"):
                    _extract_file(opened, info, file)
                done += 1
                listener(Counted(f"unpack {_name(archive)}", done, contents.num_files, "files"))


def _extract_file(opened: zipfile.ZipFile, info: zipfile.ZipInfo, file: BinaryIO) -> None:
    # zipfile returns no more bytes than the entry declares, and compares their CRC at the end.
    with opened.open(info) as source:
        shutil.copyfileobj(source, file, 1 << 20)
        written = file.tell()
    if written != info.file_size:
        raise zipfile.BadZipFile(f"{written:,} bytes, {info.file_size:,} declared")


@contextmanager
def _reading(archive: Path, what: str) -> Iterator[None]:
    """Turn what zipfile raises into BadArchiveError."""
    try:
        yield
    except (*_BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _BAD_OFFSET_OR_NAME:
            raise
        raise BadArchiveError(f"{_name(archive)} {what} ({str(error) or type(error).__name__})") from None


def _shortened(name: str) -> str:
    return name if len(name) <= 100 else f"{name[:60]}…{name[-30:]}"


def _name(archive: Path) -> str:
    """The archive's final name, without the suffix of an unfinished download."""
    return archive.name.removesuffix(".part")


def _is_junk(name: str) -> bool:
    parts = name.split("/")
    return parts[0] == "__MACOSX" or parts[-1] == ".DS_Store"


def _fault_of(info: zipfile.ZipInfo) -> str | None:
    """The fault of a single entry."""
    name = info.orig_filename
    kind = stat.S_IFMT(info.external_attr >> 16)
    if name.startswith("/") or _UNSAFE_NAME.search(name):
        return "has a name that is not a plain relative path"
    if fault := _too_long(name):
        return fault
    if {"", ".", ".."} & set(name.removesuffix("/").split("/")):
        return "has a name that may leave its folder"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link" if kind == stat.S_IFLNK else "is neither a file nor a folder"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is compressed by method {info.compress_type}, not 0 or 8 (stored, deflated)"
    return None


def _too_long(name: str) -> str | None:
    sizes = [len(part.encode(errors="replace")) for part in name.split("/")]
    if sum(sizes) > _LONGEST_NAME_BYTES:
        return f"has a name of {sum(sizes):,} bytes; at most {_LONGEST_NAME_BYTES:,} are allowed"
    if max(sizes) > _LONGEST_PART_BYTES:
        return f"has a name with a part of {max(sizes):,} bytes; at most {_LONGEST_PART_BYTES} are allowed"
    return None


def _check_names(archive: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    """Raise BadArchiveError for an entry that comes twice and for one that is both a file and a folder."""
    counts = Counter(info.filename.removesuffix("/") for info in entries)
    folders = {
        "/".join(parts[:depth])
        for parts in (info.filename.removesuffix("/").split("/") for info in entries)
        for depth in range(1, len(parts))
    }
    for info in entries:
        name = info.filename.removesuffix("/")
        if counts[name] > 1:
            raise BadArchiveError(f"{_name(archive)}: the entry {name!r} occurs {counts[name]} times")
        if not info.is_dir() and name in folders:
            raise BadArchiveError(f"{_name(archive)}: the entry {name!r} is both a file and a folder")
