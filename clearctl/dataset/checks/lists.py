"""Checks the list of buckets and the file lists, alone and against the labels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clearctl import layout
from clearctl.dataset.checks.findings import DatasetFindings
from clearctl.dataset.checks.labels import STRUCTURE, Image, Labels
from clearctl.errors import DatasetError
from clearctl.wording import counted

FILE_LISTS = "file lists"

Listed = list[tuple[str, int]]


@dataclass(frozen=True)
class Lists:
    """The prepared lists: `buckets` of bucket_indices.json, none if there is no such file.

    `listed` is {bucket: (path, class index) for each line}, for the file lists that can be read; `unreadable` are the
    buckets of the others.
    """

    buckets: tuple[str, ...]
    listed: dict[str, Listed]
    unreadable: frozenset[str]


def read_lists(findings: DatasetFindings, labels: Labels) -> Lists:
    """Check bucket_indices.json and the file lists, and read those that can be read."""
    root = findings.root
    indices = layout.bucket_indices_file(root)
    buckets = _read_buckets(findings, labels) if indices.exists() else ()
    if not indices.exists():
        what = f"not prepared: no {indices.relative_to(root)}; run `clearctl prepare-avalanche`"
        findings.note(STRUCTURE, what)
    folders = [file.parent.name for file in layout.filelist_file(root, "*").parent.parent.glob("*/all.txt")]
    others = sorted(set(folders) - set(buckets), key=_by_number)
    if buckets and others:
        text = f"bucket {', '.join(others)} has a file list, but is not in {indices.name}: it is not trained on"
        findings.note(FILE_LISTS, text)
    listed: dict[str, Listed] = {}
    unreadable = set()
    for bucket in dict.fromkeys([*buckets, *others]):
        file = layout.filelist_file(root, bucket)
        try:
            listed[bucket] = layout.read_filelist(file)
        except DatasetError as error:
            unreadable.add(bucket)
            findings.error(FILE_LISTS, error, file=file, bucket=bucket)
            continue
        _check_list(findings, labels, bucket, listed[bucket])
        _compare(findings, labels, bucket, listed[bucket])
    findings.looked_at(FILE_LISTS, len(listed) + len(unreadable), "lists")
    return Lists(buckets, listed, frozenset(unreadable))


def images_of(labels: Labels, lists: Lists) -> list[Image]:
    """Every image of the labels, then those that only a file list names; a bucket's each once in a list."""
    images = [image for of_bucket in labels.images.values() for image in of_bucket]
    for bucket, listed in lists.listed.items():
        known = {image.path for image in labels.images.get(bucket, [])}
        for path, label in dict(listed).items():
            if path not in known:
                images.append(Image(path, bucket, _part(labels, path), labels.class_name(label), None))
    return images


def _read_buckets(findings: DatasetFindings, labels: Labels) -> tuple[str, ...]:
    """The buckets of bucket_indices.json; none if it cannot be read."""
    file = layout.bucket_indices_file(findings.root)
    try:
        buckets = tuple(layout.read_bucket_indices(findings.root))
    except DatasetError as error:
        findings.error(FILE_LISTS, error, file=file)
        return ()
    if list(buckets) != sorted(buckets, key=int):
        findings.note(FILE_LISTS, f"buckets not in numeric order: {', '.join(buckets)}", file=file)
    if labels.images and labels.whole:
        unlabelled = [name for name in buckets if name not in labels.images]
        if unlabelled:
            place = labels.parts[0].index.place(findings.root).name
            what = f"bucket {', '.join(unlabelled)}, which {place} does not have"
            findings.fault(FILE_LISTS, what, file=file)
        left = [name for name in labels.images if name not in buckets and labels.paired(name)]
        if left:
            findings.note(FILE_LISTS, f"bucket {', '.join(left)} is labelled, but not prepared")
    return buckets


def _check_list(findings: DatasetFindings, labels: Labels, bucket: str, listed: Listed) -> None:
    """Check a single file list: class indices, paths outside the folder, duplicate paths."""
    file = layout.filelist_file(findings.root, bucket)
    unknown = [path for path, label in listed if label >= len(labels.class_names)]
    if unknown and labels.class_names:
        what = f"a class index beyond the {len(labels.class_names)} of class_names.txt"
        _list_fault(findings, file, bucket, unknown, what)
    outside = [path for path, _ in listed if path.startswith("/") or ".." in path.split("/")]
    if outside:
        _list_fault(findings, file, bucket, outside, "a path outside the folder")
    twice = [path for path, times in Counter(path for path, _ in listed).items() if times > 1]
    if twice:
        _list_fault(findings, file, bucket, twice, "a path that is listed more than once")


def _compare(findings: DatasetFindings, labels: Labels, bucket: str, listed: Listed) -> None:
    """Check a file list against the labels of its bucket, where those could all be read."""
    if bucket in labels.doubtful or bucket not in labels.images:
        return
    numbers = {name: number for number, name in enumerate(labels.class_names)}
    expected = [(image.path, numbers[image.class_name]) for image in labels.images[bucket]]
    if listed == expected:
        return
    file = layout.filelist_file(findings.root, bucket)
    there, wanted = dict(listed), dict(expected)
    unlabelled = [path for path in there if path not in wanted]
    unlisted = [path for path in wanted if path not in there]
    relabelled = [path for path, label in there.items() if wanted.get(path, label) != label]
    if unlabelled:
        _list_fault(findings, file, bucket, unlabelled, f"an image that {_place(labels)} does not have in this bucket")
    if relabelled:
        _list_fault(findings, file, bucket, relabelled, f"another class than {_place(labels)} says")
    if unlisted:
        what = f"{_lines(unlisted)} missing, such as that of {unlisted[0]}"
        findings.fault(FILE_LISTS, what, file=file, bucket=bucket)
    if sorted(listed) == sorted(expected):
        what = f"the lines match {_place(labels)}, but in another order"
        findings.note(FILE_LISTS, what, file=file, bucket=bucket)


def _list_fault(findings: DatasetFindings, file: Path, bucket: str, paths: Sequence[str], what: str) -> None:
    findings.fault(FILE_LISTS, f"{_lines(paths)} with {what}, such as {paths[0]}", file=file, bucket=bucket)


def _lines(paths: Sequence[str]) -> str:
    return counted(len(paths), "line")


def _part(labels: Labels, path: str) -> str:
    prefix = next((part.prefix for part in labels.parts if part.prefix and path.startswith(part.prefix)), "")
    return prefix.rstrip("/")


def _place(labels: Labels) -> str:
    """The file or folder that lists the images, as a message names it."""
    return "the metadata" if all(part.index.has_metadata for part in labels.parts) else "labeled_images/"


def _by_number(name: str) -> tuple[bool, int, str]:
    """Numbers in their order, before other names."""
    is_number = layout.is_bucket_name(name)
    return not is_number, int(name) if is_number else 0, name
