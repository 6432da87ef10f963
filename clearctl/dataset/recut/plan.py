"""The plan of a rebuild: each labelled image's new bucket and position. Nothing is written here.

The procedure is that of the CLEAR paper's code (its `create_dataset` over a `process`): for each class, the records of
all buckets in bucket order, filtered and sorted, cut into num_buckets runs of len // num_buckets.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from clearctl.dataset.recut.binding import Condition
from clearctl.dataset.recut.fields import Field, MissingValue, RecordKey, is_missing, read_value
from clearctl.dataset.recut.process import Process, run_process
from clearctl.dataset.recut.records import LabeledRecord, read_class
from clearctl.dataset.recut.where import Where
from clearctl.dataset.release import Release
from clearctl.errors import DatasetError, UsageError
from clearctl.nearby import closest
from clearctl.progress import Counted, Listener, Message
from clearctl.wording import counted


@dataclass(frozen=True)
class Recut:
    """A request: what to keep (`where`), in which order (`sort_by` or `process`), in how many buckets.

    `process_name` is how messages call `process`, empty without one.
    """

    num_buckets: int
    sort_by: str | None
    descending: bool
    where: Where | None
    process: Process | None
    process_name: str
    drop_missing: bool


class SelectedRecord(NamedTuple):
    """A record that is in the new folder: its number in `read_class`, where it was, the path of its image."""

    number: int
    place: RecordKey
    path: str


@dataclass(frozen=True)
class Plan:
    """The content of the new folder: {class: the records of each new bucket, in order}, without absent classes.

    `num_records` are the records of each class in the source; `left_over` those of each class that the cut leaves at
    the end; `dropped` counts records by why they were dropped: "where", "missing", "process".
    """

    buckets: tuple[str, ...]
    runs: dict[str, list[list[SelectedRecord]]]
    num_records: dict[str, int]
    left_over: dict[str, int]
    dropped: dict[str, int]

    def images_per_bucket_and_class(self, class_names: Sequence[str]) -> dict[str, dict[str, int]]:
        """{new bucket: {class: number of images}}, absent classes too."""
        return {
            bucket: {name: len(self.runs[name][number]) if name in self.runs else 0 for name in class_names}
            for number, bucket in enumerate(self.buckets)
        }

    def changed(self) -> dict[str, int]:
        """{new bucket: how many of its images came from a bucket of another number}."""
        return {
            bucket: sum(
                int(chosen.place.bucket) != int(bucket) for runs in self.runs.values() for chosen in runs[number]
            )
            for number, bucket in enumerate(self.buckets)
        }

    def sha256(self) -> str:
        """A number for this choice and order of images."""
        digest = hashlib.sha256()
        for class_name, runs in self.runs.items():
            for run in runs:
                digest.update(json.dumps([class_name, [[chosen.path, chosen.place.id] for chosen in run]]).encode())
        return digest.hexdigest()


def make_plan(release: Release, recut: Recut, listener: Listener) -> Plan:
    """Choose, order and cut the records of every class.

    Raises UsageError for a field that no record has, a condition that does not fit the fields, a `process` that fails;
    DatasetError for records that lack a field (without `drop_missing`), values that do not compare, a class with fewer
    images than buckets, no image at all, an id or file name that would be twice in a new bucket.
    """
    condition = _bind(release, recut.where, listener) if recut.where else None
    choice = _Selection(recut, condition)
    num_records = {}
    for done, class_name in enumerate(release.class_names, 1):
        records = read_class(release, class_name)
        num_records[class_name] = len(records)
        choice.take(class_name, records)
        listener(Counted("read the metadata", done, len(release.class_names), "classes"))
    ordered = choice.ordered(listener)
    runs = {name: _cut(name, kept, recut.num_buckets) for name, kept in ordered.items() if kept}
    _check_absent(release, ordered, num_records, listener)
    plan = Plan(
        tuple(str(number) for number in range(1, recut.num_buckets + 1)),
        runs,
        num_records,
        {name: len(kept) % recut.num_buckets for name, kept in ordered.items()},
        dict(choice.dropped),
    )
    _check_collisions(plan)
    return plan


@dataclass
class _Selection:
    """The records kept so far, class by class; what is found on the way."""

    recut: Recut
    condition: Condition | None
    kept: dict[str, list[SelectedRecord]] = field(default_factory=dict)
    # Of each kept record, if there is a field to sort by.
    values: dict[str, list[Any]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    dropped: Counter[str] = field(default_factory=lambda: Counter(where=0, missing=0, process=0))
    first_missing: tuple[str, RecordKey] | None = None

    def __post_init__(self) -> None:
        self.sort_field = Field(self.recut.sort_by.lower()) if self.recut.sort_by else None

    def take(self, class_name: str, records: Sequence[LabeledRecord]) -> None:
        """Keep those records of a class that the new folder is to have."""
        kept: list[SelectedRecord] = []
        values = self.values[class_name] = []
        for number, record in enumerate(records):
            fields = record.fields()
            self.names |= fields.keys()
            try:
                if self.condition and not self.condition(fields):
                    self.dropped["where"] += 1
                    continue
                if self.sort_field:
                    values.append(self._sort_value(self.sort_field, fields, record.place))
            except MissingValue as missing:
                self.dropped["missing"] += 1
                self.first_missing = self.first_missing or (missing.name, record.place)
                continue
            kept.append(SelectedRecord(number, record.place, record.path))
        if self.recut.process:
            handed = [records[chosen.number].lowercase_fields() for chosen in kept]
            order = run_process(self.recut.process, self.recut.process_name, class_name, handed)
            self.dropped["process"] += len(kept) - len(order)
            kept = [kept[number] for number in order]
        self.kept[class_name] = kept

    def ordered(self, listener: Listener) -> dict[str, list[SelectedRecord]]:
        """{class: what is kept, in its new order}, once all classes are taken."""
        if self.sort_field and self.sort_field.name not in self.names:
            name = self.sort_field.name
            raise UsageError(f"--sort-by {name}: no record has this field{closest(name, sorted(self.names))}")
        if self.first_missing and not self.recut.drop_missing:
            name, place = self.first_missing
            raise DatasetError(
                f"{self.dropped['missing']:,} records lack a required field, the first one {name} ({place})\n"
                "use --drop-missing to leave them out"
            )
        kind = self.sort_field.kind() if self.sort_field else None
        if not self.sort_field or not kind:
            return self.kept
        self.sort_field.require_order()
        listener(Message(f"{self.sort_field.name} is read as {kind.value}"))
        ordered = {}
        for class_name, kept in self.kept.items():
            values: list[Any] = [read_value(value, kind) for value in self.values[class_name]]
            # As sorted() would of the records by this key: equal ones stay in their order, descending or not.
            order = sorted(range(len(kept)), key=values.__getitem__, reverse=self.recut.descending)
            ordered[class_name] = [kept[number] for number in order]
        return ordered

    def _sort_value(self, sort_field: Field, fields: Mapping[str, Any], place: RecordKey) -> Any:
        value = fields.get(sort_field.name)
        if is_missing(value):
            raise MissingValue(sort_field.name)
        sort_field.note(value, place)
        return value


def _bind(release: Release, where: Where, listener: Listener) -> Condition:
    """The condition as a function of a record, what its fields hold being inferred from all records."""
    fields = {name: Field(name) for name in where.fields}
    names: set[str] = set()
    for done, class_name in enumerate(release.class_names, 1):
        for record in read_class(release, class_name):
            values = record.fields()
            names |= values.keys()
            for name, noted in fields.items():
                noted.note(values.get(name), record.place)
        listener(Counted("look at the fields", done, len(release.class_names), "classes"))
    where.require_known(names)
    return where.bind(fields)


def _cut(class_name: str, chosen: Sequence[SelectedRecord], num_buckets: int) -> list[list[SelectedRecord]]:
    """The records of each new bucket. Raises DatasetError for fewer records than buckets."""
    size = len(chosen) // num_buckets
    if not size:
        raise DatasetError(
            f"class {class_name!r} has {counted(len(chosen), 'image')} for {counted(num_buckets, 'bucket')}\n"
            f"choose a smaller --num-buckets, or leave the class out with --where {f'class_name != {class_name!r}'!r}"
        )
    return [list(chosen[number * size : (number + 1) * size]) for number in range(num_buckets)]


def _check_absent(
    release: Release,
    ordered: Mapping[str, Sequence[SelectedRecord]],
    num_records: Mapping[str, int],
    listener: Listener,
) -> None:
    """Report classes without an image; raise DatasetError if none has any."""
    absent = [name for name in release.class_names if not ordered[name]]
    if len(absent) == len(release.class_names):
        raise DatasetError(f"{release.root}: none of the {sum(num_records.values()):,} images is left: change --where")
    if absent:
        names = ", ".join(absent)
        listener(Message(f"no image is left of class {names}: it keeps its index, without images", warning=True))


def _check_collisions(plan: Plan) -> None:
    """Raise DatasetError for an id that is twice in a new bucket, or a file name twice in a class of it."""
    for number, bucket in enumerate(plan.buckets):
        ids: dict[str, SelectedRecord] = {}
        for class_name, runs in plan.runs.items():
            files: dict[str, SelectedRecord] = {}
            for chosen in runs[number]:
                _note_once(ids, "id", chosen.place.id, chosen, f"bucket {bucket}")
                name = os.path.basename(chosen.path)
                _note_once(files, "file name", name, chosen, f"bucket {bucket}, class {class_name!r}")


def _note_once(seen: dict[str, SelectedRecord], what: str, value: str, chosen: SelectedRecord, where: str) -> None:
    if value in seen:
        one, other = seen[value], chosen
        raise DatasetError(
            f"the {what} {value!r} would occur twice in the new {where}: {one.path} (bucket {one.place.bucket}) and "
            f"{other.path} (bucket {other.place.bucket})\n"
            f"leave one of them out, such as --where {f'img_path != {other.path!r}'!r}"
        )
    seen[value] = chosen
