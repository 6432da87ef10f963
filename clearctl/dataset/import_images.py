"""Make a CLEAR folder from your own images: found and labelled, dated, cut into buckets, linked.

`clearctl/dataset/importing/` has a module for each step. The folder is as CLEAR's public one (`layout`), or with train/
and test/ like the later release if the source is already split, and has a dataset.json that says where it is from.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from clearctl.dataset.importing.buckets import EQUALS, read_bucket_by
from clearctl.dataset.importing.dates import DatePattern
from clearctl.dataset.importing.images import Found
from clearctl.dataset.importing.plan import CutOptions, ImportedBucket, ImportPlan, make_plan
from clearctl.dataset.importing.sources import find_images, scanned_folder
from clearctl.dataset.importing.write import earlier_import, printable, write_folder
from clearctl.dataset.recut.images import IMAGE_MODES
from clearctl.errors import DatasetError, UsageError
from clearctl.progress import Listener, Message, ignore
from clearctl.shortrepr import ShortRepr
from clearctl.version import __version__
from clearctl.wording import any_of

DEFAULT_BUCKET_BY = "year"
UNDATED = ("error", "skip")
DUPLICATES = ("keep", "first")


@dataclass(frozen=True, repr=False)
class ImportResult(ShortRepr):
    """The result of `import_images`, or of its dry run.

    `layout` is how the source was read: "class", "split/bucket/class", "table". `buckets` are numbered from "1" in time
    order. `images_per_bucket_and_class` is {bucket: {class: number of images}}. `images_per_part` is {"train": number,
    "test": number} if the source is already split, else {}. `labels` is {class: labels of the source}. `left_out` is
    {why: names of the files}, `duplicates` the names of files that hold the same bytes. `written` counts images, 0
    if the folder already existed.
    """

    source: Path
    root: Path
    layout: str
    buckets: tuple[ImportedBucket, ...]
    images_per_bucket_and_class: dict[str, dict[str, int]]
    images_per_part: dict[str, int]
    labels: dict[str, tuple[str, ...]]
    left_out: dict[str, list[str]]
    duplicates: tuple[tuple[str, ...], ...]
    images: str
    written: int

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes by class index."""
        return tuple(self.labels)


def import_images(
    source: Path | str,
    output: Path | str,
    *,
    layout: str | None = None,
    columns: Mapping[str, str] | None = None,
    image_root: Path | str | None = None,
    date_pattern: str | None = None,
    undated: str = "error",
    bucket_by: str | int | None = None,
    equal: str = "count",
    order: Sequence[str] | None = None,
    min_per_class: int = 1,
    duplicates: str = "keep",
    decode: bool = True,
    images: str = "link",
    force: bool = False,
    dry_run: bool = False,
    listener: Listener = ignore,
) -> ImportResult:
    """Make the CLEAR folder `output` from the images of `source`, which is only read.

    Args:
        source: a folder of bucket/class/image or class/image, with train/ and test/ around them or not; a table (CSV,
            TSV, JSON, JSON lines, parquet); or a Hugging Face imagefolder with its metadata.
        output: the new folder: missing, empty, or of the same import, which is then left unchanged.
        layout: what the folders are, such as "class/bucket"; found out when None.
        columns: {"path", "label", "date", "bucket" or "split": name of the table's column}, if it has another name.
        image_root: the folder that a table's paths are relative to; the table's own when None.
        date_pattern: how dates are written in file names, or in the table's dates (`dates.DatePattern`). The table's
            date comes first, then that of the name, then EXIF's DateTimeOriginal.
        undated: "error", or "skip" to leave out images without a date; not needed if buckets are given.
        bucket_by: "year", "quarter", "month", or a number of buckets. When None, the source's buckets, else "year".
        equal: whether that number of buckets are of the same "count" of images or of the same length of "time".
        order: the names of the source's buckets in time order; their natural order when None.
        min_per_class: classes with fewer images are left out.
        duplicates: "keep" files that hold the same bytes as another, or only the "first" in time.
        decode: decode every image, and leave out what cannot be; else only the beginnings of files are read.
        images: "link" (relative links), "hardlink" or "copy".
        force: replace an earlier import of other images or by other options, with all that was prepared in it.
        dry_run: read and decide everything, write nothing.
        listener: notified of progress, and of what is left out or strange.

    Raises UsageError for arguments that make no sense; DatasetError for a source that cannot be imported, dates that
    are missing, an import of something else at `output`, and what cannot be written; CapabilityError for parquet
    without pyarrow. The folder is written atomically.
    """
    source, output = Path(source), Path(output)
    options = _read_options(bucket_by, equal, order, date_pattern, undated, min_per_class, duplicates, decode)
    if images not in IMAGE_MODES:
        raise UsageError(f"--images {images}: expected {any_of(IMAGE_MODES)}")
    found = find_images(
        source,
        layout=layout,
        columns=columns,
        image_root=Path(image_root) if image_root is not None else None,
        pattern=options.pattern,
        listener=listener,
    )
    _check_nesting(source, found, output)
    earlier = earlier_import(output)
    options = _with_bucket_by(source, found, options, bucket_by, listener)
    asked = _asked(source, found, options, images)
    if earlier is not None and not force:
        _refuse_other_options(output, earlier, asked)  # before all images are read
    plan = make_plan(found, options, datetime.now(), listener)
    note = _note(asked, plan)
    written = 0
    if _is_new(output, earlier, note, force, listener) and not dry_run:
        written = write_folder(plan, note, output, images, listener)
    parts = {part: sum(each.part == part for each in plan.images) for part in plan.parts if part}
    return ImportResult(
        source,
        output,
        found.layout,
        plan.buckets,
        plan.counts(),
        parts,
        dict(plan.labels),
        plan.left_out.files,
        plan.duplicates,
        images,
        written,
    )


