"""Rebuilding by metadata: the images of the original procedure, a folder that is whole, and what is refused."""

import errno
import functools
import json
import operator
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import prepared, published

from clearctl.data.stream import read_stream
from clearctl.dataset.files import dataset_lock
from clearctl.dataset.prepare import prepare_avalanche
from clearctl.dataset.rebuild import rebuild_by_metadata
from clearctl.errors import DatasetError, UsageError
from clearctl.progress import Counted, Message
from clearctl.version import __version__

REPOSITORY = Path(__file__).parents[2]
CLASSES = ["BACKGROUND", "camera", "cup of tea"]


def original(parts: list[tuple[Path, str]], process, num_buckets: int) -> dict[str, str]:
    """The file lists that the original procedure would write, by bucket: the paths are those of the old images.

    `parts` are the labelled folders with what is put before their paths. Written with nothing of clearctl's.
    """
    names = (parts[0][0] / "class_names.txt").read_text().split("\n")
    indices = [(folder, prefix, json.loads((folder / "labeled_metadata.json").read_text())) for folder, prefix in parts]
    lines = {str(bucket + 1): [] for bucket in range(num_buckets)}
    for number, name in enumerate(names):
        data = []
        for bucket in sorted({bucket for *_, index in indices for bucket in index}, key=int):
            for folder, prefix, index in indices:
                if name in index.get(bucket, {}):
                    for record in json.loads((folder / index[bucket][name]).read_text()).values():
                        lowercase_fields = {key.lower(): value for key, value in record.items()}
                        data.append({**lowercase_fields, "img_path": prefix + record["IMG_PATH"]})
        data = process(data)
        size = len(data) // num_buckets
        for bucket in range(num_buckets):
            for record in data[bucket * size : (bucket + 1) * size]:
                lines[str(bucket + 1)].append(f"{record['img_path']} {number}")
    return {bucket: "\n".join(of_bucket) for bucket, of_bucket in lines.items()}


def renamed(lists: dict[str, str]) -> dict[str, bytes]:
    """The same lists with the paths that the images have in the new folder."""
    new = {}
    for bucket, text in lists.items():
        lines = []
        for line in filter(None, text.split("\n")):
            path, _, number = line.rpartition(" ")
            lines.append(f"labeled_images/{bucket}/{CLASSES[int(number)]}/{path.rpartition('/')[2]} {number}")
        new[bucket] = "\n".join(lines).encode()
    return new


def file_lists(root: Path) -> dict[str, bytes]:
    return {file.parent.name: file.read_bytes() for file in root.glob("training_folder/filelists/*/all.txt")}


def image_paths(text: str) -> list[str]:
    return [line.rpartition(" ")[0] for line in text.split("\n") if line]


def assert_original(source: Path, new: Path, process, num_buckets: int, parts=None) -> None:
    """`new` holds what the original procedure gives of `source`: lists, splits, and behind each name its own image."""
    old = original(parts or [(source, "")], process, num_buckets)
    expected = renamed(old)
    assert file_lists(new) == expected
    assert prepared(new) == published(new, 0.3, range(5))
    assert json.loads((new / "training_folder/bucket_indices.json").read_text()) == [
        str(number + 1) for number in range(num_buckets)
    ]
    for bucket, text in old.items():
        for before, after in zip(image_paths(text), image_paths(expected[bucket].decode()), strict=True):
            assert (new / after).read_bytes() == (source / before).read_bytes()


def set_field(root: Path, name: str, value) -> None:
    """Give every record the field `name`: value(bucket, class name, position); None takes it away."""
    for file in sorted(root.glob("labeled_metadata/*/*.json")):
        records = json.loads(file.read_text())
        for position, record in enumerate(records.values()):
            record.pop(name, None)
            new = value(int(file.parent.name), file.stem, position)
            if new is not None:
                record[name] = new
        file.write_text(json.dumps(records))


def scattered(bucket: int, class_name: str, position: int) -> int:
    """A number that is in no order of the records, with some twice."""
    return (bucket * 7 + len(class_name) + position * 5) % 13


