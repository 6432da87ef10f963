"""Every release is read: the later layout with its own split, folders that are prepared already, shipped features."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from published import prepared, published_lines, stamps

from clearctl import layout
from clearctl.data.stream import read_stream
from clearctl.dataset.prepare import prepare_avalanche
from clearctl.dataset.release import read_bucket, read_release
from clearctl.errors import DatasetError, UsageError
from clearctl.progress import Message


def later_lines(root: Path, train_name: str = "train") -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The lines of train and of test, {bucket: lines}, written with nothing of clearctl's."""
    sides = []
    for name in (train_name, "test"):
        lines = published_lines(root / name)
        sides.append({bucket: [f"{name}/{line}" for line in of_bucket] for bucket, of_bucket in lines.items()})
    return sides[0], sides[1]


def messages(run) -> list[str]:
    events = []
    run(events.append)
    return [event.text for event in events if isinstance(event, Message)]


@pytest.mark.parametrize("train_name", ["train", "train_image_only"])
def test_later_layout_keeps_its_split(later_folder, train_name):
    root = later_folder(train_name=train_name, buckets=("10", "9", "1"))
    result = prepare_avalanche(root)
    train, test = later_lines(root, train_name)
    expected = {"bucket_indices.json": '["1", "9", "10"]'}
    for bucket in ("1", "9", "10"):
        expected[f"filelists/{bucket}/all.txt"] = "\n".join(train[bucket] + test[bucket])
        folder = f"published_split/{bucket}"
        expected[f"{folder}/train.txt"] = "\n".join(train[bucket])
        expected[f"{folder}/test.txt"] = "\n".join(test[bucket])
        expected[f"{folder}/train_indices.json"] = json.dumps(list(range(21)))
        expected[f"{folder}/test_indices.json"] = json.dumps(list(range(21, 30)))
    assert prepared(root) == {name: text.encode() for name, text in expected.items()}
    assert result.published_split
    assert result.images_per_bucket == {"1": 30, "9": 30, "10": 30}
    before = stamps(root)
    assert prepare_avalanche(root).written == 0
    assert stamps(root) == before


@pytest.mark.parametrize(
    ("option", "arguments"),
    [("--seeds", {"seeds": [0]}), ("--test-ratio", {"test_ratio": 0}), ("--stratified", {"stratified": True})],
)
def test_later_layout_refuses_another_split(later_folder, option, arguments):
    root = later_folder()
    with pytest.raises(UsageError) as error:
        prepare_avalanche(root, **arguments)
    assert str(error.value).startswith(f"{option}: {root} is already split into train/ and test/")
    assert not (root / "training_folder").exists()


def test_iid_on_the_later_layout_is_its_split_whatever_the_seed(later_folder):
    root = later_folder(images=4)
    prepare_avalanche(root)
    train, test = later_lines(root)
    for seed in (0, 7):
        stream = read_stream(root, protocol="iid", seed=seed)
        for bucket in stream.buckets:
            assert bucket.train.paths == [line.rpartition(" ")[0] for line in train[bucket.name]]
            assert bucket.test.paths == [line.rpartition(" ")[0] for line in test[bucket.name]]
    assert stream.class_names == ("BACKGROUND", "camera", "cup of tea")
    streaming = read_stream(root).buckets[0]
    assert streaming.train.paths == streaming.test.paths
    assert len(streaming.train) == 12 + 9
    image, label = streaming.test[20]
    assert (image.size, label) == ((8, 8), 2)


def test_the_train_folder_alone_may_be_split_at_random(later_folder):
    root = later_folder() / "train"
    assert prepare_avalanche(root, seeds=[0]).published_split is False
    assert (root / "training_folder/testset_ratio_0.3/split_0/0/train.txt").is_file()


def test_train_without_test(later_folder):
    root = later_folder()
    shutil.rmtree(root / "test")
    with pytest.raises(DatasetError, match="has train/ but no test/"):
        prepare_avalanche(root)