def _read_options(
    bucket_by: str | int | None,
    equal: str,
    order: Sequence[str] | None,
    date_pattern: str | None,
    undated: str,
    min_per_class: int,
    duplicates: str,
    decode: bool,
) -> CutOptions:
    """The options of the plan. Raises UsageError for those that make no sense."""
    by = None if bucket_by is None else read_bucket_by(bucket_by)
    for option, value, allowed in (
        ("--equal", equal, EQUALS),
        ("--undated", undated, UNDATED),
        ("--duplicates", duplicates, DUPLICATES),
    ):
        if value not in allowed:
            raise UsageError(f"{option} {value}: expected {any_of(allowed)}")
    if equal != EQUALS[0] and not isinstance(by, int):
        raise UsageError(f"--equal {equal} needs a number of buckets: --bucket-by N")
    if order is not None and by is not None:
        raise UsageError("--order is for the buckets of SOURCE, but --bucket-by makes new ones: give one of them")
    if order is not None and len(set(order)) < len(order):
        raise UsageError("--order lists a bucket twice")
    if isinstance(min_per_class, bool) or not isinstance(min_per_class, int) or min_per_class < 1:
        raise UsageError(f"--min-per-class {min_per_class} is not a whole number ≥ 1")
    pattern = None if date_pattern is None else DatePattern(date_pattern)
    return CutOptions(by, equal, order, pattern, undated, min_per_class, duplicates, decode)


def _with_bucket_by(
    source: Path, found: Found, options: CutOptions, given: str | int | None, listener: Listener
) -> CutOptions:
    """The options with what buckets are made by. Raises DatasetError if only some of the images have a bucket."""
    without = [image.name for image in found.images if image.bucket is None]
    if given is not None:
        if len(without) < len(found.images):
            listener(Message(f"the buckets of {source} are not used: new ones are made by {given}"))
        return options
    if not without:
        return options
    if len(without) < len(found.images):
        raise DatasetError(
            f"{source}: {len(without):,} images have no bucket, such as {without[0]}: give every image a bucket"
        )
    if options.order is not None:
        raise UsageError(f"--order needs buckets, but {source} has none: they are made by date")
    return replace(options, bucket_by=DEFAULT_BUCKET_BY)


def _check_nesting(source: Path, found: Found, output: Path) -> None:
    """Raise UsageError if the new folder would be in the source, or the source's images in it."""
    real, scanned = Path(os.path.realpath(output)), scanned_folder(source)
    if scanned is not None:
        folder = Path(os.path.realpath(scanned))
        if real == folder or folder in real.parents:
            raise UsageError(f"--output {output} is inside {source}, which is only read: choose a folder outside it")
    folders = {image.file.parent for image in found.images}
    if any(real in (path := Path(os.path.realpath(folder)), *path.parents) for folder in folders):
        raise UsageError(f"--output {output} contains images of {source}, which is only read: choose another folder")


def _asked(source: Path, found: Found, options: CutOptions, images: str) -> dict[str, Any]:
    """The entries of dataset.json for the source and the options."""
    return {
        "source": printable(os.path.realpath(source)),
        "layout": found.layout,
        "bucket_by": options.bucket_by,
        "equal": options.equal if isinstance(options.bucket_by, int) else None,
        "order": list(options.order) if options.order is not None else None,
        "date_pattern": options.pattern.text if options.pattern else None,
        "undated": options.undated,
        "min_per_class": options.min_per_class,
        "duplicates": options.duplicates,
        "images": images,
    }


def _note(asked: dict[str, Any], plan: ImportPlan) -> dict[str, Any]:
    """The content of dataset.json."""
    return {
        "made_by": "clearctl import",
        "clearctl": __version__,
        **asked,
        "buckets": {
            bucket.number: {
                "name": bucket.name,
                "first": bucket.first.isoformat(" ") if bucket.first else None,
                "last": bucket.last.isoformat(" ") if bucket.last else None,
            }
            for bucket in plan.buckets
        },
        "labels": {name: list(labels) for name, labels in plan.labels.items()},
        "images_per_bucket_and_class": plan.counts(),
        "left_out": {why: [printable(name) for name in names] for why, names in plan.left_out.files.items()},
        "same_bytes": [[printable(name) for name in names] for names in plan.duplicates],
        "sha256": plan.sha256(with_times=asked["images"] == "copy"),
    }


# The options by which two imports of the same images differ.
_DECIDES = ("source", "layout", "bucket_by", "equal", "order", "date_pattern", "images")


def _refuse_other_options(output: Path, earlier: dict[str, Any], asked: dict[str, Any]) -> None:
    """Raise DatasetError if `output` was imported in another way."""
    key = next((key for key in _DECIDES if earlier.get(key) != asked[key]), None)
    if key is not None:
        raise DatasetError(
            f"{output} was imported with {key} {earlier.get(key)!r}, not {asked[key]!r}\n{_NAME_ANOTHER_FOLDER}"
        )


_NAME_ANOTHER_FOLDER = "choose another folder, or use --force to replace this one"


def _is_new(
    output: Path, earlier: dict[str, Any] | None, note: dict[str, Any], force: bool, listener: Listener
) -> bool:
    """Whether there is anything to write. Raises DatasetError if other images are at `output`, unless `force`."""
    if earlier is None:
        return True
    if all(earlier.get(key) == note[key] for key in ("source", "images", "sha256")):
        return False
    if not force:
        raise DatasetError(f"{output} was imported from other images\n{_NAME_ANOTHER_FOLDER}")
    listener(Message(f"replacing {output}, with everything prepared in it", warning=True))
    return True
