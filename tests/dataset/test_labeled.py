"""Reading the raw folder: what comes out, and that every fault is named with its file, bucket and class."""

import json
import shutil
from pathlib import Path

import pytest

from clearctl.dataset.labeled import LabeledImage, read_index, read_labeled_bucket, read_records
from clearctl.errors import DatasetError


def edit(file: Path, change) -> None:
    """Load the JSON `file`, let `change` alter the value in place, save it."""
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))


def camera_json(root: Path) -> Path:
    return root / "labeled_metadata/1/camera.json"


def set_path(root: Path, path: object) -> None:
    """Give the first camera of bucket 1 another IMG_PATH."""
    edit(camera_json(root), lambda records: next(iter(records.values())).update(IMG_PATH=path))


def first_camera(root: Path) -> str:
    return next(iter(json.loads(camera_json(root).read_text())))


def assert_named(error: pytest.ExceptionInfo[DatasetError], *parts: str) -> None:
    message = str(error.value)
    assert message.count("\n") <= 1
    for part in parts:
        assert part in message


def test_images_come_in_the_order_of_the_files(clear_folder):
    root = clear_folder(images=2)
    images = read_labeled_bucket(root, "1")
    expected = []
    for index, name in enumerate(["BACKGROUND", "camera", "cup of tea"]):
        records = json.loads((root / f"labeled_metadata/1/{name}.json").read_text())
        expected += [LabeledImage(image_id, record["IMG_PATH"], index) for image_id, record in records.items()]
    assert images == expected
    assert [image.id for image in images[:2]] == ["10001994", "10000997"]


def test_class_index_is_the_line_of_the_names_file_whatever_the_metadata_order(clear_folder):
    root = clear_folder(images=1)
    edit(root / "labeled_metadata.json", lambda value: value.update({"1": dict(reversed(value["1"].items()))}))
    assert [image.class_index for image in read_labeled_bucket(root, "1")] == [2, 1, 0]


def test_buckets_in_numeric_order(clear_folder):
    assert list(read_index(clear_folder(buckets=("10", "9", "0"), images=1)).class_files) == ["0", "9", "10"]


def test_a_class_may_be_absent_from_a_bucket(clear_folder):
    root = clear_folder(images={("1", "camera"): 0, "BACKGROUND": 1, "cup of tea": 1})
    assert [image.class_index for image in read_labeled_bucket(root, "1")] == [0, 2]
    assert list(read_index(root).class_files["1"]) == ["BACKGROUND", "cup of tea"]


def test_records_keep_their_fields(clear_folder):
    root = clear_folder(images=1)
    name, records = next(iter(read_records(root, "2")))
    assert name == "BACKGROUND"
    assert [set(record) for record in records.values()] == [{"ID", "IMG_PATH", "DATE_TAKEN", "DATE_UPLOADED"}]


def test_not_a_clear_folder(tmp_path):
    with pytest.raises(DatasetError, match="not a CLEAR folder"):
        read_index(tmp_path)


@pytest.mark.parametrize("content", ['{"1": ', "[1]", '"x"', "\ufeff[1]", "[" * 100_000])
def test_broken_class_json(clear_folder, content):
    root = clear_folder()
    camera_json(root).write_text(content)
    with pytest.raises(DatasetError) as error:
        read_labeled_bucket(root, "1")
    assert_named(error, str(camera_json(root)), "bucket 1", "'camera'", "JSON")
    read_labeled_bucket(root, "0")


def test_class_json_not_text(clear_folder):
    root = clear_folder()
    camera_json(root).write_bytes(b"\xff\xfe")
    with pytest.raises(DatasetError) as error:
        read_labeled_bucket(root, "1")
    assert_named(error, str(camera_json(root)), "bucket 1", "'camera'", "cannot be read")


@pytest.mark.parametrize("content", ['{"0": ', "[]"])
def test_broken_index(clear_folder, content):
    root = clear_folder()
    (root / "labeled_metadata.json").write_text(content)
    with pytest.raises(DatasetError) as error:
        read_index(root)
    assert_named(error, str(root / "labeled_metadata.json"), "JSON")


def test_missing_class_json(clear_folder):
    root = clear_folder()
    camera_json(root).unlink()
    with pytest.raises(DatasetError) as error:
        read_labeled_bucket(root, "1")
    assert_named(error, str(camera_json(root)), "is missing", "bucket 1", "'camera'")