def test_train_and_test_that_number_the_classes_differently(later_folder):
    root = later_folder()
    (root / "test/class_names.txt").write_text("camera\nBACKGROUND\ncup of tea")
    with pytest.raises(DatasetError) as error:
        prepare_avalanche(root)
    assert f"{root / 'test/class_names.txt'} and {root / 'train/class_names.txt'}" in str(error.value)


def test_a_newline_at_the_end_of_one_names_file_is_no_difference(later_folder):
    root = later_folder()
    with (root / "test/class_names.txt").open("a") as file:
        file.write("\n")
    assert prepare_avalanche(root).num_classes == 3


def test_a_bucket_that_only_train_has_is_left_out_and_reported(later_folder, clear_folder):
    root = later_folder(buckets=("0", "1"))
    file = root / "test/labeled_metadata.json"
    index = json.loads(file.read_text())
    file.write_text(json.dumps({"1": index["1"]}))
    reported = messages(lambda listener: prepare_avalanche(root, listener=listener))
    assert reported == ["left out because not in both train and test: bucket 0"]
    assert layout.read_bucket_indices(root) == ["1"]
    with pytest.raises(UsageError, match="has no bucket 0; it has 1"):
        prepare_avalanche(root, buckets=["0"])


def test_faults_name_the_part(later_folder):
    root = later_folder()
    (root / "test/labeled_metadata/1/camera.json").write_text("{")
    with pytest.raises(DatasetError) as error:
        prepare_avalanche(root)
    assert str(root / "test/labeled_metadata/1/camera.json") in str(error.value)
    assert "bucket 1, class 'camera'" in str(error.value)


def test_a_path_must_stay_in_its_own_part(later_folder):
    root = later_folder()
    file = root / "test/labeled_metadata/1/camera.json"
    records = json.loads(file.read_text())
    next(iter(records.values()))["IMG_PATH"] = "../train/labeled_images/1/camera/10102991.jpg"
    file.write_text(json.dumps(records))
    with pytest.raises(DatasetError, match="outside the folder"):
        prepare_avalanche(root)


def test_read_bucket_gives_each_part_with_paths_from_the_root(later_folder):
    release = read_release(later_folder(images=1))
    train, test = read_bucket(release, "2")
    assert [image.path.split("/")[:3] for image in (train[0], test[0])] == [
        ["train", "labeled_images", "2"],
        ["test", "labeled_images", "2"],
    ]


# Folders that are prepared already


def test_a_published_training_folder_without_bucket_0_stays_as_it_is(clear_folder):
    """Published folders may list fewer buckets than are labelled; all else is the same bytes."""
    root = clear_folder()
    prepare_avalanche(root, buckets=["1", "2"])
    before = stamps(root)
    reported = messages(lambda listener: prepare_avalanche(root, listener=listener))
    assert reported == ["bucket_indices.json does not list bucket 0: left out (--buckets adds it)"]
    assert stamps(root) == before
    prepare_avalanche(root, buckets=["0", "1", "2"], force=True)
    assert layout.read_bucket_indices(root) == ["0", "1", "2"]


def test_broken_bucket_indices_are_replaced_with_force_only(clear_folder):
    root = clear_folder()
    prepare_avalanche(root)
    layout.bucket_indices_file(root).write_text("[")
    with pytest.raises(DatasetError, match=r"bucket_indices\.json already exists"):
        prepare_avalanche(root)
    assert prepare_avalanche(root, force=True).written == 1


# Features that a release ships


