"""Where things lie, and how the small files of a dataset folder are read."""

from pathlib import Path

import pytest

from clearctl import layout
from clearctl.errors import DatasetError

ROOT = Path("data")


def test_paths_are_those_of_the_public_layout():
    folder = ROOT / "training_folder"
    assert layout.class_names_file(ROOT) == ROOT / "class_names.txt"
    assert layout.labeled_metadata_file(ROOT) == ROOT / "labeled_metadata.json"
    assert layout.bucket_indices_file(ROOT) == folder / "bucket_indices.json"
    assert layout.filelist_file(ROOT, "10") == folder / "filelists/10/all.txt"
    assert layout.ratio_split_folder(ROOT, 0.3, 4) == folder / "testset_ratio_0.3/split_4"
    assert layout.shot_split_folder(ROOT, 5, 0) == folder / "5_shot/split_0"
    assert layout.features_file(ROOT, "resnet50", "1") == folder / "features/resnet50/1/all.pth"


@pytest.mark.parametrize(("value", "expected"), [(None, "dataset/CLEAR-10-PUBLIC"), ("", "dataset/CLEAR-10-PUBLIC")])
def test_default_root_without_the_variable(monkeypatch, value, expected):
    monkeypatch.delenv("CLEARCTL_DATASET_ROOT", raising=False)
    if value is not None:
        monkeypatch.setenv("CLEARCTL_DATASET_ROOT", value)
    assert layout.default_root() == Path(expected)


def test_default_root_from_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("CLEARCTL_DATASET_ROOT", str(tmp_path))
    assert layout.default_root() == tmp_path


def test_require_root(tmp_path):
    layout.require_root(tmp_path)
    with pytest.raises(DatasetError, match="found nothing"):
        layout.require_root(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="found a file"):
        layout.require_root(tmp_path / "file")


def test_require_clear_names_what_is_missing(tmp_path, clear_folder):
    layout.require_clear(clear_folder(images=1))
    nothing = r"has no labeled_metadata\.json and no labeled_images/<bucket>/<class>/\n"
    with pytest.raises(DatasetError, match=nothing):
        layout.require_clear(tmp_path)
    (tmp_path / "labeled_images/unsorted").mkdir(parents=True)
    with pytest.raises(DatasetError, match=nothing):
        layout.require_clear(tmp_path)
    (tmp_path / "labeled_images/1").mkdir()
    layout.require_clear(tmp_path)
    (tmp_path / "labeled_metadata").mkdir()
    with pytest.raises(DatasetError, match=r"no labeled_metadata\.json, the index of its labeled_metadata/: was the"):
        layout.require_clear(tmp_path)
    (tmp_path / "labeled_metadata.json").touch()
    with pytest.raises(DatasetError, match=r"has no class_names\.txt\n"):
        layout.require_clear(tmp_path)


def test_class_names_are_those_of_the_release_else_of_its_preparation(tmp_path):
    with pytest.raises(DatasetError, match=f"{tmp_path}/class_names.txt is missing"):
        layout.read_class_names(tmp_path)
    layout.training_folder(tmp_path).mkdir()
    layout.prepared_class_names_file(tmp_path).write_text("b\na")
    assert layout.read_class_names(tmp_path) == ["b", "a"]
    for place in ("test", "train_image_only"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "class_names.txt").write_text(place)
        assert layout.read_class_names(tmp_path) == [place]


def test_a_folder_that_cannot_be_looked_into(tmp_path, monkeypatch):
    layout.labeled_images_folder(tmp_path).mkdir()

    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("os.listdir", refuse)
    with pytest.raises(DatasetError, match="labeled_images cannot be read: Permission denied"):
        layout.is_labeled(tmp_path)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_class_names_with_and_without_a_last_newline(tmp_path, end):
    (tmp_path / "class_names.txt").write_bytes(f"BACKGROUND\ncup of tea\ncamera{end}".encode())
    assert layout.read_class_names(tmp_path) == ["BACKGROUND", "cup of tea", "camera"]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    """Editors of Windows write one: the first class, image or key would silently be another."""
    (tmp_path / "class_names.txt").write_text("cat\ndog", encoding="utf-8-sig")
    (tmp_path / "all.txt").write_text("images/a.jpg 1", encoding="utf-8-sig")
    (tmp_path / "one.json").write_text('{"1": 2}', encoding="utf-8-sig")
    assert layout.read_class_names(tmp_path) == ["cat", "dog"]
    assert layout.read_filelist(tmp_path / "all.txt") == [("images/a.jpg", 1)]
    assert layout.read_json(tmp_path / "one.json") == {"1": 2}


