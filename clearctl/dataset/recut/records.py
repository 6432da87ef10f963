"""The labelled records of a dataset folder, class by class over all of its buckets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearctl.dataset.labeled import LabeledIndex, read_labeled_bucket, read_records
from clearctl.dataset.recut.fields import RecordKey
from clearctl.dataset.release import Release, ReleasePart
from clearctl.progress import Counted, Listener


@dataclass(frozen=True)
class LabeledRecord:
    """A record of a class's json, with where it stands and the part of the release that has it."""

    part: ReleasePart
    place: RecordKey
    record: dict[str, Any]

    @property
    def path(self) -> str:
        """The path of the image, relative to the dataset folder."""
        return f"{self.part.prefix}{self.record['IMG_PATH']}"

    @property
    def file(self) -> Path:
        """The image."""
        return self.part.folder / str(self.record["IMG_PATH"])

    def lowercase_fields(self) -> dict[str, Any]:
        """The record with lower-case names; its img_path is relative to the dataset folder."""
        return {**{name.lower(): value for name, value in self.record.items()}, "img_path": self.path}

    def fields(self) -> dict[str, Any]:
        """`lowercase_fields` for conditions and sorting, with bucket and class_name unless the record has them."""
        return {"bucket": int(self.place.bucket), "class_name": self.place.class_name, **self.lowercase_fields()}


def read_class(release: Release, class_name: str) -> list[LabeledRecord]:
    """All records of a class: buckets in numeric order, in a bucket the parts of the release, then as in the file.

    Raises DatasetError as `labeled.read_records` does.
    """
    found = []
    for bucket in all_buckets(release):
        for part in release.parts:
            file = part.index.class_files.get(bucket, {}).get(class_name)
            if file is None:
                continue
            alone = LabeledIndex(part.index.class_names, {bucket: {class_name: file}})
            for _, records in read_records(part.folder, bucket, alone):
                found += [
                    LabeledRecord(part, RecordKey(bucket, class_name, key), record) for key, record in records.items()
                ]
    return found


def all_buckets(release: Release) -> list[str]:
    """The buckets that any part of the release has, in numeric order."""
    return sorted((*release.buckets, *release.unpaired), key=int)


def check_images(release: Release, listener: Listener) -> None:
    """Raise DatasetError as `labeled.read_labeled_bucket` does: a missing image, an id listed twice, ..."""
    buckets = all_buckets(release)
    for done, bucket in enumerate(buckets, 1):
        for part in release.parts:
            if bucket in part.index.class_files:
                read_labeled_bucket(part.folder, bucket, part.index)
        listener(Counted("check the labelled images", done, len(buckets), "buckets"))
