"""Make a new CLEAR folder from the labelled images of another, cut into buckets by a metadata field.

    class_names.txt, labeled_metadata.json, labeled_metadata/<bucket>/<class>.json
    labeled_images/<bucket>/<class>/<file>   links to the source's images, hard links or copies
    training_folder/                         as `prepare_avalanche` makes it
    rebuild.json                             how the folder was made; it comes last

The new buckets are "1", "2", ... The folder is in the public layout, whatever layout the source has, and trains as it
is. While it is not finished its rebuild.json is called rebuild.unfinished.json, and the same command continues with it.
"""

import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearctl import layout
from clearctl.dataset.files import dataset_lock
from clearctl.dataset.prepare import DEFAULT_TEST_RATIO, prepare_avalanche
from clearctl.dataset.recut.images import IMAGE_MODES, Images
from clearctl.dataset.recut.note import FINISHED, check_earlier, finish
from clearctl.dataset.recut.plan import Plan, Recut, make_plan
from clearctl.dataset.recut.process import Process, load_process, name_of
from clearctl.dataset.recut.records import check_images
from clearctl.dataset.recut.where import parse_where
from clearctl.dataset.recut.write import RebuildJob, write_rebuild
from clearctl.dataset.release import Release, read_release
from clearctl.errors import DatasetError, UsageError
from clearctl.progress import Listener, Message, ignore
from clearctl.shortrepr import ShortRepr
from clearctl.version import __version__

DEFAULT_NUM_BUCKETS = 10


@dataclass(frozen=True, repr=False)
class RebuildResult(ShortRepr):
    """The result of `rebuild_by_metadata`, or of its dry run.

    `images_per_bucket_and_class` is {new bucket: {class: number of images}}, `left_over` {class: number of images that
    the cut leaves}, `dropped` {why: number of images} for "where", "missing" and "process", `changed_bucket` {new
    bucket: how many of its images were in a bucket of another number}. `images` is how they got there: link, hardlink
    or copy. `written` and `unchanged` count files, images among them; a dry run does not know those of
    training_folder/.
    """

    source: Path
    root: Path
    buckets: tuple[str, ...]
    class_names: tuple[str, ...]
    images_per_bucket_and_class: dict[str, dict[str, int]]
    left_over: dict[str, int]
    dropped: dict[str, int]
    changed_bucket: dict[str, int]
    images: str
    written: int
    unchanged: int


def rebuild_by_metadata(
    root: Path | str,
    output: Path | str,
    *,
    sort_by: str | None = None,
    descending: bool = False,
    num_buckets: int = DEFAULT_NUM_BUCKETS,
    where: str | None = None,
    process: Process | str | None = None,
    images: str = "link",
    drop_missing: bool = False,
    dry_run: bool = False,
    listener: Listener = ignore,
) -> RebuildResult:
    """Sort or filter all labelled images of `root` by their metadata and cut them again into buckets, in `output`.

    For each class the records of all buckets are taken together in bucket order (in a bucket, those of train/ before
    those of test/), filtered by `where`, sorted, and cut into `num_buckets` runs of the same length; what is left over
    at the end is not in the new folder.

    Args:
        root: a dataset folder, prepared or not, in any layout that `prepare_avalanche` reads. It is only read.
        output: the new folder: missing, empty, or of the same rebuild, which is then finished.
        sort_by: the field to sort by, whatever its case. Values that all are numbers are sorted as numbers, dates as
            dates, text by its characters; equal ones keep their order.
        descending: the largest first; equal ones still keep their order.
        num_buckets: how many new buckets, called "1", "2", ...
        where: keep only the records of which this holds, such as "date_taken >= '2008' and bucket != 0"
            (`where.parse_where`). Besides the fields it may name `bucket` and `class_name`.
        process: instead of `sort_by`, a callable, or MODULE:FUNCTION that names one. It is given the list of a class's
            records, dicts with lower-case names whose img_path is relative to `root`, and returns those to keep (or
            copies), in their new order.
        images: "link" (relative links, so that both folders may be moved together), "hardlink" or "copy".
        drop_missing: leave out records that lack a field which is requested; else they are an error. A value is
            missing if it is absent, null, blank, "null" or the date 0000-00-00.
        dry_run: compute and check everything, write nothing.
        listener: notified of what is read, checked and written.

    The new folder is prepared with the defaults of `prepare_avalanche`. The same command a second time changes nothing;
    after a killed one it finishes the folder.

    Raises UsageError for arguments that make no sense, among them an `output` with other things in it; DatasetError for
    faults of the source, values that do not compare, too few images, files that differ or cannot be written.
    """
    root, output = Path(root), Path(output)
    recut = _read_arguments(sort_by, descending, num_buckets, where, process, images, drop_missing)
    release = read_release(root)
    _check_source(release)
    _check_nesting(release, output)
    asked = {
        "source": os.path.relpath(os.path.realpath(root), os.path.realpath(output)),
        "sort_by": recut.sort_by,
        "descending": descending,
        "where": where,
        "process": recut.process_name or None,
        "drop_missing": drop_missing,
        "num_buckets": num_buckets,
        "images": images,
    }
    check_earlier(output, asked)
    check_images(release, listener)
    plan = make_plan(release, recut, listener)
    note = _note(asked, plan)
    check_earlier(output, note)
    _report_what_is_not_copied(release, listener)
    job = RebuildJob(release, plan, output, Images(images), note)
    with nullcontext() if dry_run else dataset_lock(output):
        outcome = write_rebuild(job, dry_run, listener)
    written, unchanged = outcome.written, outcome.unchanged
    if not dry_run and _is_unprepared(output):
        prepared = prepare_avalanche(output, test_ratio=_test_ratio(plan, listener), listener=listener)
        written, unchanged = written + prepared.written, unchanged + prepared.unchanged
    if not dry_run:
        finish(output)
    return RebuildResult(
        root,
        output,
        plan.buckets,
        release.class_names,
        plan.images_per_bucket_and_class(release.class_names),
        plan.left_over,
        plan.dropped,
        plan.changed(),
        images,
        written,
        unchanged,
    )


