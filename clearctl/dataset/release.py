"""A whole CLEAR release: one labelled folder in the public layout, train and test folders in the later one."""

from dataclasses import dataclass
from pathlib import Path

from clearctl import layout
from clearctl.dataset.labeled import (
    LabeledImage,
    LabeledIndex,
    has_class_names,
    read_class_names,
    read_index,
    read_labeled_bucket,
)
from clearctl.errors import DatasetError


@dataclass(frozen=True)
class ReleasePart:
    """A labelled folder of a release.

    `prefix` is put before the IMG_PATH of its records to give paths relative to the dataset folder: "" or "train/".
    """

    folder: Path
    prefix: str
    index: LabeledIndex


@dataclass(frozen=True)
class Release:
    """The labelled folders of the dataset folder `root`.

    `parts` is one folder, or the train and the test folder, in that order. `buckets` are those that all parts have, in
    numeric order; `unpaired` are those that only one has. `class_names` are the names of the class folders, sorted,
    where the release has no class_names.txt (`names_classes` is False).
    """

    root: Path
    parts: tuple[ReleasePart, ...]
    class_names: tuple[str, ...]
    buckets: tuple[str, ...]
    unpaired: tuple[str, ...]
    names_classes: bool = True

    @property
    def without_metadata(self) -> tuple[Path, ...]:
        """The labelled folders that only their folders of images label."""
        return tuple(part.folder for part in self.parts if not part.index.has_metadata)

    @property
    def has_published_split(self) -> bool:
        """Whether train and test come as separate folders."""
        return len(self.parts) == 2


def read_release(root: Path) -> Release:
    """The release in the raw folder `root`, its parts checked against each other.

    Raises DatasetError as `labeled.read_index` does, and for parts that number the classes differently.
    """
    folders = layout.labeled_folders(root)
    parts = [_read_part(root, folder, names) for folder, names in zip(folders, read_class_names(folders), strict=True)]
    class_names = parts[0].index.class_names
    for part in parts[1:]:
        if part.index.class_names != class_names:
            file = layout.class_names_file(part.folder)
            raise DatasetError(
                f"{file} and {layout.class_names_file(parts[0].folder)} have different class names, or in another order"
            )
    shared = [
        bucket for bucket in parts[0].index.class_files if all(bucket in part.index.class_files for part in parts)
    ]
    if not shared:
        raise DatasetError(f"{root}: no bucket is both in {parts[0].folder.name}/ and in {parts[1].folder.name}/")
    every = {bucket for part in parts for bucket in part.index.class_files}
    unpaired = sorted(every - set(shared), key=int)
    names_classes = any(map(has_class_names, folders))
    return Release(root, tuple(parts), class_names, tuple(shared), tuple(unpaired), names_classes)


def read_bucket(release: Release, bucket: str, *, check_images: bool = True) -> list[list[LabeledImage]]:
    """The labelled images of a bucket for each part, paths relative to the dataset folder.

    Raises DatasetError as `labeled.read_labeled_bucket` does.
    """
    images = []
    for part in release.parts:
        listed = read_labeled_bucket(part.folder, bucket, part.index, check_images=check_images)
        images.append([LabeledImage(image.id, part.prefix + image.path, image.class_index) for image in listed])
    return images


def _read_part(root: Path, folder: Path, class_names: tuple[str, ...]) -> ReleasePart:
    return ReleasePart(folder, "" if folder == root else f"{folder.name}/", read_index(folder, class_names))
