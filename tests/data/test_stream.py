"""A stream read from a prepared folder: what is in it, and every way in which the folder may not be as it should."""

import gc
import json
import os
import re
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from clearctl import layout, prepare_avalanche
from clearctl.data.samples import FeatureSamples, ImageSamples, original_error
from clearctl.data.stream import read_stream, read_train_labels
from clearctl.errors import ConfigError, DatasetError, UsageError
from clearctl.selection import Selection

Folder = Callable[..., Path]


@pytest.fixture
def root(clear_folder: Folder) -> Path:
    """A prepared folder of 2 buckets with 3 classes of 4 images, to be changed, with features `tiny` [12, 5]."""
    folder = clear_folder(images=4, buckets=("0", "1"))
    prepare_avalanche(folder, seeds=[0])
    for bucket in ("0", "1"):
        write_features(folder, bucket, labels_of(folder, bucket))
    return folder


def labels_of(root: Path, bucket: str) -> list[int]:
    return [label for _, label in layout.read_filelist(layout.filelist_file(root, bucket))]


def write_features(root: Path, bucket: str, labels: object, rows: int = 12, dimension: int = 5) -> Path:
    file = layout.features_file(root, "tiny", bucket)
    file.parent.mkdir(parents=True, exist_ok=True)
    x = torch.arange(rows * dimension, dtype=torch.float32).reshape(rows, dimension) + int(bucket)
    torch.save((x, labels), file)
    return file


def fault(root: Path, **arguments: object) -> str:
    with pytest.raises(DatasetError) as caught:
        read_stream(root, **arguments)
    assert caught.value.exit_code == 4
    return str(caught.value)


# What is in it


def test_streaming_has_all_of_each_bucket_in_both_parts(root: Path) -> None:
    stream = read_stream(root)
    assert stream.bucket_names == ["0", "1"]
    assert stream.class_names == ("BACKGROUND", "camera", "cup of tea")
    for bucket in stream.buckets:
        listed = layout.read_filelist(layout.filelist_file(root, bucket.name))
        for part in (bucket.train, bucket.test):
            assert list(zip(part.paths, part.targets, strict=True)) == listed
    image, label = stream.buckets[1].train[5]
    assert (image.mode, image.size, label) == ("RGB", (8, 8), 1)


def test_iid_has_the_split_of_the_seed(root: Path) -> None:
    prepare_avalanche(root, seeds=[3])
    for seed in (0, 3):
        for bucket in read_stream(root, protocol="iid", seed=seed).buckets:
            folder = layout.ratio_split_folder(root, 0.3, seed) / bucket.name
            for name, part in (("train", bucket.train), ("test", bucket.test)):
                assert list(zip(part.paths, part.targets, strict=True)) == layout.read_filelist(folder / f"{name}.txt")
            assert (len(bucket.train), len(bucket.test)) == (9, 3)


def test_features_are_the_rows_of_the_split(root: Path) -> None:
    stream = read_stream(root, protocol="iid", seed=0, feature_type="tiny")
    assert stream.feature_dim == 5
    x, labels = torch.load(layout.features_file(root, "tiny", "1"), weights_only=True)
    rows = json.loads((layout.ratio_split_folder(root, 0.3, 0) / "1/train_indices.json").read_text())
    part = stream.buckets[1].train
    assert isinstance(part, FeatureSamples)
    assert torch.equal(part.x[part.rows], x[rows])
    assert part.targets == [labels[row] for row in rows]
    assert torch.equal(part[2][0], x[rows[2]])


def test_features_need_no_images(root: Path) -> None:
    for image in (root / "labeled_images").rglob("*.jpg"):
        image.unlink()
    assert len(read_stream(root, feature_type="tiny").buckets[0].train) == 12


@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_labels_that_older_tools_wrote_as_numpy_integers(kind: type, root: Path) -> None:
    write_features(root, "0", [kind(label) for label in labels_of(root, "0")])
    targets = read_stream(root, feature_type="tiny").buckets[0].train.targets
    assert targets == labels_of(root, "0")
    assert {type(label) for label in targets} == {int}


