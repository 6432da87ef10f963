"""Writes a rebuilt folder: its note, images and metadata. Files of an earlier run are compared first."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from clearctl import layout
from clearctl.dataset.files import WantedFile, WantedFiles, WriteResult, wanted_bytes, write_files
from clearctl.dataset.recut.images import Images
from clearctl.dataset.recut.note import FINISHED, UNFINISHED, earlier_note, remove_torn_files
from clearctl.dataset.recut.plan import Plan
from clearctl.dataset.recut.records import read_class
from clearctl.dataset.release import Release
from clearctl.errors import DatasetError
from clearctl.jsontext import json_text
from clearctl.progress import Listener


@dataclass(frozen=True)
class RebuildJob:
    """The files of a rebuilt folder `output`; `note` is the content of its rebuild.json."""

    release: Release
    plan: Plan
    output: Path
    images: Images
    note: dict[str, Any]

    def units(self) -> list[WantedFiles]:
        """The note first and the index last, so that an unfinished folder is recognised and is not a CLEAR folder."""
        return [self.note_files, *(partial(self.class_files, name) for name in self.plan.runs), self.index_files]

    def check_images(self) -> None:
        """Raise DatasetError if the first image cannot be linked."""
        class_name, runs = next(iter(self.plan.runs.items()))
        self.images.check(self.output, read_class(self.release, class_name)[runs[0][0].number].file)

    def note_files(self) -> Iterator[WantedFile]:
        """The note that says whose folder this is; an existing one was compared before."""
        file = next((self.output / name for name in (FINISHED, UNFINISHED) if (self.output / name).is_file()), None)
        wanted = wanted_bytes(file or self.output / UNFINISHED, json_text(self.note).encode())
        yield WantedFile(wanted.path, lambda there: there.stat().st_size > 0, wanted.write)

    def class_files(self, class_name: str) -> Iterator[WantedFile]:
        """The images of a class in each new bucket, then its json: the whole records, IMG_PATH the new one."""
        records = read_class(self.release, class_name)
        if len(records) != self.plan.num_records[class_name]:
            raise DatasetError(
                f"{self.release.root}: the metadata of class {class_name!r} changed during the command: run it again"
            )
        for bucket, run in zip(self.plan.buckets, self.plan.runs[class_name], strict=True):
            listed = {}
            for chosen in run:
                record = records[chosen.number]
                image = record.file
                path = f"labeled_images/{bucket}/{class_name}/{image.name}"
                yield self.images.wanted(self.output / path, image)
                listed[record.place.id] = {**record.record, "IMG_PATH": path}
            yield wanted_bytes(self.output / _class_file(bucket, class_name), json.dumps(listed).encode())

    def index_files(self) -> Iterator[WantedFile]:
        """class_names.txt and labeled_metadata.json."""
        names = "\n".join(self.release.class_names)
        yield wanted_bytes(self.output / "class_names.txt", names.encode())
        index = {bucket: {name: _class_file(bucket, name) for name in self.plan.runs} for bucket in self.plan.buckets}
        yield wanted_bytes(layout.labeled_metadata_file(self.output), json.dumps(index).encode())


def _class_file(bucket: str, class_name: str) -> str:
    return f"labeled_metadata/{bucket}/{class_name}.json"


def write_rebuild(job: RebuildJob, dry_run: bool, listener: Listener) -> WriteResult:
    """Write the missing files. Raises DatasetError if a file of an earlier run was changed."""
    run = partial(write_files, job.units(), listener=listener, check="compare", write="write images", unit="steps")
    if not dry_run:
        remove_torn_files(job.output)
    if earlier_note(job.output) is None:
        if not dry_run:
            job.check_images()
        return run(force=False, dry_run=dry_run)
    found = run(force=True, dry_run=True)
    if found.replaced:
        raise DatasetError(
            f"{found.replaced[0]} was changed since the folder was rebuilt\n"
            f"nothing was written; files that differ: {len(found.replaced)}; remove them, or choose another --output"
        )
    return found if dry_run else run(force=False, dry_run=False)
