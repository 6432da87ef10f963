"""The features that some releases ship, put into the order of the file lists.

    features/<name>/features.json               {bucket: {class: path of its pth}}
    features/<name>/<bucket>/<class>.pth        {id: tensor [D]}
    training_folder/features/<name>/<bucket>/all.pth   (float32 [N, D], N class indices), row i is line i of all.txt

Needs torch, which is imported only where a release has features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearctl import layout
from clearctl.dataset.files import WantedFile
from clearctl.dataset.labeled import LabeledImage
from clearctl.dataset.release import Release
from clearctl.errors import DatasetError
from clearctl.progress import Listener, Message


@dataclass(frozen=True)
class ReleasedFeatures:
    """The features `name` of a release: {bucket: {class: file}} for each part, and the buckets that all parts cover."""

    name: str
    files: tuple[dict[str, dict[str, Path]], ...]
    buckets: frozenset[str]


def find_released_features(release: Release, buckets: Sequence[str], listener: Listener) -> list[ReleasedFeatures]:
    """The features that every part of the release ships, by name; the listener is notified of what must be left out.

    Raises DatasetError for a features.json that is invalid.
    """
    names = [_names(part.folder) for part in release.parts]
    found = []
    for name in sorted(set().union(*names)):
        if layout.extraction_file(release.root, name).exists():
            continue  # extracted here, with its per-class files perhaps: never mixed with a release's
        lacking = [part for part, there in zip(release.parts, names, strict=True) if name not in there]
        if lacking:
            listener(Message(f"the release's features {name!r} are not in {lacking[0].folder.name}/: left out"))
            continue
        files = tuple(_read_index(part.folder, name) for part in release.parts)
        covered = frozenset(bucket for bucket in buckets if all(bucket in of_part for of_part in files))
        if len(covered) < len(buckets):
            left = ", ".join(bucket for bucket in buckets if bucket not in covered)
            listener(Message(f"the release's features {name!r} do not cover bucket {left}"))
        found.append(ReleasedFeatures(name, files, covered))
    return found


def wanted_features(
    release: Release, features: ReleasedFeatures, bucket: str, images: Sequence[Sequence[LabeledImage]]
) -> Iterator[WantedFile]:
    """The all.pth of a bucket that the features cover; `images` are its images for each part of the release.

    Raises DatasetError for an image without a row, rows of different lengths, a file that is missing or damaged.
    """
    if bucket not in features.buckets:
        return
    import torch

    from clearctl.data.features import load_features, save_features

    rows: list[torch.Tensor] = []
    for files, of_part in zip(features.files, images, strict=True):
        rows += _rows(files[bucket], of_part, release.class_names, f"features {features.name!r}, bucket {bucket}")
    if len({row.shape for row in rows}) > 1 or rows[0].dim() != 1:
        shapes = sorted({tuple(row.shape) for row in rows})
        raise DatasetError(
            f"features {features.name!r}, bucket {bucket}: expected vectors of one length, found {shapes}"
        )
    x = torch.stack(rows)
    targets = [image.class_index for of_part in images for image in of_part]

    def is_in(file: Path) -> bool:
        file.stat()  # FileNotFoundError is not a fault here
        try:
            there, labels = load_features(file)
        except DatasetError:
            return False
        return labels == targets and _same_bits(there, x)

    yield WantedFile(
        layout.features_file(release.root, features.name, bucket), is_in, lambda file: save_features(file, x, targets)
    )


def _same_bits(first: Any, second: Any) -> bool:
    """Whether two float32 tensors hold the same; a NaN, which `verify` reports, equals itself here."""
    import torch

    return torch.equal(first.contiguous().view(torch.int32), second.contiguous().view(torch.int32))


def _names(folder: Path) -> set[str]:
    return {file.parent.name for file in layout.released_features_folder(folder).glob("*/features.json")}


def _read_index(folder: Path, name: str) -> dict[str, dict[str, Path]]:
    """{bucket: {class: file}} from a features.json."""
    place = layout.released_features_folder(folder) / name
    index = layout.read_json(place / "features.json")
    if not isinstance(index, dict) or not all(isinstance(classes, dict) for classes in index.values()):
        raise DatasetError(f"{place / 'features.json'}: expected {{bucket: {{class: path of its pth}}}}")
    return {
        bucket: {class_name: _file(folder, place, bucket, class_name, path) for class_name, path in classes.items()}
        for bucket, classes in index.items()
    }


def _file(folder: Path, place: Path, bucket: str, class_name: str, path: Any) -> Path:
    """The file that features.json names. The script that wrote the published ones left the features' name out of it."""
    if not isinstance(path, str) or path.startswith("/") or ".." in path.split("/"):
        fault = f"bucket {bucket}, class {class_name!r}: {path!r} is not a path inside the folder"
        raise DatasetError(f"{place / 'features.json'}: {fault}")
    named = folder / path
    return named if named.is_file() else place / bucket / f"{class_name}.pth"


def _rows(files: dict[str, Path], images: Sequence[LabeledImage], class_names: Sequence[str], where: str) -> list[Any]:
    """A row per image, in their order; each class's file is read once."""
    from clearctl.data.features import load_released_features

    by_class: dict[int, dict[str, Any]] = {}
    rows = []
    for image in images:
        class_name = class_names[image.class_index]
        if image.class_index not in by_class:
            if class_name not in files:
                raise DatasetError(f"{where}: features.json lacks the class {class_name!r}")
            by_class[image.class_index] = load_released_features(files[class_name])
        row = by_class[image.class_index].get(image.id)
        if row is None:
            raise DatasetError(
                f"{files[class_name]}: no row for the image {image.id!r} ({where}, class {class_name!r})"
            )
        rows.append(row)
    return rows
