"""The plan of an import: each image's bucket, class and name. Nothing is written here."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from clearctl.dataset.importing.buckets import BucketOfSource, Cut, cut_by_date, own_buckets
from clearctl.dataset.importing.contents import FileContents, find_duplicates, read_files
from clearctl.dataset.importing.dates import DatePattern
from clearctl.dataset.importing.dating import Dating, date_all, date_in_buckets
from clearctl.dataset.importing.folders import NO_IMAGE
from clearctl.dataset.importing.images import Found, LeftOut, SourceImage
from clearctl.dataset.importing.names import class_names_of, image_ids
from clearctl.errors import DatasetError
from clearctl.progress import Listener, Message
from clearctl.wording import counted, few, plural

_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")
_AS_STORED = "training uses the pixels as stored, like torchvision's ImageFolder"
RARE = 10  # a class with fewer images is worth a line


@dataclass(frozen=True)
class CutOptions:
    """Options of the cut into buckets: `bucket_by` is None if the source's own buckets are kept."""

    bucket_by: str | int | None
    equal: str
    order: Sequence[str] | None
    pattern: DatePattern | None
    undated: str
    min_per_class: int
    duplicates: str
    decode: bool


@dataclass(frozen=True)
class ImportedBucket:
    """A bucket of the new folder: its `number` there, and its `name`, that of the source's or of its time.

    `first` and `last` are the dates of its images, None if none has one.
    """

    number: str
    name: str
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True)
class PlannedImage:
    """An image of the new folder: `path` is relative to the labelled folder, which is `part` ("", "train", "test")."""

    image: SourceImage
    part: str
    bucket: str
    class_name: str
    id: str
    size_bytes: int
    modified_ns: int

    @property
    def path(self) -> str:
        """Its path, relative to the labelled folder."""
        suffix = PurePosixPath(self.image.name).suffix.lower()
        suffix = suffix if _SUFFIX.fullmatch(suffix) else ""  # a table may name a file whatever it is called
        return f"labeled_images/{self.bucket}/{self.class_name}/{self.id}{suffix}"


@dataclass(frozen=True)
class ImportPlan:
    """The content of the new folder.

    `images` are in the order of the file lists: bucket after bucket, train before test, class after class, in a class
    by date and path. `labels` is {class name: the labels of the source that it stands for}, in the order of the class
    indices. `duplicates` are the names of files that hold the same bytes.
    """

    images: tuple[PlannedImage, ...]
    buckets: tuple[ImportedBucket, ...]
    labels: Mapping[str, tuple[str, ...]]
    parts: tuple[str, ...]
    left_out: LeftOut
    duplicates: tuple[tuple[str, ...], ...]

    def counts(self) -> dict[str, dict[str, int]]:
        """{bucket: {class: number of images}}, absent classes too."""
        found = Counter((image.bucket, image.class_name) for image in self.images)
        return {bucket.number: {name: found[bucket.number, name] for name in self.labels} for bucket in self.buckets}

    def sha256(self, with_times: bool) -> str:
        """A digest of which files come where under which names, and with `with_times` when they were changed."""
        digest = hashlib.sha256(json.dumps(list(self.labels)).encode())
        for each in self.images:
            date = each.image.date and [each.image.date.moment.isoformat(), each.image.date.origin]
            told = [each.part, each.path, str(each.image.file), each.size_bytes, date, dict(each.image.fields)]
            digest.update(json.dumps([told, each.modified_ns if with_times else 0]).encode())
        digest.update(json.dumps([bucket.name for bucket in self.buckets]).encode())
        return digest.hexdigest()


def make_plan(found: Found, options: CutOptions, now: datetime, listener: Listener) -> ImportPlan:
    """Read the files of `found`, and decide what comes where. Raises DatasetError if nothing is left or dated."""
    left_out = found.left_out
    images, contents = _usable(found, options.decode, listener)
    of_file = {image.name: each for image, each in zip(images, contents, strict=True)}
    images, notes = _dated(images, contents, options, Dating(options.pattern, now), left_out)
    ranks: dict[str, int] = {}
    if options.bucket_by is None:
        ordered = own_buckets((image.bucket or "" for image in found.images), options.order)
        ranks = {name: rank for rank, name in enumerate(ordered)}
    images.sort(key=lambda image: _time_key(image, ranks))  # stable: by path where the time is the same
    duplicates = _duplicates(images, of_file, listener)
    if options.duplicates == "first":
        images = _without_repeats(images, duplicates, left_out)
    images = _without_rare_classes(images, options.min_per_class, left_out)
    cut = _cut(images, options, ranks)
    for note in (*notes, *cut.notes):
        listener(Message(note))
    plan = _named(images, cut, of_file, left_out, duplicates)
    turned = sum(of_file[each.image.name].exif.is_turned for each in plan.images)
    if turned:
        listener(Message(f"{counted(turned, 'image')} stored rotated (EXIF Orientation): {_AS_STORED}"))
    _report(plan, options, listener)
    return plan