@pytest.mark.parametrize("record", [{}, {"IMG_PATH": ""}, {"IMG_PATH": 3}, {"IMG_PATH": None}])
def test_record_without_a_path(clear_folder, record):
    root = clear_folder()
    edit(camera_json(root), lambda records: records.update({"77": record}))
    with pytest.raises(DatasetError) as error:
        read_labeled_bucket(root, "1")
    assert_named(error, str(camera_json(root)), "'77'", "no IMG_PATH", "bucket 1", "'camera'")


def test_record_that_is_no_object(clear_folder):
    root = clear_folder()
    edit(camera_json(root), lambda records: records.update({"77": "labeled_images/x.jpg"}))
    with pytest.raises(DatasetError) as error:
        read_labeled_bucket(root, "1")
    assert_named(error, str(camera_json(root)), "'77'", "expected an object", "bucket 1", "'camera'")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../outside.jpg",
        "labeled_images/../../outside.jpg",
        "labeled_images/..",
        "labeled_images/",
    ],
)
def test_path_that_leaves_the_folder(clear_folder, path):
    root = clear_folder()
    (root.parent / "outside.jpg").write_bytes(b"")
    set_path(root, path)
    with pytest.raises(DatasetError) as error:
        read_labeled_bucket(root, "1")
    assert_named(error, str(camera_json(root)), "outside the folder", repr(path), "bucket 1", "'camera'")


def test_path_that_leaves_the_folder_through_a_linked_folder(clear_folder):
    root = clear_folder()
    folder = root / "labeled_images/1/camera"
    shutil.move(folder, root.parent / "elsewhere")
    folder.symlink_to(root.parent / "elsewhere", target_is_directory=True)
    with pytest.raises(DatasetError) as error:
        read_labeled_bucket(root, "1")
    assert_named(error, str(camera_json(root)), "outside the folder", "bucket 1", "'camera'")


def test_a_linked_root_and_linked_images_are_fine(clear_folder):
    root = clear_folder()
    images = read_labeled_bucket(root, "1")
    image = root / images[0].path
    shutil.move(image, root.parent / "original.jpg")
    image.symlink_to(root.parent / "original.jpg")
    link = root.parent / "link"
    link.symlink_to(root, target_is_directory=True)
    assert read_labeled_bucket(link, "1") == images


def test_class_json_that_leaves_the_folder(clear_folder):
    root = clear_folder()
    edit(root / "labeled_metadata.json", lambda value: value["1"].update(camera="../camera.json"))
    with pytest.raises(DatasetError) as error:
        read_labeled_bucket(root, "1")
    assert_named(error, str(root / "labeled_metadata.json"), "outside the folder", "bucket 1", "'camera'")


@pytest.mark.parametrize("path", ["labeled_images/a\nb.jpg", "labeled_images/a\0.jpg", "labeled_images/\ud800.jpg"])
def test_path_that_no_file_list_can_hold(clear_folder, path):
    root = clear_folder()
    set_path(root, path)
    with pytest.raises(DatasetError) as error:
        read_labeled_bucket(root, "1")
    assert_named(error, str(camera_json(root)), "bucket 1", "'camera'", repr(path))


def test_missing_images_are_counted(clear_folder):
    root = clear_folder(images=4)
    gone = [image for image in read_labeled_bucket(root, "1") if image.class_index == 1][1:]
    for image in gone:
        (root / image.path).unlink()
    with pytest.raises(DatasetError) as error:
        read_labeled_bucket(root, "1")
    assert_named(error, str(root / gone[0].path), "bucket 1", "'camera'", "3 of the 12 images")
    assert len(read_labeled_bucket(root, "1", check_images=False)) == 12


def test_missing_image_folder_dangling_link_and_folder_in_place_of_an_image(clear_folder):
    root = clear_folder(images=2)
    background, camera, tea = (read_labeled_bucket(root, "1")[number] for number in (0, 2, 4))
    (root / background.path).unlink()
    (root / background.path).mkdir()
    (root / camera.path).unlink()
    (root / camera.path).symlink_to("nowhere.jpg")
    shutil.rmtree((root / tea.path).parent)
    with pytest.raises(DatasetError) as error:
        read_labeled_bucket(root, "1")
    assert_named(error, str(root / background.path), "bucket 1", "'BACKGROUND'", "4 of the 6 images")


