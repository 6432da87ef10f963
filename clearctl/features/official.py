"""Features in the published layout, in addition to those for training: a file per class of each bucket.

features/<name>/features.json            {bucket: {class: path of its pth}}
features/<name>/<bucket>/<class>.pth     {id: tensor [D]}

They are in each labelled folder of the release, as the releases' own do.
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from clearctl import layout
from clearctl.atomic import write_text
from clearctl.data.features import load_released_features, read_features, save_released_features
from clearctl.dataset.files import WantedFile, write_files
from clearctl.dataset.release import Release, ReleasePart, read_bucket, read_release
from clearctl.errors import DatasetError
from clearctl.progress import Listener


def write_official(
    root: Path, name: str, buckets: Sequence[str], *, force: bool, listener: Listener
) -> tuple[Path, ...]:
    """Write the features `name` of `buckets`, which are ready to train on, class by class; returns their folders.

    Raises DatasetError if the labelled folder does not list the same images, where files with other contents are
    there (without `force`), and for files that cannot be written.
    """
    release = read_release(root)
    for class_name in release.class_names:
        if "/" in class_name or "\0" in class_name:
            raise DatasetError(f"the class {class_name!r} cannot be the name of a per-class file")
    write_files(
        [partial(_bucket_files, release, name, bucket) for bucket in buckets],
        force=force,
        dry_run=False,
        listener=listener,
        check="compare per-class files",
        write="write per-class files",
        unit="buckets",
    )
    folders = []
    for part in release.parts:
        folder = layout.released_features_folder(part.folder) / name
        _write_index(folder, part, name, buckets)
        for file in folder.glob("*/*.pth"):
            if force and file.parent.name not in buckets:
                file.unlink()
        folders.append(folder)
    return tuple(folders)


def _bucket_files(release: Release, name: str, bucket: str) -> Iterator[WantedFile]:
    """The files of a bucket, part by part and class by class."""
    listed = layout.read_bucket_filelist(release.root, bucket, len(release.class_names))
    x, _ = read_features(release.root, name, bucket, listed)
    images = read_bucket(release, bucket, check_images=False)
    if [(image.path, image.class_index) for of_part in images for image in of_part] != listed:
        raise DatasetError(
            f"{layout.filelist_file(release.root, bucket)} is not the list of the labelled images of bucket {bucket}\n"
            "the per-class files need their ids: run `clearctl prepare-avalanche`, or leave --layout official out"
        )
    row = 0
    for part, of_part in zip(release.parts, images, strict=True):
        by_class: dict[str, dict[str, torch.Tensor]] = {}
        for image in of_part:
            by_class.setdefault(release.class_names[image.class_index], {})[image.id] = x[row]
            row += 1
        for class_name, rows in by_class.items():
            file = part.folder / _path(name, bucket, class_name)
            yield WantedFile(file, partial(_holds, rows), partial(_save, rows))


def _holds(rows: dict[str, torch.Tensor], file: Path) -> bool:
    file.stat()  # FileNotFoundError is not a fault here
    try:
        there = load_released_features(file)
    except DatasetError:
        return False
    return list(there) == list(rows) and all(torch.equal(there[key], row) for key, row in rows.items())


def _save(rows: dict[str, torch.Tensor], file: Path) -> None:
    save_released_features(file, rows)


def _write_index(folder: Path, part: ReleasePart, name: str, buckets: Sequence[str]) -> None:
    """Write features.json: these buckets and no other, which could be of another make."""
    file = folder / "features.json"
    index = {
        bucket: {class_name: _path(name, bucket, class_name) for class_name in part.index.class_files[bucket]}
        for bucket in buckets
    }
    try:
        write_text(file, json.dumps(index))
    except OSError as error:
        raise DatasetError(f"{file} cannot be written: {error.strerror}") from None


def _path(name: str, bucket: str, class_name: str) -> str:
    """The path of a class's file below its labelled folder."""
    return f"features/{name}/{bucket}/{class_name}.pth"