def test_class_names_keep_characters_that_splitlines_would_cut_at(tmp_path):
    (tmp_path / "class_names.txt").write_bytes("a\u2028b\nc\x0cd".encode())
    assert layout.read_class_names(tmp_path) == ["a\u2028b", "c\x0cd"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a\n\nb", "line 2 is empty"),
        ("", "line 1 is empty"),
        ("a\n\n", "line 2 is empty"),
        ("a\nb\na", "'a' twice"),
    ],
)
def test_bad_class_names(tmp_path, text, fault):
    (tmp_path / "class_names.txt").write_text(text)
    with pytest.raises(DatasetError, match=fault) as error:
        layout.read_class_names(tmp_path)
    assert str(tmp_path / "class_names.txt") in str(error.value)


def test_read_text_faults_name_the_file(tmp_path):
    with pytest.raises(DatasetError, match="none is missing"):
        layout.read_text(tmp_path / "none")
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(DatasetError, match="latin cannot be read"):
        layout.read_text(tmp_path / "latin")
    with pytest.raises(DatasetError, match="cannot be read"):
        layout.read_text(tmp_path)


def test_read_json(tmp_path):
    (tmp_path / "a.json").write_text('{"b": [1]}')
    assert layout.read_json(tmp_path / "a.json") == {"b": [1]}
    (tmp_path / "a.json").write_text('{"b": [1')
    with pytest.raises(DatasetError, match=r"a\.json is not JSON"):
        layout.read_json(tmp_path / "a.json")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_bucket_indices(tmp_path):
    write(layout.bucket_indices_file(tmp_path), '["0", "9", "10"]')
    assert layout.read_bucket_indices(tmp_path) == ["0", "9", "10"]


@pytest.mark.parametrize(
    ("content", "reported"),
    [('["a"]', "'a' is not a number"), ('["0", "0"]', "'0' is listed twice"), ('["\\ud800"]', "not a")],
)
def test_names_in_bucket_indices(tmp_path, content, reported):
    write(layout.bucket_indices_file(tmp_path), content)
    with pytest.raises(DatasetError, match=reported):
        layout.read_bucket_indices(tmp_path)


@pytest.mark.parametrize("content", ["[]", "[0, 1]", '{"0": 1}', '"0"'])
def test_bad_bucket_indices(tmp_path, content):
    write(layout.bucket_indices_file(tmp_path), content)
    with pytest.raises(DatasetError, match="expected a list of bucket names"):
        layout.read_bucket_indices(tmp_path)


def test_bucket_indices_of_a_folder_that_is_not_prepared(tmp_path, clear_folder):
    with pytest.raises(DatasetError, match="clearctl prepare-avalanche"):
        layout.read_bucket_indices(clear_folder(images=1))
    with pytest.raises(DatasetError, match="not a CLEAR folder"):
        layout.read_bucket_indices(tmp_path)


def test_filelist_with_spaces_in_paths(tmp_path):
    path = write(tmp_path / "all.txt", "images/cup of tea/1.jpg 2\nimages/a/2.jpg 10\n")
    assert layout.read_filelist(path) == [("images/cup of tea/1.jpg", 2), ("images/a/2.jpg", 10)]


@pytest.mark.parametrize("line", ["images/a.jpg", "images/a.jpg x", "images/a.jpg -1", ""])
def test_bad_line_of_a_filelist(tmp_path, line):
    path = write(tmp_path / "all.txt", f"images/a.jpg 1\n{line}\nimages/b.jpg 1")
    with pytest.raises(DatasetError, match=r"all\.txt, line 2: expected `path class-index`"):
        layout.read_filelist(path)


def test_empty_filelist(tmp_path):
    with pytest.raises(DatasetError, match="lists no images"):
        layout.read_filelist(write(tmp_path / "all.txt", "\n"))


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 100_000])
def test_json_that_python_itself_refuses(tmp_path, text):
    with pytest.raises(DatasetError, match=r"a\.json is not JSON"):
        layout.read_json(write(tmp_path / "a.json", text))


def test_a_class_index_of_thousands_of_digits(tmp_path):
    with pytest.raises(DatasetError, match="line 1: expected `path class-index`"):
        layout.read_filelist(write(tmp_path / "all.txt", f"images/a.jpg {'1' * 5000}"))


@pytest.mark.parametrize(
    ("name", "is_one"), [("0", True), ("10", True), ("", False), ("²", False), ("-1", False), ("1" * 5000, False)]
)
def test_names_of_buckets(name, is_one):
    assert layout.is_bucket_name(name) is is_one


def test_labeled_folders_of_either_layout(clear_folder, later_folder):
    root = clear_folder(images=1)
    assert layout.labeled_folders(root) == [root]
    root = later_folder(images=1)
    assert layout.labeled_folders(root) == [root / "train", root / "test"]
    assert layout.class_names_file(root) == root / "train/class_names.txt"
    (root / "train").rename(root / "train_image_only")
    assert layout.labeled_folders(root) == [root / "train_image_only", root / "test"]