def tree(root: Path) -> dict[str, bytes | str]:
    """Everything below `root`: the bytes of files, the targets of links."""
    return {
        str(path.relative_to(root)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in root.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in root.rglob("*")}


def by(name: str, kind, **arguments):
    return functools.partial(sorted, key=lambda record: kind(record[name]), **arguments)


def test_by_date_as_the_original(clear_folder, tmp_path):
    root = clear_folder(buckets=("10", "9", "0"), images={"camera": 9})
    set_field(root, "DATE_TAKEN", lambda *place: f"2004-{1 + scattered(*place) % 12:02d}-03 00:00:00.0")
    result = rebuild_by_metadata(root, tmp_path / "new", sort_by="DATE_TAKEN", num_buckets=4)
    # The published dates are of one form, so that the original's order of strings is the order of dates.
    assert_original(root, tmp_path / "new", by("date_taken", str), 4)
    assert result.buckets == ("1", "2", "3", "4")
    assert result.images_per_bucket_and_class == {
        bucket: {"BACKGROUND": 5, "camera": 6, "cup of tea": 5} for bucket in result.buckets
    }
    assert result.left_over == {"BACKGROUND": 1, "camera": 3, "cup of tea": 1}
    assert result.dropped == {"where": 0, "missing": 0, "process": 0}
    assert (result.source, result.root, result.images) == (root, tmp_path / "new", "link")
    assert result.written == len(tree(tmp_path / "new"))


def test_dates_are_sorted_as_dates(clear_folder, tmp_path):
    """With and without a time or a zone: as strings they would come in another order."""
    root = clear_folder()
    forms = [
        ("2008-01-01T00:30:00+05:00", datetime(2007, 12, 31, 19, 30)),
        ("2007-12-31 23:00", datetime(2007, 12, 31, 23)),
        ("2008-01-01", datetime(2008, 1, 1)),
        ("2008-01-01 00:00:00.5", datetime(2008, 1, 1, 0, 0, 0, 500_000)),
        ("2008-01-01T00:00:01Z", datetime(2008, 1, 1, 0, 0, 1)),
    ]
    set_field(root, "When", lambda *place: forms[scattered(*place) % 5][0])
    rebuild_by_metadata(root, tmp_path / "new", sort_by="when", num_buckets=3)
    assert_original(root, tmp_path / "new", by("when", dict(forms).__getitem__), 3)
    assert [dict(forms)[text] for text, _ in forms] == sorted(moment for _, moment in forms)
    assert sorted(text for text, _ in forms) != [text for text, _ in forms]


def test_numbers_are_sorted_as_numbers(clear_folder, tmp_path):
    root = clear_folder()
    set_field(root, "VIEWS", lambda *place: str(scattered(*place)))
    rebuild_by_metadata(root, tmp_path / "new", sort_by="Views", num_buckets=3)
    assert_original(root, tmp_path / "new", by("views", int), 3)
    lists = file_lists(tmp_path / "new")
    assert lists != renamed(original([(root, "")], by("views", str), 3))


def test_seconds_since_1970_as_flickr_has_them(clear_folder, tmp_path):
    root = clear_folder()
    rebuild_by_metadata(root, tmp_path / "new", sort_by="date_uploaded", num_buckets=2)
    assert_original(root, tmp_path / "new", by("date_uploaded", int), 2)


def test_large_numbers_exactly(clear_folder, tmp_path):
    """As floats they would all be one number, and stay in the order of the files."""
    root = clear_folder()
    set_field(root, "BIG", lambda *place: str(2**60 + scattered(*place)))
    rebuild_by_metadata(root, tmp_path / "new", sort_by="big", num_buckets=2)
    assert_original(root, tmp_path / "new", by("big", int), 2)


def test_descending_keeps_equal_ones_in_their_order(clear_folder, tmp_path):
    root = clear_folder()
    set_field(root, "VIEWS", lambda *place: scattered(*place) % 3)
    rebuild_by_metadata(root, tmp_path / "new", sort_by="views", descending=True, num_buckets=4)
    assert_original(root, tmp_path / "new", by("views", int, reverse=True), 4)


def test_text_and_truth_values(clear_folder, tmp_path):
    root = clear_folder()
    set_field(root, "TITLE", lambda *place: "aÄb"[scattered(*place) % 3])
    set_field(root, "PUBLIC", lambda *place: scattered(*place) % 2 == 0)
    rebuild_by_metadata(root, tmp_path / "new", sort_by="title", num_buckets=4)
    assert_original(root, tmp_path / "new", by("title", str), 4)
    rebuild_by_metadata(root, tmp_path / "truth", sort_by="public", num_buckets=4)
    assert_original(root, tmp_path / "truth", by("public", bool), 4)


def test_where_alone_keeps_the_order(clear_folder, tmp_path):
    root = clear_folder(images=9)
    set_field(root, "VIEWS", lambda *place: str(scattered(*place)))
    result = rebuild_by_metadata(root, tmp_path / "new", where="bucket != 0 and views < 10", num_buckets=3)

    def process(data):
        return [record for record in data if "/0/" not in record["img_path"] and int(record["views"]) < 10]

    assert_original(root, tmp_path / "new", process, 3)
    assert result.dropped["where"] == 81 - sum(
        len(process(data)) for data in [json_records(root, name) for name in CLASSES]
    )


def json_records(root: Path, class_name: str) -> list[dict]:
    files = sorted(root.glob(f"labeled_metadata/*/{class_name}.json"), key=lambda file: int(file.parent.name))
    records = [record for file in files for record in json.loads(file.read_text()).values()]
    return [{key.lower(): value for key, value in record.items()} for record in records]


def test_a_class_left_out_by_where_keeps_its_number(clear_folder, tmp_path):
    root = clear_folder()
    events = []
    result = rebuild_by_metadata(
        root, tmp_path / "new", where="class_name != 'camera'", num_buckets=3, listener=events.append
    )
    assert (tmp_path / "new/class_names.txt").read_text().split("\n") == CLASSES
    assert result.images_per_bucket_and_class["1"] == {"BACKGROUND": 7, "camera": 0, "cup of tea": 7}
    assert Message("no image is left of class camera: it keeps its index, without images", warning=True) in events
    assert {line.rpartition(b" ")[2] for line in file_lists(tmp_path / "new")["2"].split(b"\n")} == {b"0", b"2"}


def test_the_bucket_and_class_of_the_metadata_come_first(clear_folder, tmp_path):
    root = clear_folder()
    set_field(root, "Bucket", lambda bucket, *_: f"b{bucket}")
    result = rebuild_by_metadata(root, tmp_path / "new", where="bucket in ['b1', 'b2']", num_buckets=2)
    assert result.dropped["where"] == 21


def test_train_and_test_are_taken_together(later_folder, tmp_path):
    root = later_folder(buckets=("2", "10"))
    events = []
    rebuild_by_metadata(root, tmp_path / "new", sort_by="date_uploaded", num_buckets=4, listener=events.append)
    parts = [(root / "train", "train/"), (root / "test", "test/")]
    assert_original(root, tmp_path / "new", by("date_uploaded", int), 4, parts)
    assert any(isinstance(event, Message) and "train/ and test/ are combined" in event.text for event in events)
    rebuild_by_metadata(root, tmp_path / "unsorted", where="True", num_buckets=4)
    assert_original(root, tmp_path / "unsorted", list, 4, parts)


def test_a_bucket_that_only_train_has_counts_too(later_folder, tmp_path):
    root = later_folder()
    file = root / "test/labeled_metadata.json"
    index = json.loads(file.read_text())
    del index["0"]
    file.write_text(json.dumps(index))
    rebuild_by_metadata(root, tmp_path / "new", where="True", num_buckets=3)
    assert_original(root, tmp_path / "new", list, 3, [(root / "train", "train/"), (root / "test", "test/")])


def test_a_class_absent_from_a_bucket(clear_folder, tmp_path):
    root = clear_folder(images={("1", "camera"): 0})
    rebuild_by_metadata(root, tmp_path / "new", sort_by="date_taken", num_buckets=3)
    assert_original(root, tmp_path / "new", by("date_taken", str), 3)


# The new folder


def test_records_are_whole_and_their_paths_new(clear_folder, tmp_path):
    root = clear_folder(buckets=("3",), classes=("camera",), images=10)
    set_field(root, "title", lambda *place: "Ä \ud800 \n")
    rebuild_by_metadata(root, tmp_path / "new", sort_by="date_taken", num_buckets=3)
    index = json.loads((tmp_path / "new/labeled_metadata.json").read_text())
    assert index == {bucket: {"camera": f"labeled_metadata/{bucket}/camera.json"} for bucket in "123"}
    old = json.loads((root / "labeled_metadata/3/camera.json").read_text())
    new = {}
    for bucket in "123":
        for key, record in json.loads((tmp_path / "new" / index[bucket]["camera"]).read_text()).items():
            assert record["IMG_PATH"] == f"labeled_images/{bucket}/camera/{key}.jpg"
            new[key] = {**record, "IMG_PATH": old[key]["IMG_PATH"]}
    # Sorted by day the records come as they were; the tenth is left over.
    assert list(new.items()) == list(old.items())[:9]
    assert [list(record) for record in new.values()] == [list(old[key]) for key in new]


def test_how_it_was_made_is_noted(clear_folder, tmp_path):
    root = clear_folder()
    result = rebuild_by_metadata(root, tmp_path / "new", sort_by="Date_Taken", where="bucket > 0", num_buckets=3)
    note = json.loads((tmp_path / "new/rebuild.json").read_text())
    assert note.pop("sha256")
    assert note == {
        "clearctl": __version__,
        "source": "../clear",
        "sort_by": "date_taken",
        "descending": False,
        "where": "bucket > 0",
        "process": None,
        "drop_missing": False,
        "num_buckets": 3,
        "images": "link",
        "images_per_class_and_bucket": {"BACKGROUND": 4, "camera": 4, "cup of tea": 4},
        "left_over": {"BACKGROUND": 2, "camera": 2, "cup of tea": 2},
        "dropped": {"where": 21, "missing": 0, "process": 0},
        "changed_bucket": sum(result.changed_bucket.values()),
    }


def test_changed_bucket_counts_names_as_numbers(clear_folder, tmp_path):
    """Bucket 1 comes whole from bucket 1, bucket 2 half from bucket 2, bucket 3 from bucket 4 and half of 2."""
    root = clear_folder(buckets=("01", "2", "4"), classes=("camera",), images={("01", "camera"): 6, "camera": 9})
    result = rebuild_by_metadata(root, tmp_path / "new", where="True", num_buckets=4)
    assert result.changed_bucket == {"1": 0, "2": 0, "3": 6, "4": 0}


@pytest.mark.parametrize("images", ["link", "hardlink", "copy"])
def test_ways_of_the_images(clear_folder, tmp_path, images):
    root = clear_folder(name="a folder")
    result = rebuild_by_metadata(root, tmp_path / "new", sort_by="date_taken", num_buckets=3, images=images)
    assert_original(root, tmp_path / "new", by("date_taken", str), 3)
    assert result.images == images
    for path in (tmp_path / "new/labeled_images").rglob("*.jpg"):
        source = next(root.rglob(path.name))
        assert path.is_symlink() == (images == "link")
        assert path.samefile(source) == (images != "copy")
    stream = read_stream(tmp_path / "new", protocol="iid", seed=3)
    assert [bucket.name for bucket in stream.buckets] == ["1", "2", "3"]
    assert stream.class_names == tuple(CLASSES)
    image, label = stream.buckets[2].train[0]
    assert (image.size, label in (0, 1, 2)) == ((8, 8), True)
    before = snapshot(tmp_path / "new")
    again = rebuild_by_metadata(root, tmp_path / "new", sort_by="date_taken", num_buckets=3, images=images)
    assert snapshot(tmp_path / "new") == before
    assert again.written == 0
    assert again.changed_bucket == result.changed_bucket


def test_links_hold_when_both_folders_are_moved(clear_folder, tmp_path):
    (tmp_path / "disk").mkdir()
    root = clear_folder(name="disk/clear")
    rebuild_by_metadata(root, tmp_path / "disk/deep/new", sort_by="date_taken", num_buckets=3)
    (tmp_path / "disk").rename(tmp_path / "other disk")
    moved = tmp_path / "other disk"
    assert_original(moved / "clear", moved / "deep/new", by("date_taken", str), 3)
    again = rebuild_by_metadata(moved / "clear", moved / "deep/new", sort_by="date_taken", num_buckets=3)
    assert again.written == 0


def test_links_lead_past_links(clear_folder, tmp_path):
    """To the images themselves: through folders that are links, and past a rebuilt folder, which may go."""
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to("far/away", target_is_directory=True)
    root = clear_folder(name="far/away/clear")
    rebuild_by_metadata(tmp_path / "near/clear", tmp_path / "first", sort_by="date_taken", num_buckets=3)
    rebuild_by_metadata(tmp_path / "first", tmp_path / "second", sort_by="date_uploaded", num_buckets=2)
    rebuild_by_metadata(tmp_path / "first", tmp_path / "hard", where="True", num_buckets=2, images="hardlink")
    shutil.rmtree(tmp_path / "first")
    (tmp_path / "near").unlink()
    for new in ("second", "hard"):
        images = list((tmp_path / new / "labeled_images").rglob("*.jpg"))
        assert len(images) == 60
        assert all(image.samefile(next(root.rglob(image.name))) for image in images)


def test_features_stay_behind_and_that_is_reported(clear_folder, tmp_path):
    root = clear_folder()
    events = []
    rebuild_by_metadata(root, tmp_path / "one", where="True", num_buckets=2, listener=events.append)
    assert not any("features" in event.text for event in events if isinstance(event, Message))
    (root / "training_folder/features/resnet50").mkdir(parents=True)
    rebuild_by_metadata(root, tmp_path / "two", where="True", num_buckets=2, listener=events.append)
    assert Message("features are not copied: extract them from the new folder") in events


def test_too_few_images_for_a_test_set(clear_folder, tmp_path):
    root = clear_folder(classes=("camera",), images=2)
    events = []
    rebuild_by_metadata(root, tmp_path / "new", where="True", num_buckets=2, listener=events.append)
    assert any(isinstance(event, Message) and "too few for a test set" in event.text for event in events)
    assert prepared(tmp_path / "new") == published(tmp_path / "new", 0, [])
    assert rebuild_by_metadata(root, tmp_path / "new", where="True", num_buckets=2).written == 0


def test_the_source_is_left_as_it_is(clear_folder, tmp_path):
    root = clear_folder()
    before = snapshot(root)
    for images in ("link", "copy"):
        rebuild_by_metadata(root, tmp_path / images, sort_by="date_taken", num_buckets=3, images=images)
    assert snapshot(root) == before


def test_progress_reaches_its_total(clear_folder, tmp_path):
    events = []
    rebuild_by_metadata(clear_folder(), tmp_path / "new", where="bucket > 0", num_buckets=2, listener=events.append)
    last = {event.work: event for event in events if isinstance(event, Counted)}
    assert all(event.done == event.total for event in last.values())
    assert "write images" in last
    assert len(last) >= 5


# --process


def test_process_as_the_original_had_it(clear_folder, tmp_path):
    root = clear_folder()
    seen = []

    def process(data):
        seen.append(data)
        data.sort(key=lambda record: record["date_uploaded"][-6:])
        return data[2:]

    result = rebuild_by_metadata(root, tmp_path / "new", process=process, num_buckets=3)
    assert [json_records(root, name) for name in CLASSES] == [
        sorted(data, key=lambda record: next(n for n, r in enumerate(json_records(root, name)) if r == record))
        for name, data in zip(CLASSES, seen, strict=True)
    ]
    assert_original(root, tmp_path / "new", process, 3)
    assert result.dropped == {"where": 0, "missing": 0, "process": 6}
    note = json.loads((tmp_path / "new/rebuild.json").read_text())
    assert note["process"] == f"{__name__}:test_process_as_the_original_had_it.<locals>.process"


@pytest.mark.parametrize(
    "process",
    [
        functools.partial(sorted, key=lambda record: record["date_taken"]),
        lambda records: [{**record, "more": 1} for record in reversed(records)],
        lambda records: (record for record in records if int(record["id"]) % 2),
        lambda records: [record for record in records if not record.update(img_path="x")],
        lambda records: [{"img_path": record["img_path"]} for record in records],
        tuple,
    ],
)
def test_what_a_process_may_return(clear_folder, tmp_path, process):
    root = clear_folder()
    rebuild_by_metadata(root, tmp_path / "new", process=process, num_buckets=2)

    def of_records(data):
        paths = {record["id"]: record["img_path"] for record in data}
        returned = [record.get("id", Path(record["img_path"]).stem) for record in process(data)]
        return [{"img_path": paths[key]} for key in returned]

    assert_original(root, tmp_path / "new", of_records, 2)


def test_copies_of_an_image_that_two_buckets_list(clear_folder, tmp_path):
    """Each copy stands for one of the two records."""
    root = clear_folder(classes=("camera",), buckets=("0", "1"), images=2)
    first, second = (root / f"labeled_metadata/{bucket}/camera.json" for bucket in "01")
    shared = json.loads(first.read_text()).popitem()[1]["IMG_PATH"]
    records = json.loads(second.read_text())
    records[next(iter(records))]["IMG_PATH"] = shared
    second.write_text(json.dumps(records))
    result = rebuild_by_metadata(root, tmp_path / "new", process=lambda r: [dict(x) for x in r], num_buckets=2)
    assert result.dropped["process"] == 0
    assert [(tmp_path / f"new/labeled_images/{b}/camera/{Path(shared).name}").is_file() for b in "12"] == [True, True]


def test_where_comes_before_process(clear_folder, tmp_path):
    root = clear_folder()
    result = rebuild_by_metadata(root, tmp_path / "new", where="bucket > 0", process=lambda r: r[::-1], num_buckets=2)
    assert_original(root, tmp_path / "new", lambda data: data[7:][::-1], 2)
    assert result.dropped == {"where": 21, "missing": 0, "process": 0}


@pytest.mark.parametrize(
    ("process", "reported"),
    [
        (lambda records: records.sort(key=str), "returned None, expected the list of records"),
        (lambda records: records[0]["no such field"], "raised KeyError: 'no such field'"),
        (lambda records: 5, "raised TypeError: 'int' object is not iterable"),
        (lambda records: records + records[:1], "returned a record twice"),
        (lambda records: [*records, dict(records[0])], "returned a record twice"),
        (lambda records: [dict(records[0]), dict(records[0])], "returned a record twice"),
        (lambda records: [record["img_path"] for record in records], "which is not one of the given records"),
        (lambda records: [{**records[0], "img_path": "x.jpg"}], "which is not one of the given records"),
        (lambda records: [{"id": 1}], "{'id': 1}, which is not one of"),
        (lambda records: [{"img_path": []}], "which is not one of"),
    ],
)
def test_a_process_that_is_wrong_is_named_with_the_class(clear_folder, tmp_path, process, reported):
    with pytest.raises(UsageError) as error:
        rebuild_by_metadata(clear_folder(), tmp_path / "new", process=process, num_buckets=2)
    assert reported in str(error.value)
    assert "class 'BACKGROUND'" in str(error.value)
    assert "<lambda>" in str(error.value)
    assert not (tmp_path / "new").exists()


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """The current folder, with modules of its own; what is imported from there is forgotten again."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith("recut_"):
            del sys.modules[name]


def test_process_by_name_from_the_current_folder(clear_folder, tmp_path, in_folder):
    (in_folder / "recut_mine.py").write_text("class Ways:\n    backwards = staticmethod(lambda data: data[::-1])\n")
    root = clear_folder()
    rebuild_by_metadata(root, tmp_path / "new", process="recut_mine:Ways.backwards", num_buckets=2)
    assert_original(root, tmp_path / "new", lambda data: data[::-1], 2)
    assert json.loads((tmp_path / "new/rebuild.json").read_text())["process"] == "recut_mine:Ways.backwards"


@pytest.mark.parametrize(
    ("name", "reported"),
    [
        ("recut_mine", "expected MODULE:FUNCTION"),
        (":by_hour", "expected MODULE:FUNCTION"),
        ("recut_mine:", "expected MODULE:FUNCTION"),
        ("recut_none:by_hour", "importing recut_none raised ModuleNotFoundError"),
        ("recut_torn:by_hour", "importing recut_torn raised SyntaxError"),
        ("recut_mine:by_hours", "recut_mine has no 'by_hours'; did you mean 'by_hour'?"),
        ("recut_mine:NUMBER", "NUMBER is 5, which cannot be called"),
        ("..:x", "importing .. raised"),
    ],
)
def test_a_process_that_cannot_be_loaded(clear_folder, tmp_path, in_folder, name, reported):
    (in_folder / "recut_mine.py").write_text("NUMBER = 5\ndef by_hour(data): return data\n")
    (in_folder / "recut_torn.py").write_text("def by_hour(\n")
    with pytest.raises(UsageError) as error:
        rebuild_by_metadata(clear_folder(), tmp_path / "new", process=name)
    assert reported in str(error.value)
    assert str(error.value).count("\n") <= 1


# Missing fields, and values that do not compare


def test_records_without_the_field_are_an_error_or_dropped(clear_folder, tmp_path):
    root = clear_folder()
    set_field(root, "DATE_TAKEN", lambda b, c, p: [None, "", "null", f"2004-01-{10 + b}"][min(p, 3)])
    with pytest.raises(DatasetError) as error:
        rebuild_by_metadata(root, tmp_path / "new", sort_by="date_taken", num_buckets=2)
    assert "27 records lack a required field" in str(error.value)
    assert "date_taken (bucket 0, class 'BACKGROUND', id '6979')" in str(error.value)
    assert "--drop-missing" in str(error.value)
    assert not (tmp_path / "new").exists()
    result = rebuild_by_metadata(root, tmp_path / "new", sort_by="date_taken", num_buckets=2, drop_missing=True)
    assert result.dropped == {"where": 0, "missing": 27, "process": 0}

    def process(data):
        return sorted((r for r in data if r.get("date_taken", "")[:2] == "20"), key=lambda r: r["date_taken"])

    assert_original(root, tmp_path / "new", process, 2)


def test_records_without_a_field_of_where(clear_folder, tmp_path):
    root = clear_folder()
    set_field(root, "VIEWS", lambda b, c, p: None if p == 0 else p)
    with pytest.raises(DatasetError, match=r"^9 records lack a required field, the first one views"):
        rebuild_by_metadata(root, tmp_path / "new", where="views > 2", num_buckets=2)
    result = rebuild_by_metadata(root, tmp_path / "new", where="views > 2", num_buckets=2, drop_missing=True)
    assert result.dropped == {"where": 18, "missing": 9, "process": 0}
    guarded = rebuild_by_metadata(root, tmp_path / "other", where="views != None and views > 2", num_buckets=2)
    assert guarded.dropped == {"where": 27, "missing": 0, "process": 0}


def test_what_where_leaves_out_needs_no_field_to_sort_by(clear_folder, tmp_path):
    root = clear_folder()
    set_field(root, "VIEWS", lambda b, c, p: ["many", "", None, "x"][p % 4] if b == 0 else str(p))
    result = rebuild_by_metadata(root, tmp_path / "new", sort_by="views", where="bucket != 0", num_buckets=2)
    assert result.dropped == {"where": 21, "missing": 0, "process": 0}
    assert_original(root, tmp_path / "new", lambda data: by("views", int)(data[7:]), 2)


def test_values_that_do_not_go_together(clear_folder, tmp_path):
    root = clear_folder()
    set_field(root, "VIEWS", lambda b, c, p: "many" if (b, c, p) == (2, "camera", 3) else p)
    with pytest.raises(DatasetError) as error:
        rebuild_by_metadata(root, tmp_path / "new", sort_by="views", num_buckets=2)
    assert "views mixes values" in str(error.value)
    assert "0 (bucket 0, class 'BACKGROUND', id '6979') is a number" in str(error.value)
    assert "'many' (bucket 2, class 'camera', id '20103988') is text" in str(error.value)


def test_numbers_with_one_that_is_none_are_not_sorted_as_text(clear_folder, tmp_path):
    root = clear_folder()
    set_field(root, "VIEWS", lambda b, c, p: "many" if (b, c, p) == (2, "camera", 3) else str(p))
    with pytest.raises(DatasetError) as error:
        rebuild_by_metadata(root, tmp_path / "new", sort_by="views", num_buckets=2)
    assert "'many' in bucket 2, class 'camera', id '20103988'" in str(error.value)
    # What the message says to do.
    assert """--where "views != 'many'\"""" in str(error.value)
    result = rebuild_by_metadata(root, tmp_path / "new", sort_by="views", where="views != 'many'", num_buckets=2)
    assert result.dropped["where"] == 1


def test_how_a_field_is_read_is_reported(clear_folder, tmp_path):
    events = []
    rebuild_by_metadata(clear_folder(), tmp_path / "new", sort_by="date_taken", num_buckets=2, listener=events.append)
    assert Message("date_taken is read as dates") in events


def test_no_record_has_the_field(clear_folder, tmp_path):
    root = clear_folder()
    with pytest.raises(UsageError, match=r"no record has this field; did you mean 'date_taken'\?"):
        rebuild_by_metadata(root, tmp_path / "new", sort_by="date_takn")
    with pytest.raises(UsageError, match=r"no record has the field 'date_takn'; did you mean 'date_taken'\?"):
        rebuild_by_metadata(root, tmp_path / "new", where="date_takn > '2008'")


def test_no_record_has_a_value(clear_folder, tmp_path):
    root = clear_folder()
    set_field(root, "VIEWS", lambda *_: "")
    with pytest.raises(DatasetError, match="63 records lack a required field"):
        rebuild_by_metadata(root, tmp_path / "new", sort_by="views")
    with pytest.raises(DatasetError, match="none of the 63 images is left"):
        rebuild_by_metadata(root, tmp_path / "new", sort_by="views", drop_missing=True)


# What is refused


def test_too_few_images_of_a_class(clear_folder, tmp_path):
    root = clear_folder(images={"camera": 3})
    with pytest.raises(DatasetError) as error:
        rebuild_by_metadata(root, tmp_path / "new", sort_by="date_taken")
    assert "class 'camera' has 9 images for 10 buckets" in str(error.value)
    assert """--where "class_name != 'camera'\"""" in str(error.value)
    assert not (tmp_path / "new").exists()
    rebuild_by_metadata(root, tmp_path / "new", sort_by="date_taken", where="class_name != 'camera'")


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        ({}, "nothing to do"),
        ({"sort_by": "id", "process": list}, "--sort-by and --process"),
        ({"process": list, "descending": True}, "--descending is for --sort-by"),
        ({"process": list, "drop_missing": True}, "--drop-missing is for"),
        ({"sort_by": "id", "num_buckets": 0}, "--num-buckets 0"),
        ({"sort_by": "id", "num_buckets": 2.0}, "--num-buckets 2.0"),
        ({"sort_by": "id", "num_buckets": True}, "--num-buckets True"),
        ({"sort_by": "id", "images": "move"}, "--images move: expected link, hardlink or copy"),
        ({"where": "len(id)"}, "--where, column 1"),
    ],
)
def test_arguments_that_make_no_sense(clear_folder, tmp_path, arguments, reported):
    with pytest.raises(UsageError) as error:
        rebuild_by_metadata(clear_folder(), tmp_path / "new", **arguments)
    assert reported in str(error.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("output", ["clear", "clear/new", "clear/labeled_images/new", ".", "link/new"])
def test_neither_folder_lies_in_the_other(clear_folder, tmp_path, output):
    root = clear_folder()
    (tmp_path / "link").symlink_to("clear")
    before = snapshot(tmp_path)
    with pytest.raises(UsageError, match="which is only read"):
        rebuild_by_metadata(root, tmp_path / output, sort_by="id")
    assert snapshot(tmp_path) == before


def test_an_output_with_other_things_in_it(clear_folder, tmp_path):
    root = clear_folder()
    (tmp_path / "new").mkdir()
    rebuild_by_metadata(root, tmp_path / "new", sort_by="id", num_buckets=2)  # empty
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.tex").touch()
    with pytest.raises(UsageError, match=r"contains other files \(thesis\.tex\)"):
        rebuild_by_metadata(root, tmp_path / "other", sort_by="id")
    with pytest.raises(UsageError, match="is a file"):
        rebuild_by_metadata(root, tmp_path / "other/thesis.tex", sort_by="id")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.tex"]


def test_an_output_of_another_rebuild(clear_folder, tmp_path):
    root = clear_folder()
    rebuild_by_metadata(root, tmp_path / "new", sort_by="id", num_buckets=2)
    before = snapshot(tmp_path / "new")
    for arguments, reported in [
        ({"sort_by": "date_taken"}, "was rebuilt with sort_by 'id', not 'date_taken'"),
        ({"where": "bucket > 0"}, "was rebuilt with where None, not 'bucket > 0'"),
        ({"num_buckets": 3}, "was rebuilt with num_buckets 2, not 3"),
        ({"images": "copy"}, "was rebuilt with images 'link', not 'copy'"),
    ]:
        with pytest.raises(UsageError) as error:
            rebuild_by_metadata(root, tmp_path / "new", **{"sort_by": "id", "num_buckets": 2, **arguments})
        assert reported in str(error.value)
    with pytest.raises(UsageError, match="was rebuilt with source"):
        rebuild_by_metadata(clear_folder("other"), tmp_path / "new", sort_by="id", num_buckets=2)
    assert snapshot(tmp_path / "new") == before
    (tmp_path / "new/rebuild.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"rebuild\.json was not written by rebuild-by-metadata"):
        rebuild_by_metadata(root, tmp_path / "new", sort_by="id", num_buckets=2)


def test_a_source_that_was_changed_since(clear_folder, tmp_path):
    root = clear_folder()
    rebuild_by_metadata(root, tmp_path / "new", sort_by="date_taken", num_buckets=2)
    before = snapshot(tmp_path / "new")
    set_field(root, "TITLE", lambda *_: "new")
    with pytest.raises(DatasetError, match=r"BACKGROUND\.json was changed since the folder was rebuilt"):
        rebuild_by_metadata(root, tmp_path / "new", sort_by="date_taken", num_buckets=2)
    set_field(root, "DATE_TAKEN", lambda *place: f"2004-01-{1 + scattered(*place):02d}")
    with pytest.raises(DatasetError, match="with other images, or in another order"):
        rebuild_by_metadata(root, tmp_path / "new", sort_by="date_taken", num_buckets=2)
    assert snapshot(tmp_path / "new") == before


def test_a_file_that_was_changed_since(clear_folder, tmp_path):
    root = clear_folder()
    rebuild = functools.partial(rebuild_by_metadata, root, tmp_path / "new", sort_by="date_taken", num_buckets=2)
    rebuild()
    file = tmp_path / "new/labeled_metadata/1/camera.json"
    file.write_text(file.read_text().replace("12:00", "13:00"))
    image = next((tmp_path / "new/labeled_images/2/camera").iterdir())
    image.unlink()
    image.write_bytes(b"mine")
    before = snapshot(tmp_path / "new")
    with pytest.raises(DatasetError) as error:
        rebuild()
    assert f"{file} was changed since the folder was rebuilt" in str(error.value)
    assert "files that differ: 2;" in str(error.value)
    assert snapshot(tmp_path / "new") == before
    file.unlink()
    image.unlink()
    assert rebuild().written == 2


def test_a_finished_folder_may_be_prepared_otherwise(clear_folder, tmp_path):
    root = clear_folder()
    rebuild = functools.partial(rebuild_by_metadata, root, tmp_path / "new", sort_by="date_taken", num_buckets=2)
    rebuild()
    prepare_avalanche(tmp_path / "new", stratified=True, force=True)
    before = snapshot(tmp_path / "new")
    assert rebuild().written == 0
    assert snapshot(tmp_path / "new") == before
    shutil.rmtree(tmp_path / "new/training_folder")
    assert rebuild().written == 1 + 2 * (1 + 5 * 4)


def test_ids_and_names_that_would_meet(clear_folder, tmp_path):
    """The same id in two buckets of a class, of two classes, and one file name in two folders."""
    root = clear_folder(classes=("camera", "laptop"), images=2)
    rename = functools.partial(rename_record, root)
    rename(0, "camera", 1, "77", "labeled_images/0/camera/a.jpg")
    rename(1, "camera", 0, "77", "labeled_images/1/camera/b.jpg")
    with pytest.raises(DatasetError) as error:
        rebuild_by_metadata(root, tmp_path / "new", where="True", num_buckets=1)
    assert "the id '77' would occur twice in the new bucket 1" in str(error.value)
    assert "labeled_images/0/camera/a.jpg (bucket 0) and labeled_images/1/camera/b.jpg (bucket 1)" in str(error.value)
    # In two new buckets they may be, and what the message says to do helps.
    assert rebuild_by_metadata(root, tmp_path / "apart", where="True", num_buckets=6).written
    reported = str(error.value).split("--where ")[1].strip('"')
    assert reported == "img_path != 'labeled_images/1/camera/b.jpg'"
    assert rebuild_by_metadata(root, tmp_path / "told", where=reported, num_buckets=1).dropped["where"] == 1

    rename(1, "camera", 0, "78", "labeled_images/1/camera/b.jpg")
    rename(2, "laptop", 0, "77", "labeled_images/2/laptop/c.jpg")
    with pytest.raises(DatasetError, match=r"the id '77' would occur twice in the new bucket 1"):
        rebuild_by_metadata(root, tmp_path / "new", where="True", num_buckets=1)

    rename(2, "laptop", 0, "79", "labeled_images/2/laptop/c.jpg")
    rename(0, "laptop", 0, "80", "labeled_images/0/laptop/c.jpg")
    with pytest.raises(
        DatasetError, match=r"the file name 'c\.jpg' would occur twice in the new bucket 1, class 'laptop'"
    ):
        rebuild_by_metadata(root, tmp_path / "new", where="True", num_buckets=1)
    assert not (tmp_path / "new").exists()


def rename_record(root: Path, bucket: int, class_name: str, position: int, key: str, path: str) -> None:
    """Give a record another id and its image another path."""
    file = root / f"labeled_metadata/{bucket}/{class_name}.json"
    items = list(json.loads(file.read_text()).items())
    record = items[position][1]
    (root / record["IMG_PATH"]).rename(root / path)
    items[position] = (key, {**record, "ID": key, "IMG_PATH": path})
    file.write_text(json.dumps(dict(items)))


def test_the_same_path_in_train_and_in_test_is_two_images(later_folder, tmp_path):
    root = later_folder(buckets=("1",), images=4)
    shutil.rmtree(root / "test")
    shutil.copytree(root / "train", root / "test")
    with pytest.raises(DatasetError) as error:
        rebuild_by_metadata(root, tmp_path / "new", where="True", num_buckets=1)
    assert "train/labeled_images/1/BACKGROUND/3988.jpg" in str(error.value) or "10003988" in str(error.value)
    result = rebuild_by_metadata(root, tmp_path / "new", process=lambda r: [dict(x) for x in r[4:]], num_buckets=1)
    assert result.dropped["process"] == 12
    target = os.readlink(next((tmp_path / "new/labeled_images/1/camera").iterdir()))
    assert "later/test/labeled_images" in target


def test_a_missing_image_stops_it_before_anything_is_written(clear_folder, tmp_path):
    root = clear_folder()
    next((root / "labeled_images/2/camera").iterdir()).unlink()
    with pytest.raises(DatasetError, match=r"is missing \(bucket 2, class 'camera'\)"):
        rebuild_by_metadata(root, tmp_path / "new", sort_by="date_taken")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["..", ".", "a/../../../b", "x/y"])
def test_class_names_that_lead_elsewhere(clear_folder, tmp_path, name):
    root = clear_folder()
    for file in ("class_names.txt", "labeled_metadata.json"):
        text = (root / file).read_text()
        text = text.replace('"camera":', f'"{name}":') if file.endswith("json") else text.replace("camera", name)
        (root / file).write_text(text)
    before = snapshot(tmp_path)
    with pytest.raises(DatasetError, match="is not a valid folder name"):
        rebuild_by_metadata(root, tmp_path / "new", sort_by="date_taken", num_buckets=2)
    assert snapshot(tmp_path) == before


def test_not_a_clear_folder(tmp_path):
    with pytest.raises(DatasetError, match="no dataset folder"):
        rebuild_by_metadata(tmp_path / "none", tmp_path / "new", sort_by="id")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DatasetError, match="is not a CLEAR folder"):
        rebuild_by_metadata(tmp_path / "folder", tmp_path / "new", sort_by="id")


