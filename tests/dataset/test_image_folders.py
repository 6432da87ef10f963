"""A folder that only its folders of images label: prepared and trained on as one with metadata, in either layout."""

import json
import shutil
from pathlib import Path

import pytest
from published import prepared

from clearctl import layout, make_fewshot, prepare_avalanche, rebuild_by_metadata, train, verify
from clearctl.dataset import image_folders
from clearctl.dataset.labeled import read_index, read_labeled_bucket
from clearctl.dataset.release import read_release
from clearctl.errors import DatasetError
from clearctl.progress import Message


def expected_lines(root: Path, bucket: str, class_names: list[str], prefix: str = "") -> list[str]:
    """By class index, then by the characters of the file names."""
    lines = []
    for number, name in enumerate(class_names):
        place = f"labeled_images/{bucket}/{name}"
        lines += [f"{prefix}{place}/{file} {number}" for file in sorted(path.name for path in (root / place).iterdir())]
    return lines


def lines_of(root: Path, bucket: str) -> list[str]:
    return layout.filelist_file(root, bucket).read_text().split("\n")


def messages(reported: list) -> list[str]:
    return [message.text for message in reported if isinstance(message, Message)]


@pytest.mark.parametrize("named", [True, False], ids=["class_names.txt", "no class_names.txt"])
def test_prepared_in_a_fixed_order(named, image_folder, tmp_path):
    root = image_folder(named=named, buckets=("10", "9"), images={"apple": 5})
    reported = []
    result = prepare_avalanche(root, seeds=[0], listener=reported.append)
    names = ["zebra", "apple", "cup of tea"] if named else ["apple", "cup of tea", "zebra"]
    assert result.buckets == ("9", "10")
    assert result.images_per_bucket == {"9": 19, "10": 19}
    assert [lines_of(root, bucket) for bucket in result.buckets] == [
        expected_lines(root, bucket, names) for bucket in result.buckets
    ]
    assert layout.read_class_names(root) == names
    assert (root / "training_folder/class_names.txt").exists() is not named
    assert (root / "class_names.txt").exists() is named
    said = [f"{root} has no labeled_metadata.json: images are listed by class and file name"]
    if not named:
        said.append("no class_names.txt: classes are numbered by the names of their folders, sorted")
    assert messages(reported) == said
    again = prepare_avalanche(root, seeds=[0])
    assert (again.written, again.unchanged) == (0, result.written)
    # A copy, whose folders list their files in another order perhaps, gives the same bytes.
    copy = tmp_path / "copy"
    for file in sorted(root.glob("labeled_images/*/*/*"), reverse=True):
        (copy / file.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy / file.relative_to(root))
    if named:
        shutil.copy(root / "class_names.txt", copy)
    prepare_avalanche(copy, seeds=[0])
    assert prepared(copy) == prepared(root)


def test_known_bytes(tmp_path):
    """Hidden files, what is no image and folders do not count; suffixes do in any case; ids are names."""
    files = ("b.JPG", "B.png", "10.webp", "9.jpeg", "._b.JPG", ".DS_Store", "notes.txt", "jpg", "more.jpg/x.jpg")
    for name in files:
        file = tmp_path / "labeled_images/3/tea" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (tmp_path / "labeled_images/3/tea/gone.gif").symlink_to("nowhere")
    (tmp_path / "labeled_images/3/.ipynb_checkpoints").mkdir()
    (tmp_path / "labeled_images/.cache").mkdir()
    (tmp_path / "labeled_images/readme.md").touch()
    images = read_labeled_bucket(tmp_path, "3", check_images=False)
    assert [(image.id, image.path) for image in images] == [
        (name.split(".")[0], f"labeled_images/3/tea/{name}")
        for name in ("10.webp", "9.jpeg", "B.png", "b.JPG", "gone.gif")
    ]
    with pytest.raises(DatasetError, match=r"gone\.gif is missing \(bucket 3, class 'tea'\)"):
        read_labeled_bucket(tmp_path, "3")
    assert image_folders.others(tmp_path) == [
        "labeled_images/3/tea/jpg",
        "labeled_images/3/tea/more.jpg",
        "labeled_images/3/tea/notes.txt",
        "labeled_images/readme.md",
    ]


def test_metadata_goes_before_folders(clear_folder):
    root = clear_folder(images=3)
    before = prepared_bytes(root)
    (root / "labeled_images/1/camera/0.jpg").write_bytes(b"not listed")
    (root / "labeled_images/1/other").mkdir()
    shutil.rmtree(root / "training_folder")
    assert prepared_bytes(root) == before
    shutil.rmtree(root / "training_folder")
    (root / "labeled_metadata.json").unlink()
    with pytest.raises(DatasetError, match="no labeled_metadata.json, the index of its labeled_metadata/"):
        prepare_avalanche(root)


def prepared_bytes(root: Path) -> dict[str, bytes]:
    prepare_avalanche(root, seeds=[0])
    return prepared(root)


# The later release