def test_class_that_the_names_file_lacks(clear_folder):
    root = clear_folder()
    (root / "class_names.txt").write_text("BACKGROUND\ncup of tea\n")
    with pytest.raises(DatasetError) as error:
        read_index(root)
    assert_named(error, str(root / "labeled_metadata.json"), "'camera'", "bucket 0", "class_names.txt")


def test_id_twice_in_a_class(clear_folder):
    root = clear_folder()
    text = camera_json(root).read_text()
    first = first_camera(root)
    camera_json(root).write_text(f'{text[:-1]}, "{first}": {{"IMG_PATH": "labeled_images/other.jpg"}}}}')
    with pytest.raises(DatasetError) as error:
        read_labeled_bucket(root, "1")
    assert_named(error, str(camera_json(root)), first, "twice", "bucket 1", "'camera'")


def test_id_twice_in_a_bucket(clear_folder):
    root = clear_folder()
    first = first_camera(root)
    file = root / "labeled_metadata/1/cup of tea.json"
    edit(file, lambda records: records.update({first: {"IMG_PATH": "labeled_images/other.jpg"}}))
    with pytest.raises(DatasetError) as error:
        read_labeled_bucket(root, "1")
    assert_named(error, str(file), f"the id {first!r}", "bucket 1", "'camera'", "'cup of tea'")


@pytest.mark.parametrize("spelling", ["{}", "./{}"])
def test_path_twice_in_a_bucket(clear_folder, spelling):
    root = clear_folder()
    path = read_labeled_bucket(root, "1")[0].path
    set_path(root, spelling.format(path))
    with pytest.raises(DatasetError) as error:
        read_labeled_bucket(root, "1")
    assert_named(error, str(camera_json(root)), f"the IMG_PATH {path!r}", "bucket 1", "'BACKGROUND'", "'camera'")


def test_same_id_in_two_buckets_is_fine(clear_folder):
    root = clear_folder(images=1)
    file = root / "labeled_metadata/2/camera.json"
    record = next(iter(json.loads(file.read_text()).values()))
    file.write_text(json.dumps({first_camera(root): record}))
    assert read_labeled_bucket(root, "2")[1].id == read_labeled_bucket(root, "1")[1].id


@pytest.mark.parametrize("classes", [{}, {"camera": "labeled_metadata/1/camera.json"}])
def test_empty_bucket(clear_folder, classes):
    root = clear_folder()
    camera_json(root).write_text("{}")
    edit(root / "labeled_metadata.json", lambda value: value.update({"1": classes}))
    with pytest.raises(DatasetError) as error:
        read_labeled_bucket(root, "1")
    assert_named(error, str(root / "labeled_metadata.json"), "bucket 1", "no images")


@pytest.mark.parametrize("name", ["train", "", "-1", "1.0", "²", "../1"])
def test_bucket_that_is_not_a_number(clear_folder, name):
    root = clear_folder()
    edit(root / "labeled_metadata.json", lambda value: value.update({name: value["1"]}))
    with pytest.raises(DatasetError) as error:
        read_index(root)
    assert_named(error, str(root / "labeled_metadata.json"), f"the bucket name {name!r}", "not a number")


def test_two_buckets_of_one_number(clear_folder):
    root = clear_folder()
    edit(root / "labeled_metadata.json", lambda value: value.update({"01": value["1"]}))
    with pytest.raises(DatasetError) as error:
        read_index(root)
    assert_named(error, str(root / "labeled_metadata.json"), "'1'", "'01'", "same number")


def test_no_bucket_and_unknown_bucket(clear_folder):
    root = clear_folder()
    with pytest.raises(DatasetError, match="has no bucket '7'"):
        read_labeled_bucket(root, "7")
    (root / "labeled_metadata.json").write_text("{}")
    with pytest.raises(DatasetError, match="contains no bucket"):
        read_index(root)


@pytest.mark.parametrize("classes", [["camera"], {"camera": 3}, {"camera": ""}])
def test_classes_that_are_no_mapping_to_paths(clear_folder, classes):
    root = clear_folder()
    edit(root / "labeled_metadata.json", lambda value: value.update({"1": classes}))
    with pytest.raises(DatasetError) as error:
        read_index(root)
    assert_named(
        error,
        str(root / "labeled_metadata.json"),
        "bucket 1",
        "path of its json" if isinstance(classes, list) else "'camera'",
    )
