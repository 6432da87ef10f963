"""Few-shot splits: the published bytes, their use in training, and what is refused."""

import json
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from published import prepared, stamps

from clearctl import layout, make_fewshot, prepare_avalanche
from clearctl.data.features import save_features
from clearctl.data.stream import read_stream
from clearctl.dataset.splits import few_shot_split, lines_by_class
from clearctl.errors import DatasetError, UsageError


def published_fewshot(root: Path, shot: int, seed: int) -> dict[str, bytes]:
    """The files of a few-shot split by the published procedure, with the module's own generator."""
    files = {}
    num_classes = len((root / "class_names.txt").read_text().split("\n"))
    for bucket in json.loads((root / "training_folder/bucket_indices.json").read_text()):
        images, indices = [], {number: [] for number in range(num_classes)}
        with open(root / "training_folder/filelists" / bucket / "all.txt") as file:
            for line in file:
                image, label = line.strip().rsplit(" ", 1)
                indices[int(label)].append(len(images))
                images.append(f"{image} {label}\n")
        train, test = [], []
        for of_class in indices.values():
            random.seed(seed)
            random.shuffle(of_class)
            train.extend(of_class[:shot])
            test.extend(of_class[shot:])
        random.shuffle(train)
        random.shuffle(test)
        for side, numbers in (("train", train), ("test", test)):
            files[f"{shot}_shot/split_{seed}/{bucket}/{side}.txt"] = "".join(images[n] for n in numbers).encode()
            files[f"{shot}_shot/split_{seed}/{bucket}/{side}_indices.json"] = json.dumps(numbers).encode()
    return files


@pytest.fixture
def root(clear_folder):
    """A prepared folder without ratio splits: 3 buckets, 3 classes of 4 to 9 images."""
    folder = clear_folder(buckets=("10", "9", "0"), images={"camera": 9, "cup of tea": 4})
    prepare_avalanche(folder, test_ratio=0)
    return folder


def fewshot_files(root: Path) -> dict[str, bytes]:
    return {name: data for name, data in prepared(root).items() if "_shot/" in name}


@pytest.mark.parametrize("shot", [1, 3])
def test_bytes_are_those_of_the_published_procedure(root, shot):
    result = make_fewshot(root, shot=shot, seeds=[0, 3])
    assert fewshot_files(root) == {**published_fewshot(root, shot, 0), **published_fewshot(root, shot, 3)}
    assert result.images_per_bucket == dict.fromkeys(("0", "9", "10"), (3 * shot, 20 - 3 * shot))
    assert (result.shot, result.seeds, result.written, result.unchanged) == (shot, (0, 3), 24, 0)


def test_known_bytes(clear_folder):
    """A split whose order was worked out once with Python's own module: it must never move."""
    folder = clear_folder(buckets=("0",), classes=("a", "b"), images=5)
    prepare_avalanche(folder, test_ratio=0)
    make_fewshot(folder, shot=2)
    place = folder / "training_folder/2_shot/split_0/0"
    assert (place / "train_indices.json").read_text() == "[2, 7, 1, 6]"
    assert (place / "test_indices.json").read_text() == "[8, 0, 9, 4, 3, 5]"


def test_second_run_changes_nothing_and_what_is_missing_is_added(root):
    make_fewshot(root, shot=2)
    before = stamps(root)
    assert make_fewshot(root, shot=2).written == 0
    assert stamps(root) == before
    (root / "training_folder/2_shot/split_0/9/test.txt").unlink()
    assert make_fewshot(root, shot=2, seeds=[0, 1]).written == 1 + 12


def test_differing_file_stops_before_anything_is_written(root):
    make_fewshot(root, shot=2)
    file = root / "training_folder/2_shot/split_0/10/train.txt"
    file.write_text("mine")
    before = stamps(root)
    with pytest.raises(DatasetError, match="with different contents"):
        make_fewshot(root, shot=2, seeds=[0, 1])
    assert stamps(root) == before
    make_fewshot(root, shot=2, force=True)
    assert fewshot_files(root) == published_fewshot(root, 2, 0)


def test_dry_run_writes_nothing(root):
    before = stamps(root)
    assert make_fewshot(root, shot=2, dry_run=True).written == 12
    assert stamps(root) == before
    assert not (root / ".clearctl.lock").exists()


def test_chosen_buckets(root):
    assert list(make_fewshot(root, shot=4, buckets=["9", "0"]).images_per_bucket) == ["0", "9"]
    assert not (root / "training_folder/4_shot/split_0/10").exists()