def test_buckets_can_be_chosen_in_any_order(root: Path) -> None:
    assert read_stream(root, buckets=[1, "0"]).bucket_names == ["1", "0"]
    with pytest.raises(UsageError, match=r"^the dataset has no bucket '7': it has 0, 1$"):
        read_stream(root, buckets=["7"])


def test_grey_and_transparent_images_become_rgb(root: Path) -> None:
    from PIL import Image

    paths = [path for path, _ in layout.read_filelist(layout.filelist_file(root, "0"))][:2]
    Image.new("L", (6, 4), 77).save(root / paths[0])
    Image.new("RGBA", (6, 4), (1, 2, 3, 4)).save(root / paths[1], format="PNG")
    train = read_stream(root).buckets[0].train
    assert [(train[i][0].mode, train[i][0].getpixel((0, 0))) for i in (0, 1)] == [
        ("RGB", (77,) * 3),
        ("RGB", (1, 2, 3)),
    ]


# Images that are not there, or no images


def test_missing_image_is_named_with_its_bucket(root: Path) -> None:
    paths = [path for path, _ in layout.read_filelist(layout.filelist_file(root, "1"))]
    for path in (paths[2], paths[9]):
        (root / path).unlink()
    assert fault(root) == (
        f"{root / paths[2]} (bucket 1) is listed but missing; 2 of the bucket's 12 images are missing"
    )


def test_missing_folder_of_images(root: Path) -> None:
    (root / "labeled_images/0/camera").rename(root / "labeled_images/0/gone")
    assert "(bucket 0) is listed but missing; 4 of the bucket's 12 images are missing" in fault(root)