def _usable(found: Found, decode: bool, listener: Listener) -> tuple[list[SourceImage], list[FileContents]]:
    contents = read_files([image.file for image in found.images], decode=decode, listener=listener)
    pairs = list(zip(found.images, contents, strict=True))
    faulty = [(image, each.error) for image, each in pairs if each.error is not None]
    found.left_out.add("that cannot be used", [f"{image.name} ({error})" for image, error in faulty])
    if len(faulty) == len(pairs):
        raise DatasetError(f"none of {counted(len(pairs), 'image')} can be used: {faulty[0][0].name} {faulty[0][1]}")
    kept = [(image, each) for image, each in pairs if each.error is None]
    return [image for image, _ in kept], [each for _, each in kept]


def _dated(
    images: list[SourceImage],
    contents: Sequence[FileContents],
    options: CutOptions,
    dating: Dating,
    left_out: LeftOut,
) -> tuple[list[SourceImage], list[str]]:
    """The images with their dates, which each needs unless the source's buckets are kept, and what was noticed."""
    notes: list[str] = []
    if all(image.bucket is not None for image in images):
        images, notes = date_in_buckets(images, contents, dating)
    if options.bucket_by is not None:
        return date_all(images, contents, dating, options.undated, left_out), notes
    without = sum(image.date is None for image in images)
    if without:
        notes.append(f"{counted(without, 'image')} without a date, so without DATE_TAKEN for rebuild-by-metadata")
    return images, notes


def _time_key(image: SourceImage, ranks: Mapping[str, int]) -> tuple[int, datetime, bool]:
    """Bucket after bucket where the source has them; in time order; a test image before a training image."""
    rank = ranks[image.bucket] if image.bucket is not None and ranks else 0
    return rank, image.date.moment if image.date else datetime.max, image.split != "test"


def _duplicates(
    images: Sequence[SourceImage], of_file: Mapping[str, FileContents], listener: Listener
) -> list[list[SourceImage]]:
    sizes = [of_file[image.name].size_bytes for image in images]
    groups = find_duplicates([image.file for image in images], sizes, listener)
    return [[images[number] for number in numbers] for numbers in groups]


def _without_repeats(
    images: Sequence[SourceImage], duplicates: Sequence[Sequence[SourceImage]], left_out: LeftOut
) -> list[SourceImage]:
    dropped = {image.name for group in duplicates for image in group[1:]}
    left_out.add("with the bytes of an earlier one", [image.name for image in images if image.name in dropped])
    return [image for image in images if image.name not in dropped]


def _without_rare_classes(images: Sequence[SourceImage], least: int, left_out: LeftOut) -> list[SourceImage]:
    names = class_names_of(image.label for image in images)
    sizes = Counter(names[image.label] for image in images)
    for name, size in sizes.items():
        if size < least:
            why = f"of the class {name!r}, which has {counted(size, 'image')}"
            left_out.add(why, [image.name for image in images if names[image.label] == name])
    kept = [image for image in images if sizes[names[image.label]] >= least]
    if not kept:
        raise DatasetError(f"--min-per-class {least}: the largest class has {counted(max(sizes.values()), 'image')}")
    return kept


def _cut(images: Sequence[SourceImage], options: CutOptions, ranks: Mapping[str, int]) -> Cut:
    if options.bucket_by is not None:
        return cut_by_date([image.date.moment for image in images if image.date], options.bucket_by, options.equal)
    members: dict[str, list[int]] = {name: [] for name in ranks}
    for number, image in enumerate(images):
        members[image.bucket or ""].append(number)
    return Cut(tuple(BucketOfSource(name, tuple(numbers)) for name, numbers in members.items() if numbers))


