"""The labelled images of a raw CLEAR folder (the public layout), bucket by bucket, with all errors named.

    labeled_metadata.json                    {bucket: {class: path of its json}}
    labeled_metadata/<bucket>/<class>.json   {id: {"ID", "IMG_PATH", "DATE_TAKEN", ...}}
    labeled_images/<bucket>/<class>/<id>.jpg

A folder without labeled_metadata.json is read by its folders (`image_folders`): it gives the same index and records.

Whatever is invalid raises DatasetError, which names the file, the bucket and the class.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearctl import layout
from clearctl.dataset import image_folders
from clearctl.errors import DatasetError

ClassRecords = dict[str, dict[str, Any]]

# JSON can spell a lone surrogate, which UTF-8 cannot.
_UNWRITABLE = re.compile("[\n\r\0\ud800-\udfff]")


@dataclass(frozen=True)
class LabeledImage:
    """An image of a bucket: id, path relative to the dataset folder as in IMG_PATH, class index."""

    id: str
    path: str
    class_index: int


@dataclass(frozen=True)
class LabeledIndex:
    """The content of `labeled_metadata.json` and `class_names.txt`.

    `class_names` are by class index. `class_files` is {bucket: {class: path of its json}}: the buckets in
    numeric order, the classes of a bucket in the order of the file, the paths relative to the dataset folder.
    Without metadata (`has_metadata`) the paths are those of the folders of images, in the order of the class indices.
    """

    class_names: tuple[str, ...]
    class_files: dict[str, dict[str, str]]
    has_metadata: bool = True

    def place(self, root: Path) -> Path:
        """The path that lists the buckets and classes: labeled_metadata.json, else labeled_images/."""
        return layout.labeled_metadata_file(root) if self.has_metadata else layout.labeled_images_folder(root)


def read_index(root: Path, class_names: Sequence[str] | None = None) -> LabeledIndex:
    """The buckets and classes of the raw folder `root`, checked against each other.

    `class_names` are those of the release, where `root` is a part of one; read here when left out. Raises DatasetError:
    not a CLEAR folder, broken JSON, a bucket that is not a number, a class that class_names.txt lacks.
    """
    layout.require_clear(root)
    names = read_class_names([root])[0] if class_names is None else tuple(class_names)
    has_metadata = layout.has_metadata(root)
    place = LabeledIndex(names, {}, has_metadata).place(root)
    content = _read_object(place) if has_metadata else image_folders.read_folders(root, names)
    if not content:
        raise DatasetError(f"{place} contains no bucket")
    known = set(names)
    for bucket, classes in content.items():
        _check_classes(place, bucket, classes, known)
    return LabeledIndex(names, {bucket: content[bucket] for bucket in _numeric_order(place, content)}, has_metadata)


def read_class_names(folders: Sequence[Path]) -> list[tuple[str, ...]]:
    """The class names of each labelled folder of a release.

    One without a class_names.txt has those of the others; if none has one they are the names of the class folders,
    sorted. Raises DatasetError.
    """
    own = [tuple(layout.read_class_names(folder)) if has_class_names(folder) else None for folder in folders]
    shared = next(filter(None, own), None) or image_folders.class_names_of(folders)
    return [names or shared for names in own]


def has_class_names(folder: Path) -> bool:
    """Whether a labelled folder numbers the classes by a class_names.txt; beside metadata it has to."""
    return (folder / "class_names.txt").is_file() or layout.has_metadata(folder)


def read_records(root: Path, bucket: str, index: LabeledIndex | None = None) -> Iterator[tuple[str, ClassRecords]]:
    """Yield (class name, {id: its record}) for each class of a bucket, in file order, one file at a time.

    `index` is what `read_index(root)` gave, read here when left out. Every record has an IMG_PATH that names
    a file inside the folder, there or not. Raises DatasetError.
    """
    index = index or read_index(root)
    if bucket not in index.class_files:
        raise DatasetError(f"{index.place(root)} has no bucket {bucket!r}")
    folders = _Folders(root)
    for class_name, file in index.class_files[bucket].items():
        where = f"bucket {bucket}, class {class_name!r}"
        if not folders.holds(file if index.has_metadata else f"{file}/image"):
            raise DatasetError(f"{index.place(root)}: {file!r} is outside the folder ({where})")
        if index.has_metadata:
            records = _read_object(root / file, where)
        else:
            records = image_folders.read_images(root, file, where)
        for image_id, record in records.items():
            fault = _record_fault(record, folders)
            if fault:
                raise DatasetError(f"{root / file}: image {image_id!r} {fault} ({where})")
        yield class_name, records


def read_labeled_bucket(
    root: Path, bucket: str, index: LabeledIndex | None = None, *, check_images: bool = True
) -> list[LabeledImage]:
    """The labelled images of a bucket, in the order of the published file lists.

    That is: classes in the order of labeled_metadata.json, ids in the order of the class's json; without metadata
    classes in the order of their index, images by the characters of their file names. `index` is what
    `read_index(root)` gave, read here when left out. With `check_images` every image must exist as a file (or a
    link to one); it is not opened. Raises DatasetError: as `read_index` and `read_records`, an id or path listed twice,
    an image that does not exist, no image at all.
    """
    index = index or read_index(root)
    class_indices = {name: number for number, name in enumerate(index.class_names)}
    images: list[LabeledImage] = []
    ids: dict[str, str] = {}
    paths: dict[str, str] = {}
    for class_name, records in read_records(root, bucket, index):
        file = root / index.class_files[bucket][class_name]
        for image_id, record in records.items():
            path = record["IMG_PATH"]
            if index.has_metadata:  # else it is a file's name, which every class may have
                _note_once(ids, "id", image_id, class_name, f"{file}, bucket {bucket}")
            # Two spellings of one path are one image.
            _note_once(paths, "IMG_PATH", os.path.normpath(path), class_name, f"{file}, bucket {bucket}")
            images.append(LabeledImage(image_id, path, class_indices[class_name]))
    if not images:
        raise DatasetError(f"{index.place(root)}: bucket {bucket} has no images")
    if check_images:
        _check_images(root, bucket, images, index.class_names)
    return images


class _Folders:
    """The folders below a dataset folder, each looked at once however many images it holds."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real_root = os.path.realpath(root)
        self._inside: dict[str, bool] = {}
        self._files: dict[str, frozenset[str]] = {}

    def holds(self, path: str) -> bool:
        """Whether `path`, relative to the root, is below it, links of its folders followed.

        An image that is itself a link may lead elsewhere: `rebuild-by-metadata --images link` makes such
        ones.
        """
        folder, _, name = path.rpartition("/")
        if name in ("", ".", "..") or path.startswith("/"):
            return False
        if folder not in self._inside:
            self._inside[folder] = self._is_inside(folder)
        return self._inside[folder]

    def has_file(self, path: str) -> bool:
        """Whether `path`, relative to the root, is a file or a link to one. Raises DatasetError."""
        folder, _, name = path.rpartition("/")
        if folder not in self._files:
            self._files[folder] = self._list_files(folder)
        # A listing may spell a name differently than the file system accepts it (case, composed characters).
        return name in self._files[folder] or os.path.isfile(self._root / path)

    def _is_inside(self, folder: str) -> bool:
        if ".." in folder.split("/"):
            return False
        real = os.path.realpath(self._root / folder)
        return os.path.commonpath([real, self._real_root]) == self._real_root

    def _list_files(self, folder: str) -> frozenset[str]:
        try:
            with os.scandir(self._root / folder) as entries:
                return frozenset(entry.name for entry in entries if entry.is_file())
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
        except OSError as error:
            raise DatasetError(f"{self._root / folder} cannot be listed: {error.strerror}") from None