def test_dry_run_writes_nothing_and_reports_the_same(clear_folder, tmp_path):
    root = clear_folder()
    rebuild = functools.partial(rebuild_by_metadata, root, tmp_path / "new", sort_by="date_taken", num_buckets=3)
    dry = rebuild(dry_run=True)
    assert not (tmp_path / "new").exists()
    assert dry.written == 1 + 63 + 9 + 2
    done = rebuild()
    names = ("images_per_bucket_and_class", "left_over", "dropped", "changed_bucket", "buckets", "class_names")
    assert operator.attrgetter(*names)(dry) == operator.attrgetter(*names)(done)
    before = snapshot(tmp_path / "new")
    assert rebuild(dry_run=True).written == 0
    next((tmp_path / "new/labeled_images").rglob("*.jpg")).unlink()
    assert rebuild(dry_run=True).written == 1
    assert len(snapshot(tmp_path / "new")) == len(before) - 1


def test_while_another_command_changes_the_folder(clear_folder, tmp_path):
    root = clear_folder()
    with dataset_lock(tmp_path / "new"), pytest.raises(DatasetError, match=f"changed by process {os.getpid()}"):
        rebuild_by_metadata(root, tmp_path / "new", sort_by="date_taken", num_buckets=3)
    assert not any((tmp_path / "new").rglob("*"))