def write_released_features(folder: Path, name: str, dimension: int = 4, *, short_paths: bool = False) -> None:
    """Give a labelled folder features as releases ship them: row j of an image is its id plus j.

    `short_paths` leaves the name out of the paths in features.json, as the script did that wrote the published ones.
    """
    index: dict[str, dict[str, str]] = {}
    for bucket, classes in json.loads((folder / "labeled_metadata.json").read_text()).items():
        index[bucket] = {}
        for class_name, file in classes.items():
            ids = list(json.loads((folder / file).read_text()))
            # Another order than the class's json: rows are found by id.
            rows = {key: float(key) + torch.arange(dimension, dtype=torch.float32) for key in sorted(ids)}
            path = folder / "features" / name / bucket / f"{class_name}.pth"
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(rows, path)
            index[bucket][class_name] = f"features/{'' if short_paths else name + '/'}{bucket}/{class_name}.pth"
    (folder / "features" / name / "features.json").write_text(json.dumps(index))


def expected_features(root: Path, bucket: str, dimension: int = 4) -> tuple[torch.Tensor, list[int]]:
    lines = (root / f"training_folder/filelists/{bucket}/all.txt").read_text().split("\n")
    ids = [float(Path(line.rpartition(" ")[0]).stem) for line in lines]
    x = torch.tensor(ids).unsqueeze(1) + torch.arange(dimension, dtype=torch.float32)
    return x, [int(line.rpartition(" ")[2]) for line in lines]


@pytest.mark.parametrize("short_paths", [False, True])
def test_features_come_in_the_order_of_the_file_list(clear_folder, short_paths):
    root = clear_folder()
    write_released_features(root, "moco_b0", short_paths=short_paths)
    result = prepare_avalanche(root, seeds=[0])
    assert result.features == ("moco_b0",)
    for bucket in result.buckets:
        x, targets = torch.load(root / f"training_folder/features/moco_b0/{bucket}/all.pth", weights_only=True)
        wanted_x, wanted_targets = expected_features(root, bucket)
        assert torch.equal(x, wanted_x)
        assert x.dtype == torch.float32
        assert targets == wanted_targets
    assert read_stream(root, protocol="iid", seed=0, feature_type="moco_b0").feature_dim == 4
    before = stamps(root)
    assert prepare_avalanche(root, seeds=[0]).written == 0
    assert stamps(root) == before


def test_features_of_train_and_test(later_folder):
    root = later_folder()
    for part in ("train", "test"):
        write_released_features(root / part, "moco_b0")
    assert prepare_avalanche(root).features == ("moco_b0",)
    x, targets = torch.load(root / "training_folder/features/moco_b0/1/all.pth", weights_only=True)
    assert torch.equal(x, expected_features(root, "1")[0])
    assert targets == expected_features(root, "1")[1]


def test_features_that_only_one_part_has_are_left_out_and_reported(later_folder):
    root = later_folder(train_name="train_image_only")
    write_released_features(root / "test", "moco_b0")
    reported = messages(lambda listener: prepare_avalanche(root, listener=listener))
    assert reported == ["the release's features 'moco_b0' are not in train_image_only/: left out"]
    assert not (root / "training_folder/features").exists()


def test_features_that_do_not_cover_a_bucket(clear_folder):
    root = clear_folder()
    write_released_features(root, "moco_b0")
    file = root / "features/moco_b0/features.json"
    index = json.loads(file.read_text())
    del index["0"]
    file.write_text(json.dumps(index))
    reported = messages(lambda listener: prepare_avalanche(root, listener=listener))
    assert reported == ["the release's features 'moco_b0' do not cover bucket 0"]
    assert sorted(path.name for path in (root / "training_folder/features/moco_b0").iterdir()) == ["1", "2"]


def test_features_that_differ_stop_it_before_anything_is_written(clear_folder):
    root = clear_folder()
    write_released_features(root, "moco_b0")
    prepare_avalanche(root, seeds=[0])
    file = root / "training_folder/features/moco_b0/2/all.pth"
    x, targets = torch.load(file, weights_only=True)
    for contents in ((x + 1, targets), (x, targets[::-1]), "damaged"):
        torch.save(contents, file)
        (root / "training_folder/filelists/0/all.txt").unlink()
        with pytest.raises(DatasetError, match=r"2/all\.pth already exists"):
            prepare_avalanche(root, seeds=[0])
        assert not (root / "training_folder/filelists/0/all.txt").exists()
        assert prepare_avalanche(root, seeds=[0], force=True).written == 2