def _read_arguments(
    sort_by: str | None,
    descending: bool,
    num_buckets: int,
    where: str | None,
    process: Process | str | None,
    images: str,
    drop_missing: bool,
) -> Recut:
    """The request as a `Recut`. Raises UsageError for arguments that make no sense."""
    if sort_by is None and where is None and process is None:
        raise UsageError("nothing to do: give --sort-by FIELD, --where EXPRESSION or --process MODULE:FUNCTION")
    if sort_by is not None and process is not None:
        raise UsageError("--sort-by and --process: give one of them; a process sorts the records itself")
    if descending and sort_by is None:
        raise UsageError("--descending is for --sort-by")
    if drop_missing and sort_by is None and where is None:
        raise UsageError("--drop-missing is for --sort-by and --where; a process gets all records")
    if isinstance(num_buckets, bool) or not isinstance(num_buckets, int) or num_buckets < 1:
        raise UsageError(f"--num-buckets {num_buckets} is not a whole number ≥ 1")
    if images not in IMAGE_MODES:
        raise UsageError(f"--images {images}: expected {', '.join(IMAGE_MODES[:-1])} or {IMAGE_MODES[-1]}")
    condition = None if where is None else parse_where(where)
    function = load_process(process) if isinstance(process, str) else process
    name = process if isinstance(process, str) else name_of(process) if process else ""
    return Recut(num_buckets, sort_by.lower() if sort_by else None, descending, condition, function, name, drop_missing)


def _check_source(release: Release) -> None:
    """Raise DatasetError for a folder without metadata, and for a class that no folder can be called after."""
    for folder in release.without_metadata:
        file = layout.labeled_metadata_file(folder)
        raise DatasetError(f"{file} is missing: rebuild-by-metadata sorts and filters by this metadata")
    for name in release.class_names:
        if name in (".", "..") or "/" in name or "\0" in name:
            file = layout.class_names_file(release.root)
            raise DatasetError(f"{file}: {name!r} is not a valid folder name, which the new folder needs")


def _check_nesting(release: Release, output: Path) -> None:
    """Raise UsageError if the new folder would be in the source, or the source in it."""
    real = Path(os.path.realpath(output))
    for folder in (release.root, *(part.folder for part in release.parts)):
        source = Path(os.path.realpath(folder))
        if real == source or source in real.parents:
            raise UsageError(f"--output {output} is inside {folder}, which is only read: choose a folder outside it")
        if real in source.parents:
            raise UsageError(f"--output {output} contains {folder}, which is only read: choose another folder")


def _report_what_is_not_copied(release: Release, listener: Listener) -> None:
    if release.has_published_split:
        train, test = (part.folder.name for part in release.parts)
        listener(Message(f"{train}/ and {test}/ are combined: the new folder gets new iid splits"))
    shipped = any(layout.released_features_folder(part.folder).is_dir() for part in release.parts)
    if shipped or layout.feature_names(release.root):
        listener(Message("features are not copied: extract them from the new folder"))


def _test_ratio(plan: Plan, listener: Listener) -> float:
    """The default, or 0 if it would leave the test sets empty; all new buckets are of one size."""
    size = sum(len(runs[0]) for runs in plan.runs.values())
    if int(size * DEFAULT_TEST_RATIO):
        return DEFAULT_TEST_RATIO
    listener(Message(f"{size} images per bucket are too few for a test set: no iid splits are made", warning=True))
    return 0.0


def _note(asked: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """The content of rebuild.json: how the folder was made, and its counts."""
    return {
        "clearctl": __version__,
        **asked,
        "images_per_class_and_bucket": {name: len(runs[0]) for name, runs in plan.runs.items()},
        "left_over": plan.left_over,
        "dropped": plan.dropped,
        "changed_bucket": sum(plan.changed().values()),
        "sha256": plan.sha256(),
    }


def _is_unprepared(output: Path) -> bool:
    """A finished folder may have been prepared in another way since."""
    return not ((output / FINISHED).is_file() and layout.bucket_indices_file(output).is_file())
