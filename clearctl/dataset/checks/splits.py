"""Checks the train and test splits: their files agree, and together they are the bucket's file list."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from clearctl import filelists, layout
from clearctl.dataset.checks.findings import DatasetFindings
from clearctl.dataset.checks.labels import Labels
from clearctl.dataset.checks.lists import Listed, Lists
from clearctl.errors import DatasetError
from clearctl.wording import counted

SPLITS = "splits"


def check_splits(findings: DatasetFindings, labels: Labels, lists: Lists) -> None:
    """Check every split of every bucket of a prepared folder."""
    looked_at = 0
    if len(labels.parts) == 2 and lists.buckets and not layout.has_published_split(findings.root):
        folder = layout.published_split_folder(findings.root)
        findings.fault(SPLITS, "the release's split is missing; run `clearctl prepare-avalanche`", file=folder)
    for folder in _split_folders(findings.root):
        there = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        left = [bucket for bucket in lists.buckets if bucket not in there]
        if left:
            findings.note(SPLITS, f"does not cover bucket {', '.join(left)}", file=folder)
        for bucket in there:
            looked_at += 1
            if bucket in lists.listed:
                for fault in _faults(findings.root, labels, folder, bucket, lists.listed[bucket]):
                    findings.fault(SPLITS, fault, file=folder / bucket, bucket=bucket)
            elif bucket not in lists.unreadable:
                what = "a split of a bucket that has no file list"
                findings.fault(SPLITS, what, file=folder / bucket, bucket=bucket)
    findings.looked_at(SPLITS, looked_at, "splits of a bucket")


def _split_folders(root: Path) -> list[Path]:
    """The folders that hold the buckets of a split."""
    folder = layout.training_folder(root)
    found = [*folder.glob("testset_ratio_*/split_*"), *folder.glob("*_shot/split_*")]
    return sorted(path for path in [*found, layout.published_split_folder(root)] if path.is_dir())


def _faults(root: Path, labels: Labels, folder: Path, bucket: str, listed: Listed) -> Iterator[str]:
    """Yields the faults of one split of a bucket."""
    try:
        train, test = filelists.read_split(folder / bucket, listed)
    except DatasetError as error:
        yield str(error).replace(f"{folder / bucket}/", "").replace("\n", "; ")
        return
    for side, numbers in (("train", train), ("test", test)):
        twice = [number for number, times in Counter(numbers).items() if times > 1]
        if twice:
            yield f"{_images(listed, twice)} more than once in {side}.txt"
    both = sorted(set(train) & set(test))
    if both:
        yield f"{_images(listed, both)} both in train.txt and in test.txt"
    shot = re.fullmatch(r"(\d+)_shot", folder.parent.name)
    left = sorted(set(range(len(listed))) - set(train) - set(test))
    if shot and layout.has_published_split(root):
        # The images to train on are drawn from the release's train: the rest of that is left over.
        left = [number for number in left if not _is_of(labels, 0, listed[number][0])]
    if left:
        yield f"{_images(listed, left)} neither in train.txt nor in test.txt"
    if layout.has_published_split(root) and (shot or folder == layout.published_split_folder(root)):
        yield from _foreign_images(labels, listed, (train, test))
    if shot:
        yield from _wrong_shots(labels, int(shot[1]), listed, train)


def _foreign_images(labels: Labels, listed: Listed, sides: tuple[list[int], list[int]]) -> Iterator[str]:
    """Images that are to be trained on and are not in the release's train, or likewise with test."""
    for number, (part, side) in enumerate(zip(labels.parts, sides, strict=False)):
        strange = [line for line in side if not _is_of(labels, number, listed[line][0])]
        if len(labels.parts) == 2 and strange:
            yield f"{_images(listed, strange)} of another folder than {part.prefix} in {('train', 'test')[number]}.txt"


def _is_of(labels: Labels, number: int, path: str) -> bool:
    """Whether the path is in part `number` of a release that comes as train and test; True for another release."""
    return len(labels.parts) < 2 or path.startswith(labels.parts[number].prefix)


def _wrong_shots(labels: Labels, shot: int, listed: Listed, train: Sequence[int]) -> Iterator[str]:
    """The classes that are in the bucket and have another number of images to train on than `shot`."""
    counts = Counter(listed[number][1] for number in train)
    for label in sorted({label for _, label in listed}):
        if counts[label] != shot:
            yield f"{counts[label]} to train on of class {labels.class_name(label)!r}, expected {shot}"


def _images(listed: Listed, numbers: Sequence[int]) -> str:
    """`3 images (such as line 7, images/7.jpg)`."""
    number = numbers[0]
    return f"{counted(len(numbers), 'image')} (such as line {number + 1}, {listed[number][0]})"