def _note_once(seen: dict[str, str], what: str, value: str, class_name: str, where: str) -> None:
    """Note the class of an id or path in `seen`; raise DatasetError if it has one already."""
    if value in seen:
        classes = f"class {seen[value]!r} and again in class {class_name!r}"
        raise DatasetError(f"{where}: the {what} {value!r} is listed in {classes}")
    seen[value] = class_name


def _check_images(root: Path, bucket: str, images: list[LabeledImage], class_names: tuple[str, ...]) -> None:
    """Raise DatasetError, naming the first and their number, if images of the bucket are missing."""
    folders = _Folders(root)
    missing = [image for image in images if not folders.has_file(image.path)]
    if missing:
        first = missing[0]
        raise DatasetError(
            f"{root / first.path} is missing (bucket {bucket}, class {class_names[first.class_index]!r})\n"
            f"{len(missing)} of the {len(images)} images listed for bucket {bucket} are missing: "
            "was the archive unpacked completely?"
        )


def _check_classes(file: Path, bucket: str, classes: Any, known: set[str]) -> None:
    """Raise DatasetError unless `classes` is {class: path} with classes that are all known."""
    if not layout.is_bucket_name(bucket):
        raise DatasetError(f"{file}: the bucket name {bucket!r} is not a number")
    if not isinstance(classes, dict):
        raise DatasetError(f"{file}: bucket {bucket} is not an object of {{class: path of its json}}")
    for name, path in classes.items():
        if name not in known:
            raise DatasetError(f"{file}: class {name!r} of bucket {bucket} is not in class_names.txt")
        if not isinstance(path, str) or _path_fault(path):
            raise DatasetError(f"{file}: bucket {bucket}, class {name!r}: {path!r} is not a path that can be listed")


def _numeric_order(file: Path, buckets: dict[str, Any]) -> list[str]:
    """The names sorted as numbers; raises DatasetError if two are the same number."""
    ordered = sorted(buckets, key=int)
    for before, after in zip(ordered, ordered[1:], strict=False):
        if int(before) == int(after):
            raise DatasetError(f"{file}: the buckets {before!r} and {after!r} are the same number")
    return ordered


def _record_fault(record: Any, folders: _Folders) -> str | None:
    """The fault in an image's record, or None."""
    if not isinstance(record, dict):
        return "has an invalid record: expected an object"
    path = record.get("IMG_PATH")
    if not isinstance(path, str) or not path:
        return "has no IMG_PATH"
    fault = _path_fault(path)
    if fault:
        return f"has an IMG_PATH that {fault}: {path!r}"
    return None if folders.holds(path) else f"has an IMG_PATH outside the folder: {path!r}"


def _path_fault(path: str) -> str | None:
    """The reason why `path` cannot be a file's or would break a line of a file list, or None."""
    if not path:
        return "is empty"
    return "contains a line end, a NUL or half a character" if _UNWRITABLE.search(path) else None


def _read_object(path: Path, where: str = "") -> dict[str, Any]:
    """The object in the JSON file `path`, in its order; `where` (bucket, class) is put into the message of a
    fault.

    Raises DatasetError also for a key given twice, of which `json` alone would silently keep the last.
    """
    suffix = f" ({where})" if where else ""
    try:
        value = layout.read_json(path, _without_repeats)
    except DatasetError as error:
        raise DatasetError(f"{error}{suffix}") from None
    except _Repeated as error:
        raise DatasetError(f"{path} names {error} twice{suffix}") from None
    if not isinstance(value, dict):
        raise DatasetError(f"{path} is not a JSON object{suffix}")
    return value


class _Repeated(Exception):
    """A key that an object has twice."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        times = Counter(key for key, _ in pairs)
        raise _Repeated(repr(times.most_common(1)[0][0]))
    return value