def test_a_class_with_too_few_images_is_named(root):
    with pytest.raises(DatasetError) as error:
        make_fewshot(root, shot=5)
    assert "4 images of class 'cup of tea' in bucket 0, too few for --shot 5" in str(error.value)
    assert fewshot_files(root) == {}


def test_a_class_that_a_bucket_lacks_is_named(clear_folder):
    folder = clear_folder(images={("1", "camera"): 0})
    prepare_avalanche(folder, test_ratio=0)
    with pytest.raises(DatasetError, match="0 images of class 'camera' in bucket 1"):
        make_fewshot(folder, shot=1)
    assert make_fewshot(folder, shot=1, buckets=["0", "2"]).written == 8


def test_nothing_left_to_test_on(clear_folder):
    folder = clear_folder(images=2, buckets=("3",))
    prepare_avalanche(folder, test_ratio=0)
    with pytest.raises(DatasetError, match="--shot 2 leaves no image of bucket 3 to test on"):
        make_fewshot(folder, shot=2)


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        ({"shot": 0}, "--shot 0"),
        ({"shot": True}, "shot: found True, expected a whole number"),
        ({"seeds": []}, "no seed"),
        ({"seeds": [1, 1]}, "twice"),
        ({"seeds": [-1]}, "-1"),
        ({"buckets": ["7"]}, "no bucket 7"),
    ],
)
def test_arguments_that_make_no_sense(root, arguments, reported):
    with pytest.raises(UsageError, match=reported):
        make_fewshot(root, **arguments)


def test_a_folder_that_is_not_prepared(clear_folder):
    with pytest.raises(DatasetError, match="clearctl prepare-avalanche"):
        make_fewshot(clear_folder())


def test_it_is_trained_on_as_the_config_says(root):
    generator = torch.Generator().manual_seed(0)
    for bucket in ("0", "9", "10"):
        listed = layout.read_filelist(layout.filelist_file(root, bucket))
        x = torch.randn(len(listed), 5, generator=generator)
        save_features(layout.features_file(root, "tiny", bucket), x, [label for _, label in listed])
    make_fewshot(root, shot=3, seeds=[1])
    images = read_stream(root, protocol="iid", shot=3, seed=1)
    features = read_stream(root, protocol="iid", shot=3, seed=1, feature_type="tiny")
    for of_images, of_features in zip(images.buckets, features.buckets, strict=True):
        folder = root / "training_folder/3_shot/split_1" / of_images.name
        assert of_images.train.paths == [path for path, _ in layout.read_filelist(folder / "train.txt")]
        assert of_images.test.paths == [path for path, _ in layout.read_filelist(folder / "test.txt")]
        x, _ = torch.load(layout.features_file(root, "tiny", of_images.name), weights_only=True)
        rows = json.loads((folder / "train_indices.json").read_text())
        assert torch.equal(of_features.train.x[of_features.train.rows], x[rows])
        assert of_features.train.targets == of_images.train.targets
        assert sorted(of_images.train.targets) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_release_that_comes_split_is_tested_on_its_own_test_set(later_folder):
    folder = later_folder(images=6)
    prepare_avalanche(folder)
    make_fewshot(folder, shot=4)
    assert make_fewshot(folder, shot=4).images_per_bucket == dict.fromkeys(("0", "1", "2"), (12, 9))
    stream = read_stream(folder, protocol="iid", shot=4, seed=0)
    published = read_stream(folder, protocol="iid", seed=0)
    for bucket, whole in zip(stream.buckets, published.buckets, strict=True):
        assert bucket.test.paths == whole.test.paths
        assert set(bucket.train.paths) < set(whole.train.paths)
        assert sorted(bucket.train.targets) == [0] * 4 + [1] * 4 + [2] * 4
    with pytest.raises(DatasetError, match="6 images of class 'BACKGROUND' in bucket 0, too few for --shot 7"):
        make_fewshot(folder, shot=7)


@settings(max_examples=60, deadline=None)
@given(labels=st.lists(st.integers(0, 4), max_size=60), shot=st.integers(1, 9), seed=st.integers(0, 2**64))
def test_splits_partition_and_repeat(labels, shot, seed):
    members = lines_by_class(labels, 5)
    split = few_shot_split(members, shot, seed)
    assert split == few_shot_split(members, shot, seed)
    assert sorted(split.train + split.test) == list(range(len(labels)))
    for label in range(5):
        assert sum(labels[number] == label for number in split.train) == min(shot, labels.count(label))


def test_seeds_differ():
    members = lines_by_class([0] * 30 + [1] * 30, 2)
    assert len({tuple(few_shot_split(members, 5, seed).train) for seed in range(20)}) == 20