@pytest.mark.parametrize("content", ["empty", "text", "cut"])
def test_undecodable_image_is_named_with_its_bucket(content: str, root: Path) -> None:
    path, _ = layout.read_filelist(layout.filelist_file(root, "1"))[4]
    whole = (root / path).read_bytes()
    (root / path).write_bytes({"empty": b"", "text": b"<html>", "cut": whole[: len(whole) // 2]}[content])
    train = read_stream(root).buckets[1].train  # no file is opened before it is needed
    with pytest.raises(DatasetError) as caught:
        train[4]
    text = str(caught.value)
    assert text.startswith(f"{root / path} (bucket 1) cannot be decoded: ")
    assert "\n" not in text
    assert train[3][0].size == (8, 8)


@pytest.mark.parametrize("workers", [0, 2])
def test_message_from_a_worker_process_is_one_line(workers: int, tmp_path: Path) -> None:
    (tmp_path / "my broken.jpg").write_bytes(b"no image")
    loader = DataLoader(ImageSamples(tmp_path, "7", [("my broken.jpg", 0)]), num_workers=workers)
    with pytest.raises(DatasetError) as caught:
        next(iter(loader))
    assert ("Traceback" in str(caught.value)) == bool(workers)  # what there is to be cut away
    error = original_error(caught.value)
    assert isinstance(error, DatasetError)
    text = str(error)
    assert text.startswith(f"{tmp_path / 'my broken.jpg'} (bucket 7) cannot be decoded: not a JPEG")
    assert "\n" not in text
    assert "Traceback" not in text


def test_other_errors_are_not_taken_for_the_datasets() -> None:
    assert original_error(ValueError("clearctl.errors.DatasetError: x")) is None


# Splits and file lists


def test_folder_that_is_not_prepared(clear_folder: Folder) -> None:
    folder = clear_folder(images=1, buckets=("0",))
    assert fault(folder).endswith(f"run `clearctl prepare-avalanche --dataset-root {folder}`")


@pytest.mark.parametrize(
    ("arguments", "folder", "command"),
    [
        (dict(seed=5), "testset_ratio_0.3/split_5/0", "prepare-avalanche --dataset-root {} --test-ratio 0.3 --seeds 5"),
        (
            dict(seed=0, test_ratio=0.2),
            "testset_ratio_0.2/split_0/0",
            "prepare-avalanche --dataset-root {} --test-ratio 0.2 --seeds 0",
        ),
        (dict(seed=1, shot=5), "5_shot/split_1/0", "make-fewshot --dataset-root {} --shot 5 --seed 1"),
    ],
)
def test_split_that_is_not_there_names_the_command(arguments: dict, folder: str, command: str, root: Path) -> None:
    assert fault(root, protocol="iid", **arguments) == (
        f"the split {root}/training_folder/{folder} does not exist\nrun `clearctl {command.format(root)}`"
    )


def test_split_of_another_file_list(root: Path) -> None:
    file = layout.filelist_file(root, "1")
    lines = file.read_text().split("\n")
    file.write_text("\n".join(reversed(lines)))
    found = fault(root, protocol="iid", seed=0)
    assert "split_0/1/train.txt and train_indices.json disagree with the file list" in found
    assert found.endswith("run `clearctl prepare-avalanche --force`")


@pytest.mark.parametrize("indices", ["[]", "[0, 12]", "[-1]", '["0"]', "{}", "3"])
def test_indices_that_are_no_line_numbers(indices: str, root: Path) -> None:
    file = layout.ratio_split_folder(root, 0.3, 0) / "0/test_indices.json"
    file.write_text(indices)
    assert fault(root, protocol="iid", seed=0) == (
        f"{file}: expected a list of line numbers, 0 to 11, of the file list"
    )


def test_class_index_out_of_range(root: Path) -> None:
    file = layout.filelist_file(root, "1")
    lines = file.read_text().split("\n")
    path = lines[2].rpartition(" ")[0]
    lines[2] = f"{path} 3"
    file.write_text("\n".join(lines))
    assert fault(root) == f"{file}, line 3: class index 3 of {path}, but class_names.txt has 3 classes"


# Features that do not fit


def test_features_that_are_not_there(root: Path) -> None:
    missing = layout.features_file(root, "other", "0")
    assert fault(root, feature_type="other") == f"no features 'other': {missing} is missing\navailable features: tiny"


def test_features_with_too_few_rows(root: Path) -> None:
    file = write_features(root, "1", labels_of(root, "1")[:11], rows=11)
    assert fault(root, feature_type="tiny") == (
        f"{file}: features have shape (11, 5), but the bucket's file list has 12 images"
    )


def test_features_with_other_labels(root: Path) -> None:
    labels = labels_of(root, "1")
    file = write_features(root, "1", [labels[-1], *labels[1:-1], labels[0]])
    assert fault(root, feature_type="tiny") == f"{file}: its labels differ from the bucket's file list"


def test_features_of_another_width_in_one_bucket(root: Path) -> None:
    write_features(root, "1", labels_of(root, "1"), dimension=6)
    assert fault(root, feature_type="tiny").endswith("features/tiny: dimensions differ: [5, 6]")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text"])
def test_features_file_that_is_damaged(content: bytes, root: Path) -> None:
    file = layout.features_file(root, "tiny", "0")
    file.write_bytes(content)
    first, *rest = fault(root, feature_type="tiny").split("\n")
    if content.startswith(b"PK"):
        assert first.startswith(f"{file} is damaged: its zip archive is incomplete")
        assert rest == ["copy or download it again, or rerun the command that wrote it"]
    else:
        assert first.startswith(f"{file} is not (tensor [N, D], list of N ints): ")
        assert rest == []


@pytest.mark.parametrize("value", [{"x": 1}, torch.zeros(12, 5), (torch.zeros(12, 5), None), ([1.0], [0])])
def test_features_file_that_holds_something_else(value: object, root: Path) -> None:
    file = layout.features_file(root, "tiny", "0")
    torch.save(value, file)
    assert fault(root, feature_type="tiny").startswith(f"{file} is not (tensor [N, D], list of N ints): ")


def test_features_file_with_pickled_code_is_not_run(root: Path, tmp_path: Path) -> None:
    import os

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch '{tmp_path}/ran'",)

    file = layout.features_file(root, "tiny", "0")
    torch.save((torch.zeros(12, 5), Payload()), file)
    assert str(file) in fault(root, feature_type="tiny")
    assert not (tmp_path / "ran").exists()
    torch.load(file, weights_only=False)
    assert (tmp_path / "ran").exists()


# The fingerprint


def test_fingerprint_is_of_the_content_not_of_the_place(clear_folder: Folder) -> None:
    found = set()
    for name in ("here", "there"):
        folder = clear_folder(name, images=2, buckets=("0",))
        prepare_avalanche(folder, test_ratio=0)
        found.add(read_stream(folder).fingerprint())
    assert len(found) == 1
    assert re.fullmatch("[0-9a-f]{64}", found.pop())


def test_fingerprint_changes_with_whatever_matters(root: Path) -> None:
    def swap(file: Path, old: str, new: str) -> None:
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    file = layout.filelist_file(root, "0")
    first, second = (path for path, _ in layout.read_filelist(file)[:2])
    found = [read_stream(root).fingerprint(), read_stream(root, protocol="iid", seed=0).fingerprint()]
    found += [read_stream(root, buckets=names).fingerprint() for names in (["0"], ["1"], ["1", "0"])]
    swap(file, f"{first} 0", f"{first} 2")  # a label
    found.append(read_stream(root).fingerprint())
    (root / second).rename((root / second).with_name("other.jpg"))
    swap(file, Path(second).name, "other.jpg")  # a path
    found.append(read_stream(root).fingerprint())
    swap(root / "class_names.txt", "camera", "kamera")  # a class name
    found.append(read_stream(root).fingerprint())
    assert len(set(found)) == len(found) == 8


def test_fingerprint_changes_with_a_feature(root: Path) -> None:
    before = read_stream(root, feature_type="tiny").fingerprint()
    assert read_stream(root, feature_type="tiny").fingerprint() == before
    file = layout.features_file(root, "tiny", "1")
    x, labels = torch.load(file, weights_only=True)
    x[11, 4] = torch.nextafter(x[11, 4], torch.tensor(torch.inf))
    torch.save((x, labels), file)
    assert read_stream(root, feature_type="tiny").fingerprint() != before


def test_features_that_are_in_memory_are_not_read_again(root: Path) -> None:
    """Whatever the protocol and split; a file that was written again is another, though nothing else has changed."""
    held = read_stream(root, feature_type="tiny")
    x = held.buckets[0].train.x
    assert read_stream(root, feature_type="tiny").buckets[1].test.x is x
    split = read_stream(root, protocol="iid", seed=0, feature_type="tiny")
    assert split.buckets[0].test.x is x
    assert read_stream(root, feature_type="tiny", buckets=["1"]).buckets[0].train.x is not x
    file = layout.features_file(root, "tiny", "1")
    status = file.stat()
    features, labels = torch.load(file, weights_only=True)
    torch.save((features + 1, labels), file)
    again = read_stream(root, feature_type="tiny").buckets[1].train
    assert torch.equal(again.x[again.rows], features + 1)
    # The size is the same, and the time may be put back, but then the file is another.
    torch.save((features + 2, labels), file.with_name("new"))
    file.with_name("new").replace(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = read_stream(root, feature_type="tiny").buckets[1].train
    assert torch.equal(again.x[again.rows], features + 2)
    assert torch.equal(held.buckets[1].train.x[held.buckets[1].train.rows], features)  # what was held stays


def test_a_features_file_that_cannot_be_looked_at(root: Path) -> None:
    file = layout.features_file(root, "tiny", "1")
    file.unlink()
    file.symlink_to(file.name)  # a loop
    assert f"{file} is missing" in fault(root, feature_type="tiny")


def test_features_that_nobody_holds_leave_the_memory(root: Path) -> None:
    x = weakref.ref(read_stream(root, feature_type="tiny").buckets[0].train.x)
    gc.collect()
    assert x() is None


def test_another_file_list_is_seen_though_the_features_are_in_memory(root: Path) -> None:
    held = read_stream(root, feature_type="tiny")
    file = layout.filelist_file(root, "1")
    file.write_text("\n".join(reversed(file.read_text().split("\n"))))
    assert "its labels differ from the bucket's file list" in fault(root, feature_type="tiny")
    assert held.bucket_names == ["0", "1"]


def test_features_that_were_saved_with_their_gradients(root: Path) -> None:
    file = layout.features_file(root, "tiny", "0")
    x, labels = torch.load(file, weights_only=True)
    torch.save((x.requires_grad_(), labels), file)
    assert not read_stream(root, feature_type="tiny").buckets[0].train.x.requires_grad
    read_stream(root, feature_type="tiny").fingerprint()


def test_a_path_that_no_file_can_have(root: Path) -> None:
    file = layout.filelist_file(root, "0")
    file.write_text(file.read_text().replace("labeled_images/", "a\0b/", 1))
    assert "is listed but missing" in fault(root)


# Parts of a dataset


def test_a_stream_of_some_classes_counts_them_from_0(root: Path) -> None:
    whole, part = read_stream(root), read_stream(root, selection=Selection(drop_classes=("BACKGROUND",)))
    assert part.class_names == ("camera", "cup of tea")
    for before, after in zip(whole.buckets, part.buckets, strict=True):
        kept = [
            (path, label - 1) for path, label in zip(before.train.paths, before.train.targets, strict=True) if label
        ]
        assert list(zip(after.train.paths, after.train.targets, strict=True)) == kept
        assert after.test.targets == after.train.targets
    assert part.fingerprint() != whole.fingerprint()


def test_features_of_some_classes_are_rows_of_the_same_matrix(root: Path) -> None:
    chosen = Selection(classes=("cup of tea", "BACKGROUND"), max_per_class=2)
    images = read_stream(root, protocol="iid", seed=0, selection=chosen)
    stream = read_stream(root, protocol="iid", seed=0, feature_type="tiny", selection=chosen)
    whole = read_stream(root, protocol="iid", seed=0, feature_type="tiny")
    assert stream.class_names == ("BACKGROUND", "cup of tea")
    for bucket, of_images, all_of_it in zip(stream.buckets, images.buckets, whole.buckets, strict=True):
        assert bucket.train.targets == of_images.train.targets
        assert bucket.test.targets == of_images.test.targets
        assert max(Counter(bucket.train.targets).values()) <= 2
        assert set(bucket.train.targets + bucket.test.targets) == {0, 1}
        assert bucket.train.x is stream.buckets[0].train.x
        assert set(bucket.train.rows.tolist()) <= set(all_of_it.train.rows.tolist())
        assert torch.equal(bucket.train.x, all_of_it.train.x)
    assert read_train_labels(root, protocol="iid", seed=0, selection=chosen) == {
        bucket.name: bucket.train.targets for bucket in stream.buckets
    }


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (
            Selection(classes=("camera", "cup of te")),
            "scenario.classes: the dataset has no class 'cup of te'; did you mean",
        ),
        (
            Selection(drop_classes=("x",)),
            "scenario.drop_classes: the dataset has no class 'x': it has BACKGROUND, camera",
        ),
        (Selection(classes=("camera",)), "scenario.classes: leaves 1 of 3 classes, expected two or more"),
        (Selection(drop_classes=("camera", "BACKGROUND")), "scenario.drop_classes: leaves 1 of 3 classes"),
    ],
)
def test_classes_that_are_not_there_are_a_fault_of_the_config(root: Path, chosen: Selection, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_stream(root, selection=chosen)


def test_a_bucket_without_an_image_of_the_classes_is_a_fault(clear_folder: Folder) -> None:
    root = clear_folder(images={("1", "camera"): 0, ("1", "BACKGROUND"): 0}, buckets=("0", "1"))
    prepare_avalanche(root, seeds=[0])
    message = fault(root, selection=Selection(drop_classes=("cup of tea",)))
    assert message == "bucket 1 has no image to train on of BACKGROUND, camera"
