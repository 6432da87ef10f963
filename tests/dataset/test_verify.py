"""Looking a folder through: a sound one has no fault in any layout, and each fault is reported once, where it is."""

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clearctl import layout, make_fewshot, prepare_avalanche
from clearctl.data.stream import read_stream
from clearctl.dataset.release import read_bucket, read_release
from clearctl.dataset.verify import verify
from clearctl.errors import DatasetError, UsageError
from clearctl.progress import Counted

PREPARED = "training_folder"
LIST = f"{PREPARED}/filelists/1/all.txt"
SPLIT = f"{PREPARED}/testset_ratio_0.3/split_0/1"
SHOTS = f"{PREPARED}/2_shot/split_0/1"
FEATURES = f"{PREPARED}/features/tiny/1/all.pth"


def write_features(root: Path, name: str = "tiny", buckets=("0", "1", "2")) -> None:
    for bucket in buckets:
        labels = [label for _, label in layout.read_filelist(layout.filelist_file(root, bucket))]
        file = layout.features_file(root, name, bucket)
        file.parent.mkdir(parents=True)
        torch.save((torch.ones(len(labels), 4), labels), file)


@pytest.fixture(scope="module")
def original(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything in it: file lists, an iid and a few-shot split, features of 5 numbers."""
    folder = shutil.copytree(prepared, tmp_path_factory.mktemp("verify") / "with space")
    shutil.rmtree(folder / "training_folder/testset_ratio_0.3/split_1")
    make_fewshot(folder, shot=2)
    return folder


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "with space")


def found(root: Path, **arguments: object) -> list[tuple[str, str, str]]:
    return [(finding.severity, finding.check, finding.text) for finding in verify(root, **arguments).findings]


def edit(root: Path, name: str, change) -> None:
    """Load the JSON file, let `change` alter the value in place or give another, save it."""
    value = json.loads((root / name).read_text())
    changed = change(value)
    (root / name).write_text(json.dumps(value if changed is None else changed))


def edit_lines(root: Path, name: str, change) -> None:
    lines = (root / name).read_text().split("\n")
    (root / name).write_text("\n".join(change(lines)))


def edit_features(root: Path, name: str, change) -> None:
    torch.save(change(*torch.load(root / name)), root / name)


def flipped(data: bytes) -> bytes:
    """One bit of the middle, which is in the tensor."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


OF_OTHER_FEATURES = json.dumps({"buckets": {"1": {"sha256": "0" * 64}}})


def images(root: Path, bucket: int, class_name: str) -> list[str]:
    """The paths of a bucket's images of a class, in the order of the metadata."""
    records = json.loads((root / f"labeled_metadata/{bucket}/{class_name}.json").read_text())
    return [record["IMG_PATH"] for record in records.values()]


def first_record(records: dict[str, dict[str, str]]) -> dict[str, str]:
    return next(iter(records.values()))


# --- sound folders


def test_everything_is_looked_at(root):
    result = verify(root)
    assert result.findings == ()
    assert result.sound
    assert result.prepared
    assert result.root == root
    assert result.parts == (".",)
    assert result.class_names == ("BACKGROUND", "camera", "cup of tea")
    assert result.buckets == ("0", "1", "2")
    assert result.images_per_bucket == {"0": 36, "1": 36, "2": 36}
    assert result.images_per_bucket_and_class["1"] == {"BACKGROUND": 12, "camera": 12, "cup of tea": 12}
    assert [(check.name, check.looked_at, check.unit) for check in result.checks] == [
        ("structure", 1, "labelled folder"),
        ("class names", 3, "classes"),
        ("metadata", 9, "files"),
        ("file lists", 3, "lists"),
        ("paths", 108, "paths"),
        ("overlaps", 108, "images"),
        ("splits", 6, "splits of a bucket"),
        ("features", 3, "files"),
    ]
    assert all((check.faults, check.notes) == (0, 0) for check in result.checks)


def test_nothing_is_changed(root):
    before = {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in [root, *root.rglob("*")]}
    verify(root)
    assert {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in [root, *root.rglob("*")]} == before


def test_a_relative_root(root, monkeypatch):
    monkeypatch.chdir(root)
    (root / "labeled_metadata/1/camera.json").write_text("{")
    texts = [verify(place).findings[0].text for place in (".", "../with space", root)]
    assert len(set(texts)) == 1
    assert texts[0].startswith("labeled_metadata/1/camera.json is not JSON")


def test_a_raw_folder_is_sound_and_said_to_be_unprepared(clear_folder):
    result = verify(clear_folder())
    assert result.sound
    assert not result.prepared
    assert [finding.text for finding in result.findings] == [
        "not prepared: no training_folder/bucket_indices.json; run `clearctl prepare-avalanche`"
    ]


@pytest.mark.parametrize("train_name", ["train", "train_image_only"])
def test_the_later_layout(later_folder, train_name):
    root = later_folder(train_name=train_name)
    raw = verify(root)
    assert raw.sound
    assert raw.parts == (train_name, "test")
    prepare_avalanche(root)
    make_fewshot(root, shot=2)
    write_features(root)
    result = verify(root)
    assert result.findings == ()
    assert result.images_per_bucket == {"0": 30, "1": 30, "2": 30}
    assert {check.name: check.looked_at for check in result.checks}["splits"] == 6


def test_splits_of_other_ratios_and_stratified_ones(clear_folder):
    root = clear_folder(images=10)
    prepare_avalanche(root, seeds=[0, 3])
    prepare_avalanche(root, test_ratio=0.5, stratified=True, seeds=[1])
    make_fewshot(root, shot=1, seeds=[0, 1])
    assert found(root) == []
    assert {check.name: check.looked_at for check in verify(root).checks}["splits"] == 15


def test_links_to_images_elsewhere_and_line_ends_of_windows(root):
    shutil.move(root / images(root, 1, "camera")[0], root.parent / "elsewhere.jpg")
    (root / images(root, 1, "camera")[0]).symlink_to("../../../../elsewhere.jpg")
    (root / "class_names.txt").write_bytes(b"BACKGROUND\r\ncamera\r\ncup of tea\r\n")
    assert found(root) == []


def test_buckets_that_were_left_out(clear_folder):
    root = clear_folder()
    prepare_avalanche(root, buckets=["0", "2"], seeds=[0])
    make_fewshot(root, shot=2, buckets=["0"])
    write_features(root, buckets=["2"])
    assert found(root) == [
        ("note", "file lists", "bucket 1 is labelled, but not prepared"),
        ("note", "splits", "training_folder/2_shot/split_0: does not cover bucket 2"),
        ("note", "features", "the features 'tiny' do not cover bucket 0"),
    ]


def test_a_bucket_that_only_train_has(later_folder):
    root = later_folder()
    edit(root, "test/labeled_metadata.json", lambda value: value.pop("1") and None)
    prepare_avalanche(root)
    assert found(root) == [
        ("note", "structure", "bucket 1 is not both in train/ and in test/, so it is not prepared"),
    ]


def test_a_class_that_a_bucket_lacks(clear_folder, later_folder):
    root = clear_folder(images={("1", "camera"): 0, ("2", "camera"): 0})
    prepare_avalanche(root)
    assert found(root) == [("note", "class names", "no images in bucket 1, 2 (class 'camera')")]
    root = later_folder()
    edit(root, "test/labeled_metadata.json", lambda value: value["1"].pop("camera") and None)
    prepare_avalanche(root)
    texts = [text for _, _, text in found(root)]
    assert texts == ["no images in bucket 1 of test/ (class 'camera')"]


def test_a_prepared_folder_with_features_alone(root):
    """As one that was copied to a machine to train on features: no labels, no images."""
    for name in ("labeled_metadata", "labeled_images"):
        shutil.rmtree(root / name)
    (root / "labeled_metadata.json").unlink()
    result = verify(root)
    assert result.sound
    assert result.parts == ()
    assert result.images_per_bucket_and_class["2"] == {"BACKGROUND": 12, "camera": 12, "cup of tea": 12}
    assert [(finding.severity, finding.check) for finding in result.findings] == [
        ("note", "structure"),
        ("note", "paths"),
    ]
    shutil.rmtree(root / PREPARED / "features")
    (root / PREPARED / "features/empty").mkdir(parents=True)
    assert [finding.check for finding in verify(root).findings if finding.severity == "fault"] == ["paths"]


# --- faults, one a folder


def two_classes_less(root: Path) -> None:
    (root / "class_names.txt").write_text("BACKGROUND")


def missing_class(root: Path) -> None:
    for path in images(root, 1, "camera"):
        (root / path).unlink()


def second_path(root: Path) -> None:
    """Bucket 1 lists an image of bucket 0, under its own id, in the metadata and in the file list."""
    path, other = images(root, 1, "camera")[0], images(root, 0, "camera")[0]
    edit(root, "labeled_metadata/1/camera.json", lambda value: first_record(value).update(IMG_PATH=other))
    for name in (LIST, *(f"{folder}/{side}.txt" for folder in (SPLIT, SHOTS) for side in ("train", "test"))):
        (root / name).write_text((root / name).read_text().replace(path, other))


def other_split(root: Path, change) -> None:
    """Let `change` alter the line numbers of train and test, and write all four files again."""
    lines = (root / LIST).read_text().split("\n")
    for folder in (SPLIT, SHOTS):
        sides = [json.loads((root / folder / f"{side}_indices.json").read_text()) for side in ("train", "test")]
        change(*sides)
        for side, numbers in zip(("train", "test"), sides, strict=True):
            (root / folder / f"{side}_indices.json").write_text(json.dumps(numbers))
            (root / folder / f"{side}.txt").write_text("\n".join(lines[number] for number in numbers))


def take_a_train_line(train: list[int], test: list[int]) -> None:
    test.append(train[0])


def nan_in_a_row(x: torch.Tensor, labels: list[int]) -> tuple[torch.Tensor, list[int]]:
    x[5, 2] = float("nan")
    return x, labels


def zero_row(x: torch.Tensor, labels: list[int]) -> tuple[torch.Tensor, list[int]]:
    x[5] = 0
    return x, labels


FAULTS = {
    "class_names.txt is missing": (
        lambda root: (root / "class_names.txt").unlink(),
        [("structure", "is not a CLEAR folder: it has no class_names.txt")],
    ),
    "a class name twice": (
        lambda root: (root / "class_names.txt").write_text("BACKGROUND\ncamera\ncamera"),
        [("class names", "class_names.txt names the class 'camera' twice")],
    ),
    "classes that the names lack": (
        two_classes_less,
        [
            ("class names", "bucket 0, 1, 2 that is not in class_names.txt (class 'camera')"),
            ("class names", "bucket 0, 1, 2 that is not in class_names.txt (class 'cup of tea')"),
            ("file lists", "filelists/0/all.txt: 24 lines with a class index beyond the 1 of class_names.txt"),
            ("file lists", "filelists/1/all.txt: 24 lines with a class index beyond the 1 of class_names.txt"),
            ("file lists", "filelists/2/all.txt: 24 lines with a class index beyond the 1 of class_names.txt"),
        ],
    ),
    "the index is broken": (
        lambda root: (root / "labeled_metadata.json").write_text("{"),
        [("metadata", "labeled_metadata.json is not JSON")],
    ),
    "the index is too deep": (
        lambda root: (root / "labeled_metadata.json").write_text("[" * 100_000),
        [("metadata", "labeled_metadata.json is not JSON")],
    ),
    "a bucket that is no number": (
        lambda root: edit(root, "labeled_metadata.json", lambda value: value.update(x={})),
        [("metadata", "the bucket name 'x' is not a number")],
    ),
    "two broken class files": (
        lambda root: [(root / f"labeled_metadata/{bucket}/camera.json").write_text("{") for bucket in (0, 1)],
        [
            ("metadata", "labeled_metadata/0/camera.json is not JSON"),
            ("metadata", "labeled_metadata/1/camera.json is not JSON"),
        ],
    ),
    "a class file is missing": (
        lambda root: (root / "labeled_metadata/1/cup of tea.json").unlink(),
        [("metadata", "labeled_metadata/1/cup of tea.json is missing (bucket 1, class 'cup of tea')")],
    ),
    "a record that leaves the folder": (
        lambda root: edit(
            root, "labeled_metadata/1/camera.json", lambda value: first_record(value).update(IMG_PATH="../x.jpg")
        ),
        [("metadata", "has an IMG_PATH outside the folder: '../x.jpg' (bucket 1, class 'camera')")],
    ),
    "an id twice in a class": (
        lambda root: (root / "labeled_metadata/1/camera.json").write_text('{"5": {"IMG_PATH": "a"}, "5": {}}'),
        [("metadata", "labeled_metadata/1/camera.json names '5' twice (bucket 1, class 'camera')")],
    ),
    "images are missing": (
        lambda root: [(root / path).unlink() for path in images(root, 1, "camera")[2:4]],
        [
            ("paths", "10109970.jpg: missing (bucket 1, class 'camera')"),
            ("paths", "10108973.jpg: missing (bucket 1, class 'camera')"),
        ],
    ),
    "all images of a class are missing": (
        missing_class,
        [("paths", "missing, as are all 12 of its class and bucket (bucket 1, class 'camera')")],
    ),
    "no image is there": (
        lambda root: [shutil.rmtree(root / name) for name in ("labeled_images", "training_folder/features")],
        [("paths", "none of the 108 images exists, such as labeled_images/0/BACKGROUND/")],
    ),
    "a folder in place of an image": (
        lambda root: [(path := root / images(root, 1, "camera")[0]).unlink(), path.mkdir()],
        [("paths", "missing (bucket 1, class 'camera')")],
    ),
    "the list of buckets is broken": (
        lambda root: (root / PREPARED / "bucket_indices.json").write_text("[0, 1]"),
        [("file lists", "bucket_indices.json: expected a list of bucket names")],
    ),
    "a bucket twice": (
        lambda root: edit(root, f"{PREPARED}/bucket_indices.json", lambda value: [*value, "1"]),
        [("file lists", "bucket_indices.json: the bucket name '1' is listed twice")],
    ),
    "a bucket that is not labelled": (
        lambda root: edit(root, f"{PREPARED}/bucket_indices.json", lambda value: [*value, "7"]),
        [
            ("file lists", "bucket_indices.json: bucket 7, which labeled_metadata.json does not have"),
            ("file lists", "filelists/7/all.txt is missing"),
        ],
    ),
    "a file list is missing": (
        lambda root: (root / LIST).unlink(),
        [("file lists", f"{LIST} is missing")],
    ),
    "a broken line": (
        lambda root: edit_lines(root, LIST, lambda lines: [*lines[:3], "x", *lines[3:]]),
        [("file lists", f"{LIST}, line 4: expected `path class-index`, found 'x'")],
    ),
    "another class in a file list": (
        lambda root: [
            edit_lines(root, LIST, lambda lines: [lines[0][:-1] + "2", *lines[1:]]),
            shutil.rmtree(root / PREPARED / "features"),
            shutil.rmtree(root / SPLIT),
            shutil.rmtree(root / SHOTS),
        ],
        [("file lists", f"{LIST}: 1 line with another class than the metadata says, such as labeled_images/1/BACK")],
    ),
    "a line too few and one too many": (
        lambda root: [
            edit_lines(root, LIST, lambda lines: ["labeled_images/other.jpg 0", *lines[1:]]),
            shutil.copy(root / images(root, 1, "camera")[0], root / "labeled_images/other.jpg"),
            shutil.rmtree(root / SPLIT),
            shutil.rmtree(root / SHOTS),
        ],
        [
            ("file lists", "1 line with an image that the metadata does not have in this bucket, such as labeled_im"),
            ("file lists", "1 line missing, such as that of labeled_images/1/BACKGROUND/10011964.jpg (bucket 1)"),
        ],
    ),
    "a line twice": (
        lambda root: [
            edit_lines(root, LIST, lambda lines: [*lines, lines[0]]),
            shutil.rmtree(root / PREPARED / "features"),
            shutil.rmtree(root / SPLIT),
            shutil.rmtree(root / SHOTS),
        ],
        [("file lists", f"{LIST}: 1 line with a path that is listed more than once, such as labeled_images/1/")],
    ),
    "a path in two buckets": (
        second_path,
        [("overlaps", "in bucket 0, class 'camera', and in bucket 1, class 'camera'")],
    ),
    "a split whose files disagree": (
        lambda root: edit_lines(root, f"{SPLIT}/test.txt", lambda lines: lines[:-1]),
        [("splits", f"{SPLIT}: test.txt and test_indices.json disagree with the file list")],
    ),
    "a split without one of its files": (
        lambda root: (root / SPLIT / "train_indices.json").unlink(),
        [("splits", f"{SPLIT}: train_indices.json is missing (bucket 1)")],
    ),
    "an image on both sides": (
        lambda root: other_split(root, take_a_train_line),
        [
            ("splits", f"{SHOTS}: 1 image (such as line "),
            ("splits", f"{SPLIT}: 1 image (such as line "),
        ],
    ),
    "an image on neither side": (
        lambda root: other_split(root, lambda train, test: test.pop()),
        [("splits", "neither in train.txt nor in test.txt (bucket 1)")] * 2,
    ),
    "an image twice on a side": (
        lambda root: other_split(root, lambda train, test: test.append(test[0])),
        [("splits", "more than once in test.txt (bucket 1)")] * 2,
    ),
    "a shot too few": (
        lambda root: [other_split(root, lambda train, test: test.append(train.pop(0)))],
        [("splits", f"{SHOTS}: 1 to train on of class ")],
    ),
    "a split of a bucket without a file list": (
        lambda root: shutil.copytree(root / SPLIT, root / SPLIT / "../7"),
        [("splits", "split_0/7: a split of a bucket that has no file list (bucket 7)")],
    ),
    "features that are no tensor": (
        lambda root: (root / FEATURES).write_bytes(b"x"),
        [("features", f"{FEATURES} is not (tensor [N, D], list of N ints)")],
    ),
    "a flipped bit": (
        lambda root: (root / FEATURES).write_bytes(flipped((root / FEATURES).read_bytes())),
        [("features", f"{FEATURES} is damaged: its entry all/data/0 has a wrong CRC-32")],
    ),
    "other features than were extracted": (
        lambda root: (root / FEATURES).parents[1].joinpath("extraction.json").write_text(OF_OTHER_FEATURES),
        [("features", f"{FEATURES} is damaged: its sha256 is ")],
    ),
    "too few rows": (
        lambda root: edit_features(root, FEATURES, lambda x, labels: (x[1:], labels[1:])),
        [("features", f"{FEATURES}: features have shape (35, 5), but the bucket's file list has 36 images")],
    ),
    "rows in another order": (
        lambda root: edit_features(root, FEATURES, lambda x, labels: (x, labels[::-1])),
        [("features", f"{FEATURES}: its labels differ from the bucket's file list")],
    ),
    "a number that is not finite": (
        lambda root: edit_features(root, FEATURES, nan_in_a_row),
        [("features", f"{FEATURES}: a number that is not finite in 1 row (such as row 5, of labeled_images/1/BACK")],
    ),
    "vectors of two lengths": (
        lambda root: edit_features(root, FEATURES, lambda x, labels: (x[:, :3], labels)),
        [("features", "'tiny' have several dimensions: 5 in bucket 0, 3 in bucket 1, 5 in bucket 2")],
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_reported_and_nothing_else(root, name):
    spoil, expected = FAULTS[name]
    spoil(root)
    result = verify(root)
    faults = [finding for finding in result.findings if finding.severity == "fault"]
    assert [finding.check for finding in faults] == [check for check, _ in expected], faults
    for finding, (_, fragment) in zip(faults, expected, strict=True):
        assert fragment in finding.text
        assert "\n" not in finding.text
        assert str(root) not in finding.text.replace(f"{root} is not a CLEAR folder", "")
    assert not result.sound
    assert sum(check.faults for check in result.checks) == len(faults)


def test_the_place_of_a_fault_is_there_for_programs(root):
    (root / "labeled_metadata/1/camera.json").write_text("{")
    (finding,) = verify(root).findings
    assert (finding.file, finding.bucket, finding.class_name) == ("labeled_metadata/1/camera.json", "1", "camera")


def test_one_broken_file_hides_nothing_else(root):
    (root / "labeled_metadata/0/camera.json").write_text("{")
    (root / images(root, 2, "camera")[0]).unlink()
    (root / SPLIT / "train.txt").unlink()
    (root / FEATURES).write_bytes(b"")
    result = verify(root)
    assert [finding.check for finding in result.findings] == ["metadata", "paths", "splits", "features"]
    assert result.images_per_bucket_and_class["0"] == {"BACKGROUND": 12, "camera": 0, "cup of tea": 12}


def test_notes_are_no_faults(root):
    edit(root, f"{PREPARED}/bucket_indices.json", lambda value: value[::-1])
    shutil.copytree(root / PREPARED / "filelists/2", root / PREPARED / "filelists/x")
    edit_features(root, FEATURES, zero_row)
    shutil.copytree((root / FEATURES).parent, root / PREPARED / "features/tiny/y")
    result = verify(root)
    assert [(finding.severity, finding.check) for finding in result.findings if finding.severity == "note"] == [
        ("note", "file lists"),
        ("note", "file lists"),
        ("note", "features"),
        ("note", "features"),
    ]
    assert "only zeros in 1 row (such as row 5, of labeled_images/1/BACK" in result.findings[-2].text


def test_a_file_list_in_another_order_is_noted(clear_folder):
    root = clear_folder()
    prepare_avalanche(root, test_ratio=0)
    edit_lines(root, LIST, lambda lines: lines[::-1])
    assert found(root) == [
        ("note", "file lists", f"{LIST}: the lines match the metadata, but in another order (bucket 1)")
    ]


def test_an_id_in_two_buckets_and_in_two_classes(clear_folder):
    root = clear_folder(images=2)
    records = json.loads((root / "labeled_metadata/0/camera.json").read_text())
    image_id, record = next(iter(records.items()))
    for name in ("1/camera", "0/cup of tea"):
        path = f"labeled_images/{name}/{image_id}.jpg"
        shutil.copy(root / record["IMG_PATH"], root / path)
        edit(
            root, f"labeled_metadata/{name}.json", lambda value, path=path: value.update({image_id: {"IMG_PATH": path}})
        )
    faults = [text for severity, _, text in found(root) if severity == "fault"]
    assert faults == [
        f"the id {image_id!r} in bucket 0, class 'camera', and in bucket 0, class 'cup of tea', "
        "and in bucket 1, class 'camera'"
    ]


def test_an_id_in_train_and_test(later_folder):
    root = later_folder()
    edit(
        root,
        "test/labeled_metadata/1/camera.json",
        lambda value: value.update(json.loads((root / "train/labeled_metadata/1/camera.json").read_text())),
    )
    shutil.copytree(root / "train/labeled_images/1/camera", root / "test/labeled_images/1/camera", dirs_exist_ok=True)
    faults = [text for severity, _, text in found(root) if severity == "fault"]
    assert len(faults) == 7
    assert all(
        "in bucket 1 of train/, class 'camera', and in bucket 1 of test/, class 'camera'" in text for text in faults
    )


def test_file_lists_that_overlap_where_there_are_no_labels(root):
    for name in ("labeled_metadata", "labeled_images"):
        shutil.rmtree(root / name)
    (root / "labeled_metadata.json").unlink()
    shutil.copy(root / f"{PREPARED}/filelists/0/all.txt", root / f"{PREPARED}/filelists/2/all.txt")
    faults = [check for severity, check, _ in found(root) if severity == "fault"]
    assert faults == ["overlaps"] * 36 + ["splits"] * 2


# --- the later layout


def test_train_and_test_that_number_the_classes_differently(later_folder):
    root = later_folder()
    (root / "test/class_names.txt").write_text("camera\nBACKGROUND\ncup of tea")
    faults = [finding for finding in found(root) if finding[0] == "fault"]
    assert faults == [
        (
            "fault",
            "class names",
            "test/class_names.txt: expected the class names of train/class_names.txt, in the same order",
        )
    ]


def test_half_a_release(later_folder):
    root = later_folder()
    shutil.rmtree(root / "test")
    result = verify(root)
    faults = [finding for finding in result.findings if finding.severity == "fault"]
    assert [finding.check for finding in faults] == ["structure"]
    assert "has train/ but no test/" in faults[0].text
    assert result.parts == ("train",)
    assert result.images_per_bucket == {"0": 21, "1": 21, "2": 21}


def test_the_published_split_is_by_folder(later_folder):
    root = later_folder()
    prepare_avalanche(root)
    make_fewshot(root, shot=2)
    folder = root / PREPARED / "published_split/1"
    train, test = (json.loads((folder / f"{side}_indices.json").read_text()) for side in ("train", "test"))
    lines = (root / LIST).read_text().split("\n")
    train[0], test[0] = test[0], train[0]
    for side, numbers in (("train", train), ("test", test)):
        (folder / f"{side}_indices.json").write_text(json.dumps(numbers))
        (folder / f"{side}.txt").write_text("\n".join(lines[number] for number in numbers))
    texts = [text for _, _, text in found(root)]
    assert len(texts) == 2
    assert texts[0].startswith("training_folder/published_split/1: 1 image (such as line 22, test/labeled_images/1/")
    assert texts[0].endswith("of another folder than train/ in train.txt (bucket 1)")
    assert texts[1].endswith("of another folder than test/ in test.txt (bucket 1)")
    shutil.rmtree(root / PREPARED / "published_split")
    assert ("fault", "splits") in [finding[:2] for finding in found(root)]


def test_a_few_shot_split_that_forgets_an_image_of_test(later_folder):
    root = later_folder()
    prepare_avalanche(root)
    make_fewshot(root, shot=2)
    edit(root, f"{SHOTS}/test_indices.json", lambda value: value[:-1])
    edit_lines(root, f"{SHOTS}/test.txt", lambda lines: lines[:-2])
    (text,) = [text for _, _, text in found(root)]
    assert "1 image (such as line 30, test/labeled_images/1/cup of tea/" in text
    assert text.endswith("neither in train.txt nor in test.txt (bucket 1)")


# --- what is refused, and the rest


def test_no_dataset_folder(tmp_path):
    with pytest.raises(DatasetError, match="no dataset folder at"):
        verify(tmp_path / "none")
    with pytest.raises(DatasetError, match="is not a CLEAR folder"):
        verify(tmp_path)
    (tmp_path / "training_folder").mkdir()
    with pytest.raises(DatasetError, match="is not a CLEAR folder"):
        verify(tmp_path)


@pytest.mark.parametrize("jobs", [0, -1])
def test_jobs(root, jobs):
    with pytest.raises(UsageError, match=f"--jobs {jobs}"):
        verify(root, images=True, jobs=jobs)


def test_progress_reaches_its_total(root):
    events = []
    verify(root, listener=events.append)
    assert {(event.work, event.done, event.total, event.unit) for event in events if event.done == event.total} == {
        ("read the labels", 3, 3, "buckets"),
        ("look for the images", 9, 9, "folders"),
        ("check the features", 3, 3, "files"),
    }
    assert all(isinstance(event, Counted) for event in events)


@pytest.mark.process
def test_torch_is_imported_only_for_features(clear_folder, root):
    script = textwrap.dedent(
        """
        import sys
        from clearctl.dataset.verify import verify
        assert verify(sys.argv[1], images=True).sound
        print("torch" in sys.modules)
        """
    )
    raw = clear_folder("raw")
    prepare_avalanche(raw)
    for folder, expected in ((raw, "False"), (root, "True")):
        command = [sys.executable, "-c", script, str(folder)]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == expected


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_what_is_called_sound_can_be_read(original, data):
    """Whatever becomes of a file, `verify` reports it or it does no harm to those that read the folder."""
    files = sorted(path for path in original.rglob("*") if path.suffix in (".json", ".txt", ".pth"))
    file = data.draw(st.sampled_from(files))
    before = file.read_bytes()
    start = data.draw(st.integers(0, len(before)))
    length = data.draw(st.integers(0, 3))
    instead = data.draw(st.one_of(st.binary(max_size=3), st.sampled_from([b'"', b"0", b"1 ", b"\n", b",", b"[", b"}"])))
    try:
        file.write_bytes(before[:start] + instead + before[start + length :])
        if verify(original).sound:
            release = read_release(original)
            for bucket in release.buckets:
                read_bucket(release, bucket)
            read_stream(original, protocol="streaming")
            read_stream(original, protocol="iid", seed=0)
            read_stream(original, protocol="iid", seed=0, shot=2, feature_type="tiny")
    finally:
        file.write_bytes(before)
