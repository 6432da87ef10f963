"""The contents of image files: whether they decode, their EXIF date, and which are duplicates."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clearctl.dataset.decoding import default_jobs, map_in_threads
from clearctl.dataset.importing.dates import ExifTags, exif_tags
from clearctl.digest import file_sha256
from clearctl.errors import DatasetError
from clearctl.images import open_image
from clearctl.progress import Counted, Listener, rate_limited
from clearctl.regular import open_regular
from clearctl.wording import in_one_line

# A JPEG is decoded to no more pixels than this where its encoding allows: all of its data is read, in less time.
_DRAFT_PX = (32, 32)


@dataclass(frozen=True)
class FileContents:
    """The content of an image file; `error` is why it cannot be used."""

    size_bytes: int
    modified_ns: int
    exif: ExifTags
    error: str | None


def read_files(files: Sequence[Path], *, decode: bool, listener: Listener) -> list[FileContents]:
    """Open each image, and with `decode` decode it; what fails is in the results, in the order of `files`."""
    listener = rate_limited(listener)
    found: list[FileContents] = []
    for contents in map_in_threads(partial(_read, decode=decode), files, default_jobs()):
        found += contents
        listener(Counted("read the images", len(found), len(files), "images"))
    return found


def find_duplicates(files: Sequence[Path], sizes: Sequence[int], listener: Listener) -> list[list[int]]:
    """The numbers of files that hold the same bytes, a list for each content that several have.

    Only files of one size are read. Raises DatasetError for one that cannot be.
    """
    listener = rate_limited(listener)
    by_size: dict[int, list[int]] = {}
    for number, size in enumerate(sizes):
        by_size.setdefault(size, []).append(number)
    alike = [number for numbers in by_size.values() if len(numbers) > 1 for number in numbers]
    same: dict[tuple[int, str], list[int]] = {}
    for done, number in enumerate(alike, 1):
        try:
            digest = file_sha256(files[number])
        except OSError as error:
            raise DatasetError(f"{files[number]} cannot be read: {error.strerror}") from None
        same.setdefault((sizes[number], digest), []).append(number)
        listener(Counted("compare files of one size", done, len(alike), "images"))
    return [sorted(numbers) for numbers in same.values() if len(numbers) > 1]


def _read(path: Path, decode: bool) -> FileContents:
    try:
        with open_regular(path) as file:
            status = os.fstat(file.fileno())
            size, modified = status.st_size, status.st_mtime_ns
            with open_image(file) as image:
                exif = exif_tags(image)
                if decode:
                    image.draft("RGB", _DRAFT_PX)
                    image.convert("RGB")
    except OSError as error:
        return FileContents(0, 0, ExifTags(), f"cannot be read: {error.strerror or in_one_line(error)}")
    except Exception as error:  # Pillow raises many kinds: SyntaxError, ValueError, struct.error
        return FileContents(0, 0, ExifTags(), f"cannot be decoded: {in_one_line(error)}")
    return FileContents(size, modified, exif, None)