def _named(
    images: Sequence[SourceImage],
    cut: Cut,
    of_file: Mapping[str, FileContents],
    left_out: LeftOut,
    duplicates: Sequence[Sequence[SourceImage]],
) -> ImportPlan:
    names = class_names_of(image.label for image in images)
    labels: dict[str, list[str]] = {}
    for label, name in names.items():
        labels.setdefault(name, []).append(label)
    indices = {name: index for index, name in enumerate(labels)}
    ids = image_ids([image.name for image in images])
    planned, buckets = [], []
    for number, bucket in enumerate(cut.buckets, 1):
        of_bucket = [
            PlannedImage(
                images[member],
                images[member].split or "",
                str(number),
                names[images[member].label],
                ids[member],
                of_file[images[member].name].size_bytes,
                of_file[images[member].name].modified_ns,
            )
            for member in bucket.members
        ]
        # Stable: in a class by time and path.
        planned += sorted(of_bucket, key=lambda each: (each.part == "test", indices[each.class_name]))
        dates = [each.image.date.moment for each in of_bucket if each.image.date]
        buckets.append(ImportedBucket(str(number), bucket.name, min(dates, default=None), max(dates, default=None)))
    parts = tuple(part for part in ("", "train", "test") if any(each.part == part for each in planned))
    if len(parts) == 1 and parts[0]:
        other = "train" if parts[0] == "test" else "test"
        raise DatasetError(f"no {other} image is left: {'; '.join(left_out.lines())}")
    groups = tuple(tuple(image.name for image in group) for group in duplicates)
    return ImportPlan(
        tuple(planned), tuple(buckets), {name: tuple(of) for name, of in labels.items()}, parts, left_out, groups
    )


def _report(plan: ImportPlan, options: CutOptions, listener: Listener) -> None:
    """Report what is left out and what may be a fault of the source: renamed, rare, doubled."""
    for why, line in zip(plan.left_out.files, plan.left_out.lines(), strict=True):
        listener(Message(f"left out: {line}", warning=why != NO_IMAGE))
    renamed = [f"{label!r} as {name!r}" for name, labels in plan.labels.items() for label in labels if label != name]
    if renamed:
        listener(Message(f"{counted(len(renamed), 'label')} renamed: {few(renamed)}"))
    folded: dict[str, list[str]] = {}
    for name in plan.labels:
        folded.setdefault(name.casefold(), []).append(name)
    alike = [" and ".join(names) for names in folded.values() if len(names) > 1]
    if alike:
        listener(Message(f"classes that differ only in case, and stay apart: {few(alike)}", warning=True))
    sizes = Counter(image.class_name for image in plan.images)
    rare = [f"{name} ({sizes[name]})" for name in plan.labels if sizes[name] < RARE]
    if rare:
        classes = "1 class" if len(rare) == 1 else f"{len(rare):,} classes"
        text = f"{classes} with fewer than {RARE} images: {few(rare)}; --min-per-class leaves such out"
        listener(Message(text, warning=True))
    _report_duplicates(plan, options.duplicates, listener)
    if len(plan.labels) == 1:
        listener(Message(f"there is one class alone, {next(iter(plan.labels))}: nothing to tell apart", warning=True))
    if len(plan.buckets) == 1:
        text = f"there is one bucket alone, {plan.buckets[0].name}: nothing to learn one after another"
        listener(Message(f"{text}; --bucket-by month, or a number, may make more", warning=True))
    there = {(image.bucket, image.part) for image in plan.images}
    for bucket in plan.buckets:
        missing = [part for part in plan.parts if (bucket.number, part) not in there]
        if missing:
            text = f"bucket {bucket.number} ({bucket.name}) has no {missing[0]} images: prepare-avalanche leaves it out"
            listener(Message(text, warning=True))


def _report_duplicates(plan: ImportPlan, duplicates: str, listener: Listener) -> None:
    """Report the number of contents that several images share, and if that makes a test too easy."""
    if not plan.duplicates:
        return
    by_name = {image.image.name: image for image in plan.images}
    kinds: Counter[str] = Counter()
    for group in plan.duplicates:
        kept = [by_name[name] for name in group if name in by_name]
        kinds["in several buckets"] += len({each.bucket for each in kept}) > 1
        kinds["both in train and in test"] += len({each.part for each in kept}) > 1
        kinds["of several classes"] += len({each.class_name for each in kept}) > 1
    if duplicates == "first":
        return  # what was left out is reported as that
    number = len(plan.duplicates)
    where = "".join(f", {count} of them {kind}" for kind, count in kinds.items() if count)
    text = f"{number:,} {plural('content', number)} in several files{where}: {' = '.join(plan.duplicates[0][:2])}"
    listener(Message(f"{text}; --duplicates first keeps one of each", warning=True))