# Killed, and what a disk can do

KILLED = """
import os, signal, sys
from clearctl.dataset.recut import images
from clearctl.dataset.rebuild import rebuild_by_metadata
root, output, how, work, count = sys.argv[1:]
def listener(event):
    if getattr(event, "work", "") == work and event.done == int(count):
        os.kill(os.getpid(), signal.SIGKILL)
if work == "copy":
    copies = []
    def copy(source, target):
        copies.append(target)
        target.write_bytes(source.read_bytes()[:100])
        if len(copies) == int(count):
            os.kill(os.getpid(), signal.SIGKILL)
        target.write_bytes(source.read_bytes())
    images.shutil.copyfile = copy
rebuild_by_metadata(root, output, sort_by="date_taken", num_buckets=3, images=how, listener=listener)
"""


@pytest.mark.parametrize(
    ("how", "work", "count"),
    [
        ("link", "write images", 1),
        ("link", "write images", 30),
        ("hardlink", "write images", 75),
        ("copy", "copy", 12),
        ("link", "write file lists and splits", 20),
    ],
)
def test_killed_and_then_finished(clear_folder, tmp_path, how, work, count):
    root = clear_folder()
    command = [sys.executable, "-c", KILLED, *map(str, (root, tmp_path / "new", how, work, count))]
    killed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "new/rebuild.json").exists()
    torn = list((tmp_path / "new").rglob(".*.tmp"))
    assert len(torn) == (work == "copy")
    with pytest.raises(UsageError, match="was rebuilt with"):
        rebuild_by_metadata(root, tmp_path / "new", sort_by="id", num_buckets=3, images=how)
    done = rebuild_by_metadata(root, tmp_path / "new", sort_by="date_taken", num_buckets=3, images=how)
    whole = rebuild_by_metadata(root, tmp_path / "whole", sort_by="date_taken", num_buckets=3, images=how)
    assert tree(tmp_path / "new") == tree(tmp_path / "whole")
    assert done.unchanged >= 1
    assert done.written + done.unchanged == whole.written


