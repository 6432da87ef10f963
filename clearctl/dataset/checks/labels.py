"""Checks the labelled folders, their class names and their metadata."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clearctl import layout
from clearctl.dataset import image_folders
from clearctl.dataset.checks.findings import DatasetFindings
from clearctl.dataset.labeled import LabeledIndex, has_class_names, read_index, read_records
from clearctl.dataset.release import ReleasePart
from clearctl.errors import DatasetError
from clearctl.progress import Counted, Listener
from clearctl.wording import plural

STRUCTURE = "structure"
CLASS_NAMES = "class names"
METADATA = "metadata"


@dataclass(frozen=True)
class Image:
    """An image as it is listed: `path` relative to the dataset folder, `part` "" or the release's "train", "test".

    `id` is None if only a file list names the image, and its path where no metadata gives it one.
    """

    path: str
    bucket: str
    part: str
    class_name: str
    id: str | None

    @property
    def place(self) -> str:
        """The bucket and class, as a message names them."""
        of_part = f" of {self.part}/" if self.part else ""
        return f"bucket {self.bucket}{of_part}, class {self.class_name!r}"


@dataclass(frozen=True)
class Labels:
    """The metadata that could be read.

    `parts` are the labelled folders. `images` is {bucket: its images, in the order of the published file lists}, the
    buckets in numeric order. `whole` says whether class names and index could be read and agree; `doubtful` are the
    buckets of which something could not be read.
    """

    parts: tuple[ReleasePart, ...]
    class_names: tuple[str, ...]
    images: dict[str, list[Image]]
    whole: bool
    doubtful: frozenset[str]

    def class_name(self, label: int) -> str:
        """The name of a class, as far as there is one."""
        return self.class_names[label] if label < len(self.class_names) else f"class index {label}"

    def paired(self, bucket: str) -> bool:
        """Whether the bucket is in every part, so that it can be prepared."""
        return all(bucket in part.index.class_files for part in self.parts)


def read_labels(findings: DatasetFindings, listener: Listener) -> Labels:
    """Check structure, class names and metadata, and read the labels that can be read.

    Raises DatasetError for a folder that is nothing of CLEAR's.
    """
    root = findings.root
    folders = _labeled_folders(findings)
    findings.looked_at(STRUCTURE, len(folders), plural("labelled folder", len(folders)))
    names = _every_class_names(findings, folders or [root])
    class_names = next(filter(None, names), ())
    findings.looked_at(CLASS_NAMES, len(class_names), "classes")
    differ = [folder for folder, of_part in zip(folders, names, strict=False) if of_part and of_part != class_names]
    if differ:
        other = layout.class_names_file(folders[0]).relative_to(root)
        what = f"expected the class names of {other}, in the same order"
        findings.fault(CLASS_NAMES, what, file=layout.class_names_file(differ[0]))
    parts = []
    whole = not differ and all(names)
    for folder, of_part in zip(folders, names, strict=False):
        index, is_whole = _read_index(findings, folder, of_part)
        whole = whole and is_whole
        parts.append(ReleasePart(folder, "" if folder == root else f"{folder.name}/", index))
    images, doubtful = _read_images(findings, parts, whole, listener)
    labels = Labels(tuple(parts), class_names, images, whole, doubtful if whole else frozenset(images))
    _note_gaps(findings, labels)
    return labels


def _labeled_folders(findings: DatasetFindings) -> list[Path]:
    """The folders that hold labelled images. Raises DatasetError without any if there is no prepared stream."""
    root = findings.root
    try:
        folders = layout.labeled_folders(root)
    except DatasetError as error:
        names = (*layout.TRAIN_FOLDERS, layout.TEST_FOLDER)
        candidates = [root, *(root / name for name in names)]
        folders = [folder for folder in candidates if layout.is_labeled(folder)]
        is_prepared = layout.bucket_indices_file(root).is_file()
        if not folders and not is_prepared:
            raise
        if not folders and layout.class_names_file(root).is_file():
            findings.note(STRUCTURE, "no labeled_metadata.json: the file lists cannot be compared with the labels")
        else:
            findings.error(STRUCTURE, error)
    for folder in folders:
        if not layout.has_metadata(folder):
            what = "no such file: the images are labelled by their folders only"
            findings.note(STRUCTURE, what, file=layout.labeled_metadata_file(folder))
    return folders


def _every_class_names(findings: DatasetFindings, folders: Sequence[Path]) -> list[tuple[str, ...]]:
    """The class names of each labelled folder, as in `labeled.read_class_names`; none if they are at fault."""
    names = [_class_names(findings, folder) for folder in folders]
    by_folders = [folder for folder in folders if layout.is_labeled(folder) and not has_class_names(folder)]
    if by_folders:
        findings.note(CLASS_NAMES, "no class_names.txt: classes are numbered by the names of their folders, sorted")
    try:
        shared = next(filter(None, names), None) or image_folders.class_names_of(by_folders)
    except DatasetError as error:
        findings.error(CLASS_NAMES, error)
        shared = ()
    return [shared if folder in by_folders else own for folder, own in zip(folders, names, strict=True)]


def _class_names(findings: DatasetFindings, folder: Path) -> tuple[str, ...]:
    """The class names in a folder; none if they cannot be read. That the file is missing is reported before."""
    file = layout.class_names_file(folder)
    if not file.is_file() or (layout.is_labeled(folder) and not has_class_names(folder)):
        return ()
    try:
        return tuple(layout.read_class_names(folder))
    except DatasetError as error:
        findings.error(CLASS_NAMES, error, file=file)
        return ()


def _read_index(findings: DatasetFindings, folder: Path, class_names: tuple[str, ...]) -> tuple[LabeledIndex, bool]:
    """The index of a labelled folder, or what is sound of it, and whether it is whole."""
    try:
        if class_names:
            return read_index(folder, class_names), True
        reason: Exception | None = None
    except DatasetError as error:
        reason = error
    nothing = LabeledIndex(class_names, {}, layout.has_metadata(folder))
    file = nothing.place(folder)
    try:
        content = layout.read_json(file) if nothing.has_metadata else image_folders.read_folders(folder, class_names)
    except (DatasetError, RecursionError) as error:
        findings.error(METADATA, reason or error, file=file)
        return nothing, False
    sound = {bucket: content[bucket] for bucket in _sound_buckets(content)}
    unknown: dict[str, list[str]] = {}
    for bucket, classes in sound.items():
        for name in classes:
            if class_names and name not in class_names:
                unknown.setdefault(name, []).append(bucket)
    for name, buckets in unknown.items():
        what = f"a class of bucket {', '.join(buckets)} that is not in class_names.txt"
        findings.fault(CLASS_NAMES, what, file=file, class_name=name)
    if reason and not unknown:
        findings.error(METADATA, reason, file=file)
    class_files = {
        bucket: {name: path for name, path in classes.items() if name not in unknown and _is_path(path)}
        for bucket, classes in sound.items()
    }
    return replace(nothing, class_files=class_files), False


def _sound_buckets(content: Any) -> list[str]:
    """The names of the buckets that labeled_metadata.json describes as it should, in numeric order."""
    if not isinstance(content, dict):
        return []
    described = [name for name, classes in content.items() if isinstance(classes, dict)]
    return sorted(filter(layout.is_bucket_name, described), key=int)


def _is_path(path: Any) -> bool:
    return isinstance(path, str) and path.isprintable() and bool(path)


def _read_images(
    findings: DatasetFindings, parts: Sequence[ReleasePart], whole: bool, listener: Listener
) -> tuple[dict[str, list[Image]], frozenset[str]]:
    """The images of each bucket, part after part, and the buckets of which a class could not be read."""
    buckets = sorted({bucket for part in parts for bucket in part.index.class_files}, key=int)
    images: dict[str, list[Image]] = {}
    doubtful = set()
    num_files = 0
    for done, bucket in enumerate(buckets, 1):
        images[bucket] = []
        for part in parts:
            if bucket not in part.index.class_files:
                continue
            of_classes = [_read_class(findings, part, bucket, name) for name in part.index.class_files[bucket]]
            num_files += len(of_classes)
            if None in of_classes:
                doubtful.add(bucket)
            elif whole and not any(of_classes):
                findings.fault(METADATA, "no images at all", file=part.index.place(part.folder), bucket=bucket)
            images[bucket] += [image for of_class in of_classes if of_class for image in of_class]
        listener(Counted("read the labels", done, len(buckets), "buckets"))
    findings.looked_at(METADATA, num_files, "files" if all(part.index.has_metadata for part in parts) else "folders")
    for part in parts:
        strange = [] if part.index.has_metadata else image_folders.others(part.folder)
        if strange:
            what = f"{len(strange):,} of its files and folders are not images, such as {strange[0]}: ignored"
            findings.note(METADATA, what, file=part.index.place(part.folder))
    return images, frozenset(doubtful)


def _read_class(findings: DatasetFindings, part: ReleasePart, bucket: str, class_name: str) -> list[Image] | None:
    """The images of one class in one bucket; None if they cannot be read."""
    path = part.index.class_files[bucket][class_name]
    only = replace(part.index, class_files={bucket: {class_name: path}})
    try:
        listed = [
            (part.prefix + record["IMG_PATH"], image_id)
            for _, records in read_records(part.folder, bucket, only)
            for image_id, record in records.items()
        ]
        return [
            Image(path, bucket, part.prefix.rstrip("/"), class_name, image_id if only.has_metadata else path)
            for path, image_id in listed
        ]
    except DatasetError as error:
        findings.error(METADATA, error, file=part.folder / path, bucket=bucket, class_name=class_name)
        return None


def _note_gaps(findings: DatasetFindings, labels: Labels) -> None:
    """Note the buckets that only one part has, and the classes that have no images in a bucket."""
    unpaired = [bucket for bucket in labels.images if not labels.paired(bucket)]
    if unpaired:
        text = f"not both in {' and in '.join(f'{part.folder.name}/' for part in labels.parts)}, so it is not prepared"
        findings.note(STRUCTURE, f"bucket {', '.join(unpaired)} is {text}")
    filled: dict[tuple[str, str], set[str]] = {}
    for part in labels.parts:
        name = part.prefix.rstrip("/")
        filled.update({(bucket, name): set() for bucket in part.index.class_files if bucket not in labels.doubtful})
    for image in (image for images in labels.images.values() for image in images):
        filled.get((image.bucket, image.part), set()).add(image.class_name)
    for class_name in labels.class_names:
        empty = [
            f"{bucket} of {part}/" if part else bucket
            for (bucket, part), there in filled.items()
            if class_name not in there
        ]
        if empty:
            findings.note(CLASS_NAMES, f"no images in bucket {', '.join(empty)}", class_name=class_name)
