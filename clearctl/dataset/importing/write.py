"""Write a plan as a new CLEAR folder, atomically: built next to the target, then renamed.

class_names.txt, labeled_metadata.json, labeled_metadata/<bucket>/<class>.json
labeled_images/<bucket>/<class>/<id>.<suffix>   links to the source's images, hard links or copies
train/, test/    each with all of that, if the source is already split
dataset.json     where the images are from
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from clearctl import atomic, layout
from clearctl.dataset.arguments import require_new_folder
from clearctl.dataset.files import dataset_lock
from clearctl.dataset.importing.plan import ImportPlan, PlannedImage
from clearctl.dataset.recut.images import Images
from clearctl.errors import DatasetError, UsageError
from clearctl.jsontext import json_text
from clearctl.progress import Counted, Listener, rate_limited

NOTE = "dataset.json"
# The fields that dataset.json and the records of the images have by themselves, in lower case.
_OWN_FIELDS = frozenset(("id", "img_path", "date_taken", "date_from", "source_path", "source_label", "bucket_name"))


def earlier_import(output: Path) -> dict[str, Any] | None:
    """The dataset.json of the folder that `output` is already; None if there is none or an empty folder.

    Raises UsageError for a folder of something else, which is never replaced.
    """
    file = output / NOTE
    if file.is_file():
        note = layout.read_json(file)
        if isinstance(note, dict) and note.get("made_by") == "clearctl import":
            return note
        raise UsageError(f"--output {output}: {file.name} was not written by `clearctl import`: choose another folder")
    require_new_folder(output)
    return None


def write_folder(plan: ImportPlan, note: dict[str, Any], output: Path, mode: str, listener: Listener) -> int:
    """Make `output` what `plan` and `note` say, with images by `mode`; an existing import is replaced.

    Returns the number of images. Raises DatasetError for what cannot be written or linked; then nothing is changed.
    """
    target = output.resolve()
    try:
        with _staging(target) as staging:
            for part in plan.parts:
                _write_part(plan, part, staging / part)
            _write_images(plan, staging, target, mode, listener)
            (staging / NOTE).write_bytes(json_text(note).encode())
            _publish(staging, target)
    except OSError as error:
        raise DatasetError(f"{output} cannot be written: {error.strerror or error}") from None
    return len(plan.images)


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A new folder beside `target`, with the same relative links as later; removed at the end, if it still exists."""
    target.parent.mkdir(parents=True, exist_ok=True)
    atomic.remove_stale(target.parent, target.name)
    staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _publish(staging: Path, target: Path) -> None:
    """Rename `staging` to `target`; an existing import is removed, unless another command is changing it."""
    staging.chmod(atomic.permissions(0o777))  # mkdtemp makes folders private
    if not target.is_dir() or not any(target.iterdir()):
        staging.replace(target)
        return
    with ExitStack() as stack:
        stack.enter_context(dataset_lock(target))
        old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"))
        target.replace(old)
        try:
            staging.replace(target)
        except BaseException:
            with suppress(OSError):
                old.replace(target)
            raise
    shutil.rmtree(old, ignore_errors=True)


def _write_part(plan: ImportPlan, part: str, folder: Path) -> None:
    """Write the class names and the metadata of a labelled folder."""
    folder.mkdir(exist_ok=True)
    names = {bucket.number: bucket.name for bucket in plan.buckets}
    records: dict[str, dict[str, dict[str, Any]]] = {}
    for each in plan.images:
        if each.part == part:
            of_class = records.setdefault(each.bucket, {}).setdefault(each.class_name, {})
            of_class[each.id] = record_of(each, names[each.bucket])
    index: dict[str, dict[str, str]] = {}
    for bucket, classes in records.items():
        (folder / "labeled_metadata" / bucket).mkdir(parents=True)
        for name, of_class in classes.items():
            path = f"labeled_metadata/{bucket}/{name}.json"
            index.setdefault(bucket, {})[name] = path
            (folder / path).write_text(json.dumps(of_class), encoding="utf-8")
    (folder / "class_names.txt").write_bytes("\n".join(plan.labels).encode())
    layout.labeled_metadata_file(folder).write_text(json.dumps(index), encoding="utf-8")


def record_of(each: PlannedImage, bucket_name: str) -> dict[str, Any]:
    """The record of an image in the json of its class; the other columns of a table come after that."""
    image = each.image
    record: dict[str, Any] = {"ID": each.id, "IMG_PATH": each.path}
    if image.date is not None:
        moment = image.date.moment
        record["DATE_TAKEN"] = f"{moment.replace(microsecond=0).isoformat(' ')}.{moment.microsecond // 100_000}"
        record["DATE_FROM"] = image.date.origin
    record.update(SOURCE_PATH=printable(image.name), SOURCE_LABEL=image.label, BUCKET_NAME=bucket_name)
    seen = set(_OWN_FIELDS)
    for name, value in image.fields.items():
        if name.lower() not in seen:
            seen.add(name.lower())
            record[name] = value
    return record


def printable(name: str) -> str:
    """A path as UTF-8 can have it: bytes of a file name that are none are written as `\\udcXX`."""
    return name.encode(errors="backslashreplace").decode()


def _write_images(plan: ImportPlan, staging: Path, target: Path, mode: str, listener: Listener) -> None:
    images = Images(mode)
    listener = rate_limited(listener)
    for done, each in enumerate(plan.images, 1):
        path = staging / each.part / each.path
        try:
            images.wanted(path, each.image.file).write(path)
        except DatasetError as error:  # no links there: not a fault of the folder that is being built
            raise DatasetError(str(error).replace(str(staging), str(target))) from None
        listener(Counted("write images", done, len(plan.images), "images"))