def test_a_process_that_chooses_otherwise_cannot_finish_the_folder(clear_folder, tmp_path):
    """What is there was chosen by the first call: a mixture of two choices would be no rebuild at all."""
    root = clear_folder()
    calls = []

    def process(records):
        calls.append(records)
        return records[len(calls) % 2 :][::-1]

    rebuild = functools.partial(rebuild_by_metadata, root, tmp_path / "new", process=process, num_buckets=3)
    rebuild()
    assert len(calls) == 3
    with pytest.raises(DatasetError, match=r"its source or its --process changed"):
        rebuild()


def test_disk_full_in_the_middle_then_a_run_that_finishes(clear_folder, tmp_path):
    """A limit on the size of files stands in for a full disk: one image is too large."""
    root = clear_folder()
    large = sorted((root / "labeled_images/1/camera").iterdir())[3]
    large.write_bytes(large.read_bytes() + bytes(100_000))
    program = textwrap.dedent(
        """
        import resource, sys
        from clearctl.dataset.rebuild import rebuild_by_metadata
        from clearctl.errors import DatasetError
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            rebuild_by_metadata(*sys.argv[1:], sort_by="date_taken", num_buckets=3, images="copy")
        except DatasetError as error:
            print(error)
        """
    )
    command = [sys.executable, "-c", program, str(root), str(tmp_path / "new")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert f"camera/{large.name} cannot be written: File too large" in done.stdout
    assert not list((tmp_path / "new").rglob("*.tmp"))
    rebuild_by_metadata(root, tmp_path / "new", sort_by="date_taken", num_buckets=3, images="copy")
    assert_original(root, tmp_path / "new", by("date_taken", str), 3)


@pytest.mark.parametrize(("images", "call"), [("hardlink", "link"), ("link", "symlink")])
def test_a_disk_that_takes_no_links(clear_folder, tmp_path, monkeypatch, images, call):
    """The system's refusal is made up: no second file system is at hand everywhere."""
    root = clear_folder()

    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(DatasetError) as error:
            rebuild_by_metadata(root, tmp_path / "new", sort_by="id", num_buckets=3, images=images)
    assert "Invalid cross-device link\nuse --images" in str(error.value)
    # What the message says to do: the folder was not begun.
    assert not any((tmp_path / "new").iterdir())
    assert rebuild_by_metadata(root, tmp_path / "new", sort_by="id", num_buckets=3, images="copy").images == "copy"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_an_output_that_cannot_be_written(clear_folder, tmp_path):
    root = clear_folder()
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(DatasetError, match="cannot be written"):
        rebuild_by_metadata(root, tmp_path / "locked/new", sort_by="id", num_buckets=3)


# Any folder


@settings(max_examples=15, deadline=None)
@given(
    views=st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=8), min_size=1, max_size=4),
    num_buckets=st.integers(1, 4),
    least=st.integers(0, 5),
    descending=st.booleans(),
)
def test_any_folder_as_the_original(tmp_path_factory, views, num_buckets, least, descending):
    """`views` are the numbers of each bucket's images; those below `least` are left out."""
    folder = tmp_path_factory.mktemp("any")
    root = folder / "clear"
    index = {}
    for bucket, numbers in enumerate(views):
        records = {}
        for position, number in enumerate(numbers):
            path = f"labeled_images/{bucket}/BACKGROUND/{bucket}-{position}.jpg"
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(path)
            records[f"{bucket}-{position}"] = {"IMG_PATH": path, "VIEWS": str(number)}
        index[str(bucket)] = {"BACKGROUND": f"labeled_metadata/{bucket}/BACKGROUND.json"}
        file = root / index[str(bucket)]["BACKGROUND"]
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(records))
    (root / "class_names.txt").write_text("BACKGROUND")
    (root / "labeled_metadata.json").write_text(json.dumps(index))
    kept = sum(number >= least for numbers in views for number in numbers)
    rebuild = functools.partial(
        rebuild_by_metadata,
        root,
        folder / "new",
        sort_by="views",
        where=f"views >= {least}",
        num_buckets=num_buckets,
        descending=descending,
    )
    if kept < num_buckets:
        with pytest.raises(DatasetError):
            rebuild()
        return
    result = rebuild()

    def process(data):
        data = [record for record in data if int(record["views"]) >= least]
        return sorted(data, key=lambda record: int(record["views"]), reverse=descending)

    old = original([(root, "")], process, num_buckets)
    assert file_lists(folder / "new") == renamed(old)
    assert [
        (folder / "new" / path).read_text() for bucket in old for path in image_paths(renamed(old)[bucket].decode())
    ] == [path for bucket in old for path in image_paths(old[bucket])]
    assert result.left_over == {"BACKGROUND": kept % num_buckets}