@pytest.fixture
def image_only(image_folder, tmp_path):
    """The later release: bucket 0 in test/ alone; `names` are the parts that have a class_names.txt."""

    def make(*names: str) -> Path:
        root = tmp_path / "later"
        image_folder("later/train_image_only", "train_image_only" in names, images={("1", "apple"): 0}, buckets="12")
        image_folder("later/test", "test" in names, images=3, buckets="012", first_id=5_000_000)
        return root

    return make


@pytest.mark.parametrize(
    "names", [("train_image_only", "test"), ("train_image_only",), ("test",), ()], ids=["both", "train", "test", "none"]
)
def test_the_image_only_release(names, image_only):
    root = image_only(*names)
    expected = ["zebra", "apple", "cup of tea"] if names else ["apple", "cup of tea", "zebra"]
    reported = []
    result = prepare_avalanche(root, listener=reported.append)
    assert result.published_split
    assert result.buckets == ("1", "2")
    assert layout.read_class_names(root) == expected
    for bucket in result.buckets:
        there = [name for name in expected if (root / f"train_image_only/labeled_images/{bucket}/{name}").is_dir()]
        train_lines = [
            f"{line.rpartition(' ')[0]} {expected.index(there[int(line.rpartition(' ')[2])])}"
            for line in expected_lines(root / "train_image_only", bucket, there, "train_image_only/")
        ]
        assert lines_of(root, bucket) == train_lines + expected_lines(root / "test", bucket, expected, "test/")
    assert "left out because not in both train and test: bucket 0" in messages(reported)
    make_fewshot(root, shot=2, buckets=["2"])
    checked = verify(root)
    assert checked.sound
    assert checked.parts == ("train_image_only", "test")
    assert checked.images_per_bucket_and_class["1"] == {
        name: {"zebra": 10, "apple": 3, "cup of tea": 10}[name] for name in expected
    }


def test_one_part_with_metadata(later_folder, image_folder):
    root = later_folder()
    before = prepared_bytes_of_release(root)
    shutil.rmtree(root / "test/labeled_metadata")
    (root / "test/labeled_metadata.json").unlink()
    (root / "test/class_names.txt").unlink()
    shutil.rmtree(root / "training_folder")
    after = prepared_bytes_of_release(root)
    assert after.keys() == before.keys()
    train_only = [line for line in lines_of(root, "1") if line.startswith("train/")]
    assert before["filelists/1/all.txt"].decode().split("\n")[: len(train_only)] == train_only
    assert sorted(before["filelists/1/all.txt"].split(b"\n")) == sorted(after["filelists/1/all.txt"].split(b"\n"))


def prepared_bytes_of_release(root: Path) -> dict[str, bytes]:
    prepare_avalanche(root)
    return prepared(root)


def test_a_train_folder_beside_labelled_images(image_folder):
    """The folder that is labelled is the one that counts."""
    root = image_folder(images=3)
    (root / "train").mkdir()
    assert layout.labeled_folders(root) == [root]
    image_folder("images/train", images=3)
    with pytest.raises(DatasetError, match="has train/ but no test/"):
        layout.labeled_folders(root)


# What stands on it


@pytest.mark.parametrize("named", [True, False], ids=["class_names.txt", "no class_names.txt"])
def test_from_the_folders_to_a_run(named, image_folder, tiny_config, tmp_path):
    root = image_folder(named=named, images=8, size_px=16)
    prepare_avalanche(root, seeds=[0])
    make_fewshot(root, shot=2)
    result = train(
        tiny_config,
        device="cpu",
        work_dir=tmp_path / "runs",
        dataset_root=root,
        overrides=["cl_strategy.train_epochs=1", "scenario.buckets=['0', '1']"],
    )
    written = json.loads((result.run / "environment.json").read_text())["dataset"]["class_names"]
    assert written == (["zebra", "apple", "cup of tea"] if named else ["apple", "cup of tea", "zebra"])


def test_class_folders_that_come_later(image_folder):
    root = image_folder(named=False, images=4)
    prepare_avalanche(root, seeds=[0])
    for bucket in "012":
        shutil.copytree(root / f"labeled_images/{bucket}/zebra", root / f"labeled_images/{bucket}/bus")
    with pytest.raises(DatasetError, match="all.txt already exists, with different contents"):
        prepare_avalanche(root, seeds=[0])
    prepare_avalanche(root, seeds=[0], force=True)
    assert layout.read_class_names(root) == ["apple", "bus", "cup of tea", "zebra"]


def test_rebuild_needs_metadata(image_folder, tmp_path):
    root = image_folder(images=3)
    with pytest.raises(DatasetError) as caught:
        rebuild_by_metadata(root, tmp_path / "new", where="bucket > 0")
    assert str(caught.value) == (
        f"{root}/labeled_metadata.json is missing: rebuild-by-metadata sorts and filters by this metadata"
    )
    assert not (tmp_path / "new").exists()