def test_a_number_that_is_not_finite_is_the_same_the_second_time(clear_folder):
    root = clear_folder()
    write_released_features(root, "moco_b0")
    edit_features(root, lambda rows: rows.update({next(iter(rows)): torch.full((4,), torch.nan)}))
    prepare_avalanche(root, seeds=[0])
    assert prepare_avalanche(root, seeds=[0]).written == 0


def test_the_class_names_of_train_count_whatever_lies_beside_it(later_folder):
    root = later_folder()
    (root / "class_names.txt").write_text("cup of tea\ncamera\nBACKGROUND")
    prepare_avalanche(root)
    assert read_stream(root).class_names == ("BACKGROUND", "camera", "cup of tea")


def test_features_made_again_from_the_new_lists_are_not_called_stale(clear_folder):
    root = clear_folder()
    write_released_features(root, "moco_b0")
    prepare_avalanche(root, seeds=[0])
    file = root / "labeled_metadata/1/camera.json"
    file.write_text(json.dumps(dict(reversed(json.loads(file.read_text()).items()))))
    assert messages(lambda listener: prepare_avalanche(root, seeds=[0], force=True, listener=listener)) == []


def edit_features(root: Path, change) -> Path:
    file = root / "features/moco_b0/1/camera.pth"
    rows = torch.load(file, weights_only=True)
    change(rows)
    torch.save(rows, file)
    return file


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        (lambda rows: rows.popitem(), "no row for the image"),
        (lambda rows: rows.update({next(iter(rows)): torch.zeros(3)}), "expected vectors of one length, found"),
        (lambda rows: rows.update({key: torch.zeros(1, 4) for key in rows}), "expected vectors of one length, found"),
        (lambda rows: rows.update({next(iter(rows)): "text"}), "is not {id: tensor [D]}"),
    ],
)
def test_features_that_do_not_fit_the_images(clear_folder, change, reported):
    root = clear_folder()
    write_released_features(root, "moco_b0")
    edit_features(root, change)
    with pytest.raises(DatasetError) as error:
        prepare_avalanche(root)
    assert reported in str(error.value)
    assert "camera" in str(error.value) or "bucket 1" in str(error.value)
    assert not (root / "training_folder").exists()


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("{", "is not JSON"),
        ("[]", "expected {bucket"),
        ('{"0": {"camera": "../x.pth"}}', "'../x.pth' is not a path inside the folder"),
        ('{"0": {"camera": 3}}', "bucket 0, class 'camera'"),
        ('{"0": {"camera": "features/moco_b0/0/camera.pth"}}', "features.json lacks the class 'BACKGROUND'"),
    ],
)
def test_faulty_features_json(clear_folder, text, reported):
    root = clear_folder()
    write_released_features(root, "moco_b0")
    (root / "features/moco_b0/features.json").write_text(text)
    with pytest.raises(DatasetError) as error:
        prepare_avalanche(root)
    assert reported in str(error.value)


def test_a_damaged_and_a_missing_pth(clear_folder):
    root = clear_folder()
    write_released_features(root, "moco_b0")
    file = root / "features/moco_b0/1/camera.pth"
    file.write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"camera\.pth is not"):
        prepare_avalanche(root)
    file.unlink()
    with pytest.raises(DatasetError, match=r"camera\.pth is missing"):
        prepare_avalanche(root)


@pytest.mark.process
def test_torch_is_imported_only_where_there_are_features(clear_folder):
    root = clear_folder()
    program = "import sys, clearctl; clearctl.prepare_avalanche(sys.argv[1]); print('torch' in sys.modules)"

    def imported() -> str:
        return subprocess.run(
            [sys.executable, "-c", program, str(root)], capture_output=True, text=True, check=True
        ).stdout

    assert imported() == "False\n"
    write_released_features(root, "moco_b0")
    assert imported() == "True\n"
