"""Labels of a folder without metadata, from the path: labeled_images/<bucket>/<class>/.

The order is fixed: classes by their index, the images of a class by the characters of their file names. Without
class_names.txt the classes are numbered in the order of their names' characters. Only files with the suffix of an image
count; hidden ones (`.x`, and macOS's `._x.jpg`) never do.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from clearctl import layout
from clearctl.errors import DatasetError

# Of the formats that datasets have.
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))


def class_names_of(folders: Iterable[Path]) -> tuple[str, ...]:
    """The names of all class folders below `folders`, sorted: the class names where no class_names.txt is.

    Raises DatasetError for a folder that cannot be listed.
    """
    names = {name for folder in folders for classes in read_folders(folder).values() for name in classes}
    return tuple(sorted(names))


def read_folders(root: Path, class_names: Sequence[str] = ()) -> dict[str, dict[str, str]]:
    """{bucket: {class: its folder, relative to `root`}}: what labeled_metadata.json would say of its files.

    Names are those of the folders, right or not. The classes of a bucket are in the order of `class_names`, others
    after them by name. Raises DatasetError for a folder that cannot be listed.
    """
    images = layout.labeled_images_folder(root)
    order = {name: number for number, name in enumerate(class_names)}
    return {
        bucket: {
            name: f"{images.name}/{bucket}/{name}"
            for name in sorted(_folders(images / bucket), key=lambda name: (order.get(name, len(order)), name))
        }
        for bucket in sorted(_folders(images))
    }


def read_images(root: Path, path: str, where: str) -> dict[str, dict[str, Any]]:
    """{id: record} of the class folder at `path`, as a class's json has it: an image's id is its name, suffix cut off.

    A link counts whether it leads anywhere or not. Raises DatasetError, which says `where`, for a folder that cannot be
    listed and for two images with one id.
    """
    records: dict[str, dict[str, Any]] = {}
    for name in sorted(entry.name for entry in _visible(root / path) if _is_image(entry)):
        image_id = os.path.splitext(name)[0]
        if image_id in records:
            other = records[image_id]["IMG_PATH"].rpartition("/")[2]
            raise DatasetError(
                f"{root / path}: {other} and {name} have the same id, {image_id!r}: rename one ({where})"
            )
        records[image_id] = {"ID": image_id, "IMG_PATH": f"{path}/{name}"}
    return records


def others(root: Path) -> list[str]:
    """The paths in labeled_images/ that are not images of a class, relative to `root`, sorted.

    Hidden files are left out, and what is in a folder that cannot be listed.
    """
    images = layout.labeled_images_folder(root)
    found: list[Path] = []
    for depth, folders in enumerate(([images], images.glob("*"), images.glob("*/*"))):
        for folder in folders:
            if folder.name.startswith(".") or not folder.is_dir():
                continue
            with suppress(DatasetError):
                belongs = _is_image if depth == 2 else os.DirEntry.is_dir
                found += [Path(entry.path) for entry in _visible(folder) if not belongs(entry)]
    return sorted(path.relative_to(root).as_posix() for path in found)


def _is_image(entry: os.DirEntry[str]) -> bool:
    return os.path.splitext(entry.name)[1].lower() in SUFFIXES and (entry.is_file() or entry.is_symlink())


def _folders(folder: Path) -> list[str]:
    return [entry.name for entry in _visible(folder) if entry.is_dir()]


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DatasetError(f"{folder} cannot be listed: {error.strerror}") from None