def test_equal_names_in_several_classes_and_buckets(image_folder):
    """As in folders of one's own: 0.jpg, 1.jpg, ... everywhere."""
    root = image_folder(images=4)
    for folder in root.glob("labeled_images/*/*"):
        for number, file in enumerate(sorted(folder.iterdir())):
            file.rename(folder / f"{number}.jpg")
    prepare_avalanche(root, seeds=[0])
    result = verify(root, images=True)
    assert result.sound
    assert [finding.text for finding in result.findings] == [
        "labeled_metadata.json: no such file: the images are labelled by their folders only",
        "4 file names are in several buckets or parts, such as 0.jpg in bucket 0, class 'cup of tea', and in bucket"
        " 1, class 'cup of tea'; --images compares contents",
        *[finding.text for finding in result.findings if finding.check == "images"],
    ]


# Faults


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda root: (root / "labeled_images/extra").mkdir(),
            "labeled_images: the bucket name 'extra' is not a",
        ),
        (
            lambda root: (root / "labeled_images/01").mkdir(),
            "labeled_images: the buckets '01' and '1' are the same",
        ),
        (
            lambda root: (root / "labeled_images/1/bus").mkdir(),
            "labeled_images: class 'bus' of bucket 1 is not in class_names.txt",
        ),
        (
            lambda root: (root / "labeled_images/1/a\nb").mkdir(),
            "labeled_images: class 'a\\nb' of bucket 1 is not in class_names.txt",
        ),
        (lambda root: (root / "labeled_images/7").mkdir(), "labeled_images: bucket 7 has no images"),
        (
            lambda root: (root / "labeled_images/1/apple/a\nb.jpg").touch(),
            "labeled_images/1/apple: image 'a\\nb' has an IMG_PATH that contains a line end",
        ),
        (
            lambda root: [(root / "labeled_images/1/apple" / name).touch() for name in ("5.jpg", "5.png")],
            "labeled_images/1/apple: 5.jpg and 5.png have the same id, '5': rename one (bucket 1, class 'apple')",
        ),
        (
            lambda root: (
                (root / "labeled_images/1/apple").rename(root.parent / "elsewhere")
                and (root / "labeled_images/1/apple").symlink_to(root.parent / "elsewhere")
            ),
            "labeled_images: 'labeled_images/1/apple' is outside the folder (bucket 1, class 'apple')",
        ),
        (lambda root: (root / "class_names.txt").write_text("apple\n\nzebra"), "class_names.txt, line 2 is empty"),
    ],
)
def test_faults_are_named(change, message, image_folder):
    root = image_folder(images=2)
    change(root)
    with pytest.raises(DatasetError) as caught:
        prepare_avalanche(root, test_ratio=0)
    assert str(caught.value).startswith(f"{root}/{message}")
    assert not (root / "training_folder").exists()
    result = verify(root)
    faults = [finding.text for finding in result.findings if finding.severity == "fault"]
    assert len(faults) == 1
    assert message.split(":")[0].split(",")[0] in faults[0]


def test_verify_says_what_it_leaves_out(image_folder):
    root = image_folder(named=False, images=2)
    prepare_avalanche(root, test_ratio=0)
    (root / "labeled_images/1/apple/._x.jpg").touch()
    (root / "labeled_images/1/apple/notes.txt").touch()
    (root / "labeled_images/1/apple/more").mkdir()
    result = verify(root)
    assert [(finding.severity, finding.check, finding.text) for finding in result.findings] == [
        ("note", "structure", "labeled_metadata.json: no such file: the images are labelled by their folders only"),
        ("note", "class names", "no class_names.txt: classes are numbered by the names of their folders, sorted"),
        (
            "note",
            "metadata",
            "labeled_images: 2 of its files and folders are not images, such as labeled_images/1/apple/more: ignored",
        ),
    ]
    assert [(check.looked_at, check.unit) for check in result.checks if check.name == "metadata"] == [(9, "folders")]


def test_verify_compares_the_file_lists_with_the_folders(image_folder):
    root = image_folder(images=4)
    prepare_avalanche(root, seeds=[0])
    next((root / "labeled_images/1/apple").iterdir()).unlink()
    (root / "labeled_images/1/apple/new.jpg").touch()
    faults = [finding.text for finding in verify(root).findings if finding.severity == "fault"]
    assert any("1 line with an image that labeled_images/ does not have in this bucket" in text for text in faults)
    assert any("1 line missing, such as that of labeled_images/1/apple/new.jpg" in text for text in faults)
    shutil.rmtree(root / "labeled_images/2")
    faults = [finding.text for finding in verify(root).findings if finding.severity == "fault"]
    assert any("bucket_indices.json: bucket 2, which labeled_images does not have" in text for text in faults)


def test_index_of_a_part_takes_the_names_of_the_release(image_only):
    root = image_only("test")
    parts = read_release(root).parts
    assert [part.index.class_names for part in parts] == [("zebra", "apple", "cup of tea")] * 2
    assert [part.index.has_metadata for part in parts] == [False, False]
    assert read_index(root / "train_image_only").class_names == ("apple", "cup of tea", "zebra")
    assert list(parts[1].index.class_files["1"]) == ["zebra", "apple", "cup of tea"]
