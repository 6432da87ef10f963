"""`import_images` on folders and tables as people have them, to the metadata that the other commands read."""

import csv
import json
import os
import shutil
import stat
import unicodedata
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sources import dated_photos, photo

from clearctl import import_images, layout, prepare_avalanche, rebuild_by_metadata, verify
from clearctl.dataset.files import dataset_lock
from clearctl.dataset.import_images import ImportResult
from clearctl.errors import CapabilityError, DatasetError, UsageError
from clearctl.progress import Event, Message

Records = dict[str, dict[str, object]]


def records(root: Path) -> Records:
    """{path in the source: its record} of all buckets of a labelled folder."""
    index = json.loads(layout.labeled_metadata_file(root).read_text())
    files = [root / path for classes in index.values() for path in classes.values()]
    return {record["SOURCE_PATH"]: record for file in files for record in json.loads(file.read_text()).values()}


def buckets(result: ImportResult) -> list[tuple[str, int]]:
    counts = result.images_per_bucket_and_class
    return [(bucket.name, sum(counts[bucket.number].values())) for bucket in result.buckets]


def snapshot(root: Path) -> dict[str, object]:
    """Every file and link below a folder, with what it holds and when it was changed."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(root))] = os.readlink(path)
        elif path.is_file():
            found[str(path.relative_to(root))] = path.read_bytes(), path.stat().st_mtime_ns
    return found


class Heard(list[str]):
    """A listener that keeps the messages."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, Message):
            self.append(("warning: " if event.warning else "") + event.text)


@pytest.fixture
def heard() -> Heard:
    return Heard()


def write_csv(file: Path, rows: Iterable[Iterable[object]], delimiter: str = ",") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened, delimiter=delimiter).writerows(rows)
    return file


# --- folders


def test_buckets_of_folders(tmp_path: Path) -> None:
    """Years in natural order; names with spaces and of any script; what is no photograph passed over."""
    source = tmp_path / "my photos"
    for year in ("2004", "2010", "9"):
        for name in ("cup of tea", "猫", unicodedata.normalize("NFD", "Bär")):
            for number in (1, 2):
                photo(source / year / name / f"IMG {number}.JPG")
    (source / "2004" / "猫" / ".DS_Store").touch()
    (source / "2004" / "猫" / "._IMG 1.JPG").touch()
    (source / "2004" / "猫" / "Thumbs.db").touch()
    (source / ".git" / "x").mkdir(parents=True)
    photo(source / ".git" / "x" / "a.jpg")
    (source / "empty" / "folder").mkdir(parents=True)
    before = snapshot(source)
    result = import_images(source, tmp_path / "own")
    assert result.layout == "bucket/class"
    assert buckets(result) == [("9", 6), ("2004", 6), ("2010", 6)]
    assert result.class_names == ("Bär", "cup of tea", "猫")
    assert result.left_out == {}
    assert result.written == 18
    assert snapshot(source) == before
    assert layout.class_names_file(tmp_path / "own").read_text(encoding="utf-8") == "Bär\ncup of tea\n猫"
    link = next((tmp_path / "own/labeled_images/2/猫").iterdir())
    assert link.suffix == ".jpg"
    assert not os.path.isabs(os.readlink(link))
    assert link.resolve().parent == (source / "2004" / "猫").resolve()
    verified = verify(tmp_path / "own", images=True)
    assert verified.sound
    assert verified.images_per_bucket_and_class == result.images_per_bucket_and_class
    note = json.loads((tmp_path / "own/dataset.json").read_text())
    assert note["source"] == str(source)
    assert [each["name"] for each in note["buckets"].values()] == ["9", "2004", "2010"]


def test_dates_of_named_buckets(tmp_path: Path, heard: Heard) -> None:
    photo(tmp_path / "in/2004/cat/a.jpg", datetime(2004, 7, 1, 10))
    photo(tmp_path / "in/2004/cat/b.jpg")
    photo(tmp_path / "in/2005/cat/c.jpg", datetime(2012, 1, 1))  # scanned, say
    import_images(tmp_path / "in", tmp_path / "own", listener=heard)
    found = {path: (record["DATE_TAKEN"], record["DATE_FROM"]) for path, record in records(tmp_path / "own").items()}
    assert found == {
        "2004/cat/a.jpg": ("2004-07-01 10:00:00.0", "exif"),
        "2004/cat/b.jpg": ("2004-01-01 00:00:00.0", "bucket"),
        "2005/cat/c.jpg": ("2005-01-01 00:00:00.0", "bucket"),
    }
    assert any("1 date outside the time in the bucket's name" in text for text in heard)


def test_buckets_of_other_names_and_their_order(tmp_path: Path) -> None:
    for name in ("autumn", "spring", "summer"):
        photo(tmp_path / "in" / name / "cat" / "a.jpg")
    result = import_images(tmp_path / "in", tmp_path / "own", order=["spring", "summer", "autumn"])
    assert [bucket.name for bucket in result.buckets] == ["spring", "summer", "autumn"]
    assert "DATE_TAKEN" not in next(iter(records(tmp_path / "own").values()))
    with pytest.raises(DatasetError, match="--order lacks summer"):
        import_images(tmp_path / "in", tmp_path / "other", order=["spring", "autumn"])


def test_classes_with_exif(tmp_path: Path) -> None:
    result = import_images(dated_photos(tmp_path / "in"), tmp_path / "own")
    assert result.layout == "class"
    assert buckets(result) == [("2004", 8), ("2005", 8), ("2006", 8)]
    assert {record["DATE_FROM"] for record in records(tmp_path / "own").values()} == {"exif"}
    by_month = import_images(tmp_path / "in", tmp_path / "months", bucket_by="month")
    assert len(by_month.buckets) == 12
    by_count = import_images(tmp_path / "in", tmp_path / "five", bucket_by=5)
    assert [count for _, count in buckets(by_count)] == [5, 5, 5, 5, 4]
    by_time = import_images(tmp_path / "in", tmp_path / "time", bucket_by="5", equal="time")
    assert sum(count for _, count in buckets(by_time)) == 24


def test_dates_in_names(tmp_path: Path) -> None:
    for year in (2004, 2005):
        photo(tmp_path / f"in/cat/IMG_{year}0531_1.jpg", datetime(1999, 1, 1))  # the clock of the camera was wrong
    result = import_images(tmp_path / "in", tmp_path / "own", date_pattern="IMG_%Y%m%d")
    assert buckets(result) == [("2004", 1), ("2005", 1)]
    assert {record["DATE_FROM"] for record in records(tmp_path / "own").values()} == {"name"}


def test_images_without_a_date(tmp_path: Path, heard: Heard) -> None:
    source = dated_photos(tmp_path / "in")
    photo(source / "cat/zeros.jpg", "0000:00:00 00:00:00")
    photo(source / "cat/none.jpg")
    photo(source / "cat/old.jpg", datetime(1890, 1, 1))
    photo(source / "cat/future.jpg", datetime.now() + timedelta(days=400))
    with pytest.raises(
        DatasetError, match=r"4 of 28 images cannot be dated: .*future.*\n--undated skip leaves them out"
    ):
        import_images(source, tmp_path / "own")
    assert not (tmp_path / "own").exists()
    result = import_images(source, tmp_path / "own", undated="skip", listener=heard)
    assert sum(count for _, count in buckets(result)) == 24
    assert {why: len(names) for why, names in result.left_out.items()} == {
        "with a date in the future": 1,
        "without EXIF DateTimeOriginal": 1,
        "with a date before 1900": 1,
        "with an invalid EXIF date": 1,
    }
    assert "warning: left out: 1 file without EXIF DateTimeOriginal: cat/none.jpg" in heard
    shutil.rmtree(source)
    photo(source / "cat/none.jpg")
    with pytest.raises(DatasetError, match=r"1 of 1 image cannot be dated.*\n--date-pattern"):
        import_images(source, tmp_path / "other", undated="skip")


def test_files_that_cannot_be_used_are_listed(tmp_path: Path, heard: Heard) -> None:
    source = dated_photos(tmp_path / "in")
    whole = photo(source / "cat/cut.jpg", datetime(2004, 1, 1), size_px=200)
    whole.write_bytes(whole.read_bytes()[: len(whole.read_bytes()) * 2 // 3])
    (source / "cat/text.png").write_text("<html>404</html>")
    (source / "cat/empty.jpg").touch()
    (source / "cat/phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (source / "cat/gone.jpg").symlink_to("nowhere.jpg")
    (source / "readme.txt").touch()
    result = import_images(source, tmp_path / "own", listener=heard)
    assert result.left_out["of a format that clearctl does not decode"] == ["cat/phone.HEIC"]
    assert result.left_out["without the suffix of an image"] == ["readme.txt"]
    unusable = result.left_out["that cannot be used"]
    assert [name.split(" ")[0] for name in unusable] == ["cat/cut.jpg", "cat/empty.jpg", "cat/gone.jpg", "cat/text.png"]
    assert "truncated" in unusable[0]
    assert sum(count for _, count in buckets(result)) == 24
    assert any(text.startswith("left out: 1 file without the suffix of an image") for text in heard)
    assert any(text.startswith("warning: left out: 4 files that cannot be used") for text in heard)
    trusting = import_images(source, tmp_path / "trusting", decode=False)
    assert [name.split(" ")[0] for name in trusting.left_out["that cannot be used"]] == [
        "cat/empty.jpg",
        "cat/gone.jpg",
        "cat/text.png",
    ]


def test_the_same_bytes(tmp_path: Path, heard: Heard) -> None:
    source = tmp_path / "in"
    for year in ("2004", "2005", "2006"):
        photo(source / year / "cat" / f"{year}.jpg")
    shutil.copy(source / "2004/cat/2004.jpg", source / "2006/cat/again.jpg")
    kept = import_images(source, tmp_path / "kept", listener=heard)
    assert kept.duplicates == (("2004/cat/2004.jpg", "2006/cat/again.jpg"),)
    assert (
        "warning: 1 content in several files, 1 of them in several buckets: 2004/cat/2004.jpg = 2006/cat/again.jpg; "
        "--duplicates first keeps one of each"
    ) in heard
    assert not verify(tmp_path / "kept", images=True).sound
    first = import_images(source, tmp_path / "first", duplicates="first")
    assert buckets(first) == [("2004", 1), ("2005", 1), ("2006", 1)]
    assert first.left_out == {"with the bytes of an earlier one": ["2006/cat/again.jpg"]}
    assert verify(tmp_path / "first", images=True).sound


def test_names_that_come_again_and_names_that_no_folder_may_have(tmp_path: Path, heard: Heard) -> None:
    rows = [("path", "label", "date")]
    for number, label in enumerate(("animals/cat", "animals_cat", " animals_cat", "..", "Dog", "dog")):
        photo(tmp_path / f"in/{number}/IMG_1.jpg")
        rows.append((f"{number}/IMG_1.jpg", label, 2004))
    result = import_images(write_csv(tmp_path / "in/table.csv", rows), tmp_path / "own", listener=heard)
    assert result.labels == {
        "Dog": ("Dog",),
        "_": ("..",),
        "animals_cat": ("animals_cat",),
        "animals_cat_2": ("animals/cat",),
        "dog": ("dog",),
    }
    assert "2 labels renamed: '..' as '_', 'animals/cat' as 'animals_cat_2'" in heard
    assert "warning: classes that differ only in case, and stay apart: Dog and dog" in heard
    assert len({record["ID"] for record in records(tmp_path / "own").values()}) == 6
    assert verify(tmp_path / "own", images=True).sound


def test_rare_classes(tmp_path: Path, heard: Heard) -> None:
    source = dated_photos(tmp_path / "in", each=4)
    photo(source / "emu/a.jpg", datetime(2004, 1, 1))
    import_images(source, tmp_path / "own", listener=heard)
    assert "warning: 1 class with fewer than 10 images: emu (1); --min-per-class leaves such out" in heard
    result = import_images(source, tmp_path / "two", min_per_class=2)
    assert result.class_names == ("cat", "dog")
    assert result.left_out == {"of the class 'emu', which has 1 image": ["emu/a.jpg"]}
    with pytest.raises(DatasetError, match="--min-per-class 20: the largest class has 12 images"):
        import_images(source, tmp_path / "none", min_per_class=20)


def test_links_to_folders(tmp_path: Path) -> None:
    for year in ("2004", "2005"):
        photo(tmp_path / f"disk/{year}/cat/a.jpg")
    (tmp_path / "in").mkdir()
    for year in ("2004", "2005"):
        (tmp_path / "in" / year).symlink_to(tmp_path / "disk" / year)
    (tmp_path / "disk/2004/cat/up").symlink_to("..")  # a loop
    result = import_images(tmp_path / "in", tmp_path / "own")
    assert buckets(result) == [("2004", 1), ("2005", 1)]
    image = next((tmp_path / "own/labeled_images/1/cat").iterdir())
    assert image.resolve() == (tmp_path / "disk/2004/cat/a.jpg").resolve()


@pytest.mark.parametrize(
    ("given", "files", "names"),
    [
        ("class/bucket", ["cat/2004/a.jpg", "cat/2005/b.jpg"], ["2004", "2005"]),
        ("class", ["cat/garden/a.jpg", "cat/b.jpg"], ["2004"]),
        ("bucket/class/image", ["2004/cat/x/a.jpg", "2004/cat/b.jpg"], ["2004"]),
    ],
)
def test_layouts_that_are_named(tmp_path: Path, given: str, files: list[str], names: list[str]) -> None:
    for file in files:
        photo(tmp_path / "in" / file, datetime(2004, 1, 1))
    result = import_images(tmp_path / "in", tmp_path / "own", layout=given)
    assert [bucket.name for bucket in result.buckets] == names
    assert result.class_names == ("cat",)
    assert result.written == len(files)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["cat/a.jpg", "cat/x/b.jpg"], r"images are at several depths: 1 at depth 1: cat/a.jpg; 1 at depth 2"),
        (["a.jpg"], r"images are 0 folders deep, such as a.jpg: expected class/image"),
        (["1/2/3/4/a.jpg"], r"images are 4 folders deep, such as 1/2/3/4/a.jpg"),
        (["train/cat/a.jpg", "test/cat/b.jpg", "new/cat/c.jpg"], r"has test, train next to new"),
        (["notes.txt"], r"has no images: found 1 file without the suffix of an image: notes.txt"),
        ([".hidden.jpg"], r"has no images: found no file"),
    ],
)
def test_folders_that_are_not_understood(tmp_path: Path, files: list[str], message: str) -> None:
    for file in files:
        if file.endswith(".jpg"):
            photo(tmp_path / "in" / file)
        else:
            (tmp_path / "in").mkdir()
            (tmp_path / "in" / file).touch()
    with pytest.raises(DatasetError, match=message) as raised:
        import_images(tmp_path / "in", tmp_path / "own")
    assert len(str(raised.value).splitlines()) == 2


# --- train and test


@pytest.mark.parametrize("test_name", ["test", "val"])
def test_train_and_test_with_buckets(tmp_path: Path, test_name: str) -> None:
    """As CLEAR's later release: what is tested on is never trained on."""
    for part, each in (("train", 5), (test_name, 2)):
        for year in ("2004", "2005"):
            for name in ("cat", "dog"):
                for number in range(each):
                    photo(tmp_path / f"in/{part}/{year}/{name}/{number}.jpg")
    result = import_images(tmp_path / "in", tmp_path / "own")
    assert result.layout == "split/bucket/class"
    assert result.images_per_part == {"train": 20, "test": 8}
    assert verify(tmp_path / "own", images=True).sound
    prepared = prepare_avalanche(tmp_path / "own")
    assert prepared.published_split
    assert prepared.images_per_bucket == {"1": 14, "2": 14}
    split = layout.published_split_folder(tmp_path / "own")
    for bucket in ("1", "2"):
        for side, part in (("train", "train"), ("test", test_name)):
            listed = layout.read_filelist(split / bucket / f"{side}.txt")
            sources = {os.path.relpath((tmp_path / "own" / path).resolve(), tmp_path / "in") for path, _ in listed}
            assert all(source.startswith(f"{part}/") for source in sources)


def test_train_and_test_without_buckets(tmp_path: Path, heard: Heard) -> None:
    """As torchvision's ImageFolder has them, dated by EXIF: cut together."""
    dated_photos(tmp_path / "in/train", years=3)
    dated_photos(tmp_path / "in/test", years=2)
    result = import_images(tmp_path / "in", tmp_path / "own", listener=heard)
    assert result.layout == "split/class"
    assert buckets(result) == [("2004", 16), ("2005", 16), ("2006", 8)]
    assert "warning: bucket 3 (2006) has no test images: prepare-avalanche leaves it out" in heard
    assert prepare_avalanche(tmp_path / "own").buckets == ("1", "2")


def test_val_beside_test_is_left_out(tmp_path: Path) -> None:
    for part in ("train", "validation", "test"):
        photo(tmp_path / f"in/{part}/2004/cat/{part}.jpg")
    result = import_images(tmp_path / "in", tmp_path / "own")
    assert result.images_per_part == {"train": 1, "test": 1}
    assert result.left_out == {"of the split val, since there is a test": ["validation/2004/cat/validation.jpg"]}


def test_a_split_of_which_one_side_cannot_be_used(tmp_path: Path) -> None:
    photo(tmp_path / "in/train/2004/cat/a.jpg")
    photo(tmp_path / "in/test/2004/cat/b.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"no test image is left: 1 file that cannot be used: test/2004/cat/b.jpg"):
        import_images(tmp_path / "in", tmp_path / "own")


def test_an_order_names_a_bucket_that_has_no_sound_image(tmp_path: Path) -> None:
    photo(tmp_path / "in/old/cat/a.jpg").write_bytes(b"")
    for name in ("mid", "new"):
        photo(tmp_path / f"in/{name}/cat/{name}.jpg")
    result = import_images(tmp_path / "in", tmp_path / "own", order=["old", "mid", "new"])
    assert [(bucket.number, bucket.name) for bucket in result.buckets] == [("1", "mid"), ("2", "new")]


def test_a_test_image_that_is_trained_on_too(tmp_path: Path, heard: Heard) -> None:
    for part in ("train", "test"):
        photo(tmp_path / f"in/{part}/2004/cat/same.jpg", content="same")
        photo(tmp_path / f"in/{part}/2004/cat/{part}.jpg")
    import_images(tmp_path / "in", tmp_path / "kept", listener=heard)
    assert any("1 of them both in train and in test" in text for text in heard)
    result = import_images(tmp_path / "in", tmp_path / "own", duplicates="first")
    assert result.left_out == {"with the bytes of an earlier one": ["train/2004/cat/same.jpg"]}


# --- tables


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """A table of six images, as CSV, JSON, ...; `dates` are written as given."""

    def make(
        name: str, dates: Iterable[object] = range(2004, 2010), header: tuple[str, ...] = ("path", "label", "date")
    ):
        rows = []
        for number, date in enumerate(dates):
            photo(tmp_path / f"in/images/{number}.jpg")
            rows.append((f"images/{number}.jpg", ("cat", "dog")[number % 2], date))
        file = tmp_path / "in" / name
        if file.suffix in (".csv", ".tsv"):
            return write_csv(file, [header, *rows], "\t" if file.suffix == ".tsv" else ",")
        dicts = [dict(zip(header, row, strict=True)) for row in rows]
        if file.suffix == ".json":
            file.write_text(json.dumps(dicts))
        elif file.suffix == ".parquet":
            import pyarrow
            from pyarrow import parquet

            parquet.write_table(pyarrow.Table.from_pylist(dicts), file)
        else:
            file.write_text("".join(json.dumps(each) + "\n" for each in dicts))
        return file

    return make


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.json", "t.jsonl", "T.CSV"])
def test_tables(tmp_path: Path, table: Callable[..., Path], name: str) -> None:
    result = import_images(table(name.lower()), tmp_path / "own")
    assert result.layout == "table"
    assert [bucket.name for bucket in result.buckets] == [str(year) for year in range(2004, 2010)]
    assert result.class_names == ("cat", "dog")
    assert records(tmp_path / "own")["images/0.jpg"]["DATE_TAKEN"] == "2004-01-01 00:00:00.0"


def test_parquet(tmp_path: Path, table: Callable[..., Path]) -> None:
    pytest.importorskip("pyarrow")
    dates = [datetime(2004 + number, 5, 31) for number in range(6)]
    result = import_images(table("t.parquet", dates), tmp_path / "own")
    assert [bucket.name for bucket in result.buckets] == [str(year) for year in range(2004, 2010)]
    (tmp_path / "in/t.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(DatasetError, match="t.parquet cannot be read"):
        import_images(tmp_path / "in/t.parquet", tmp_path / "other")


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "t.parquet").touch()
    with pytest.raises(
        CapabilityError, match=r"reading parquet needs pyarrow, which is not installed\nrun `pip install pyarrow`"
    ):
        import_images(tmp_path / "t.parquet", tmp_path / "own")


def test_other_columns(tmp_path: Path, table: Callable[..., Path]) -> None:
    file = table("t.csv", header=("picture", "kind", "when"))
    with pytest.raises(
        DatasetError, match=r"no column for the path: found picture, kind, when; expected path, file_name"
    ):
        import_images(file, tmp_path / "own")
    with pytest.raises(DatasetError, match=r"no column 'pictures' .*; did you mean 'picture'\?\nit has picture, kind"):
        import_images(file, tmp_path / "own", columns={"path": "pictures"})
    with pytest.raises(UsageError, match=r"--columns paths=…: expected path, label, date, bucket or split"):
        import_images(file, tmp_path / "own", columns={"paths": "picture"})
    result = import_images(file, tmp_path / "own", columns={"path": "picture", "label": "kind", "date": "when"})
    assert len(result.buckets) == 6


def test_more_columns_are_kept_to_cut_by(tmp_path: Path) -> None:
    rows = [("path", "label", "date", "camera", "iso", "ID")]
    for number in range(6):
        photo(tmp_path / f"in/{number}.jpg")
        rows.append((f"{number}.jpg", "cat", 2004, f"c{number % 2}", 100 * number, "mine"))
    import_images(write_csv(tmp_path / "in/t.csv", rows), tmp_path / "own")
    record = records(tmp_path / "own")["3.jpg"]
    assert (record["camera"], record["iso"], record["ID"]) == ("c1", "300", "3")
    cut = rebuild_by_metadata(tmp_path / "own", tmp_path / "cut", sort_by="iso", where="camera == 'c1'", num_buckets=3)
    assert cut.images_per_bucket_and_class == {number: {"cat": 1} for number in ("1", "2", "3")}


def test_a_table_with_buckets_and_splits(tmp_path: Path) -> None:
    rows = [("file_name", "class", "bucket", "split")]
    for number in range(8):
        photo(tmp_path / f"in/{number}.jpg")
        rows.append((f"{number}.jpg", "cat", ("old", "new")[number // 4], ("train", "Test")[number % 2]))
    file = write_csv(tmp_path / "in/t.csv", rows)
    result = import_images(file, tmp_path / "own", order=["old", "new"])
    assert buckets(result) == [("old", 4), ("new", 4)]
    assert result.images_per_part == {"train": 4, "test": 4}
    assert verify(tmp_path / "own").sound
    rows[3] = (*rows[3][:2], "", rows[3][3])
    with pytest.raises(DatasetError, match="1 images have no bucket, such as 2.jpg"):
        import_images(write_csv(file, rows), tmp_path / "other")
    rows[3] = (*rows[3][:2], "old", "")
    with pytest.raises(DatasetError, match="1 of 8 images have no split, such as 2.jpg"):
        import_images(write_csv(file, rows), tmp_path / "other")
    rows[3] = (*rows[3][:2], "old", "holdout")
    with pytest.raises(DatasetError, match="row 3: the split 'holdout' is none of train"):
        import_images(write_csv(file, rows), tmp_path / "other")


def test_rows_without_an_image(tmp_path: Path, table: Callable[..., Path], heard: Heard) -> None:
    file = table("t.csv")
    (tmp_path / "in/images/2.jpg").unlink()
    result = import_images(file, tmp_path / "own", listener=heard)
    assert len(result.buckets) == 5
    assert "warning: left out: 1 file that is missing: images/2.jpg" in heard
    with pytest.raises(UsageError, match="--layout is for folders"):
        import_images(file, tmp_path / "other", layout="class")
    (tmp_path / "in/images").rename(tmp_path / "moved")
    with pytest.raises(
        DatasetError, match=r"none of its 6 images is there: .* and 3 more\npaths are taken relative to"
    ):
        import_images(file, tmp_path / "other")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "moved").rename(tmp_path / "elsewhere/images")
    assert len(import_images(file, tmp_path / "other", image_root=tmp_path / "elsewhere").buckets) == 5


def test_tables_with_faults(tmp_path: Path, table: Callable[..., Path]) -> None:
    file = table("t.csv", ["31/05/2004", "2004", "soon", "2005", "", "2006"])
    with pytest.raises(DatasetError, match=r"2 cells of 'date' cannot be read as dates: '31/05/2004' of images/0.jpg"):
        import_images(file, tmp_path / "own")
    text = file.read_text()
    for content, message in (
        ("", "has no rows"),
        ("path,label\n", "has no rows"),
        ("path,label\na.jpg\n", "line 2 has 1 cells, the header has 2"),
        ("path,path\na,b\n", "has two columns 'path'"),
        ('path,label\n"a,b\n', "line 2: unexpected end of data"),
        (text + "images/1.jpg,cat,2004\n", "images/1.jpg has the label 'dog' in one row and 'cat' in another"),
    ):
        file.write_text(content.replace("31/05/2004", "2004").replace("soon", "2004"))
        with pytest.raises(DatasetError, match=message):
            import_images(file, tmp_path / "own")
    file.write_bytes("path,label\nä.jpg,b\n".encode("latin-1"))
    with pytest.raises(DatasetError, match=r"is not UTF-8 \(byte 11\)"):
        import_images(file, tmp_path / "own")
    for name, content in (("t.json", "{}"), ("t.json", "[1]"), ("t.json", "[{"), ("t.jsonl", "{}\n[")):
        (tmp_path / "in" / name).write_text(content)
        with pytest.raises(DatasetError, match=r"expected a list of objects|is not JSON"):
            import_images(tmp_path / "in" / name, tmp_path / "own")


def test_excel_and_windows_tables(tmp_path: Path) -> None:
    photo(tmp_path / "in/images/a.jpg")
    text = "\ufeffPath;Label;Date\r\nimages\\a.jpg;cat;2004\r\n\r\n"
    (tmp_path / "in/t.csv").write_bytes(text.encode())
    assert import_images(tmp_path / "in/t.csv", tmp_path / "own").class_names == ("cat",)


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_hugging_face_imagefolder(tmp_path: Path, name: str) -> None:
    """A metadata file in each split, with paths relative to it; without a label column the folders are the labels."""
    for part, each in (("train", 4), ("test", 2)):
        rows = []
        for number in range(each):
            photo(tmp_path / f"in/{part}/{'ab'[number % 2]}/{number}.jpg")
            rows.append(
                {"file_name": f"{'ab'[number % 2]}/{number}.jpg", "timestamp": 1_086_006_659 + number // 2 * 10**8}
            )
        if name.endswith("jsonl"):
            (tmp_path / "in" / part / name).write_text("\n".join(map(json.dumps, rows)))
        else:
            write_csv(tmp_path / "in" / part / name, [list(rows[0]), *(row.values() for row in rows)])
    result = import_images(tmp_path / "in", tmp_path / "own")
    assert result.images_per_part == {"train": 4, "test": 2}
    assert [bucket.name for bucket in result.buckets] == ["2004", "2007"]
    assert result.class_names == ("a", "b")
    assert verify(tmp_path / "own").sound


# --- the folder that is made


@pytest.mark.parametrize("mode", ["link", "hardlink", "copy"])
def test_ways_to_have_the_images(tmp_path: Path, mode: str) -> None:
    source = dated_photos(tmp_path / "in")
    import_images(source, tmp_path / "out/own", images=mode)
    path, record = next(iter(records(tmp_path / "out/own").items()))
    image, original = tmp_path / "out/own" / str(record["IMG_PATH"]), source / path
    assert image.is_symlink() == (mode == "link")
    assert image.samefile(original) == (mode != "copy")
    assert image.read_bytes() == original.read_bytes()
    (tmp_path / "out").rename(tmp_path / "moved") if mode != "link" else tmp_path.rename(f"{tmp_path}-moved")
    moved = tmp_path / "moved/own" if mode != "link" else Path(f"{tmp_path}-moved/out/own")
    assert verify(moved, images=True).sound


def test_hard_links_to_another_file_system(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev or not os.access(other, os.W_OK):
        pytest.skip("there is no second file system")
    source = dated_photos(tmp_path / "in")
    output = other / f"{tmp_path.name}-{os.getpid()}" / "own"
    try:
        with pytest.raises(
            DatasetError, match=r"own/labeled_images/1/cat/.* cannot be a hard link.*\nuse --images"
        ) as raised:
            import_images(source, output, images="hardlink")
        assert ".tmp" not in str(raised.value)
        assert list(output.parent.iterdir()) == []
    finally:
        shutil.rmtree(output.parent)


def test_a_second_time(tmp_path: Path) -> None:
    source = dated_photos(tmp_path / "in")
    first = import_images(source, tmp_path / "own")
    prepare_avalanche(tmp_path / "own")
    before = snapshot(tmp_path / "own")
    again = import_images(source, tmp_path / "own")
    assert again.written == 0
    assert again.images_per_bucket_and_class == first.images_per_bucket_and_class
    assert snapshot(tmp_path / "own") == before
    with pytest.raises(DatasetError, match=r"was imported with bucket_by 'year', not 'month'\n.*--force"):
        import_images(source, tmp_path / "own", bucket_by="month")
    photo(source / "cat/new.jpg", datetime(2004, 1, 1))
    with pytest.raises(DatasetError, match=r"was imported from other images\n"):
        import_images(source, tmp_path / "own")
    assert snapshot(tmp_path / "own") == before
    assert import_images(source, tmp_path / "own", force=True).written == 25
    assert not layout.training_folder(tmp_path / "own").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_folders_that_are_never_replaced(tmp_path: Path, clear_folder: Callable[..., Path]) -> None:
    source = dated_photos(tmp_path / "in")
    other = clear_folder()
    before = snapshot(other)
    with pytest.raises(UsageError, match=r"is a folder that contains other files \(class_names.txt\)"):
        import_images(source, other, force=True)
    (other / "dataset.json").write_text("{}")
    with pytest.raises(UsageError, match=r"dataset.json was not written by `clearctl import`"):
        import_images(source, other, force=True)
    (other / "dataset.json").unlink()
    assert snapshot(other) == before
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file: choose a new folder"):
        import_images(source, tmp_path / "file")
    for output in (source, source / "own", tmp_path):
        with pytest.raises(UsageError, match=r"is inside .*, which is only read|contains images of"):
            import_images(source, output)
    with pytest.raises(DatasetError, match=r"is already a CLEAR dataset folder\nrun `clearctl prepare-avalanche"):
        import_images(other, tmp_path / "own")


def test_a_table_beside_the_new_folder(tmp_path: Path) -> None:
    photo(tmp_path / "images/a.jpg")
    file = write_csv(tmp_path / "t.csv", [("path", "label", "date"), ("images/a.jpg", "cat", 2004)])
    assert import_images(file, tmp_path / "dataset/own").written == 1


def test_dry_run(tmp_path: Path) -> None:
    source = dated_photos(tmp_path / "in")
    before = snapshot(tmp_path)
    dry = import_images(source, tmp_path / "out/own", dry_run=True)
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "out").exists()
    assert dry.written == 0
    done = import_images(source, tmp_path / "out/own")
    assert (dry.buckets, dry.images_per_bucket_and_class) == (done.buckets, done.images_per_bucket_and_class)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_what_is_left_of_an_import_that_ends_early(tmp_path: Path, error: BaseException) -> None:
    """Nothing, and an earlier import of the folder stays."""
    source = dated_photos(tmp_path / "in")

    def fail(event: Event) -> None:
        if getattr(event, "work", "") == "write images":
            raise error

    with pytest.raises((KeyboardInterrupt, DatasetError)):
        import_images(source, tmp_path / "own", listener=fail)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    import_images(source, tmp_path / "own")
    before = snapshot(tmp_path / "own")
    with pytest.raises((KeyboardInterrupt, DatasetError)):
        import_images(source, tmp_path / "own", bucket_by="month", force=True, listener=fail)
    assert snapshot(tmp_path / "own") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "own"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_folders_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    source = dated_photos(tmp_path / "in")
    (tmp_path / "locked").mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(DatasetError, match="cannot be written: Permission denied"):
        import_images(source, tmp_path / "locked/own")
    source.chmod(stat.S_IRUSR | stat.S_IXUSR)
    import_images(source, tmp_path / "own")
    (source / "cat").chmod(0)
    with pytest.raises(DatasetError, match="cannot be listed: Permission denied"):
        import_images(source, tmp_path / "other")
    (source / "cat").chmod(stat.S_IRWXU)
    source.chmod(stat.S_IRWXU)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bucket_by": "week"}, "--bucket-by week: expected year"),
        ({"equal": "time"}, "--equal time needs a number of buckets"),
        ({"equal": "size", "bucket_by": 2}, "--equal size: expected count or time"),
        ({"undated": "keep"}, "--undated keep: expected error or skip"),
        ({"duplicates": "none"}, "--duplicates none: expected keep or first"),
        ({"images": "move"}, "--images move: expected link, hardlink or copy"),
        ({"min_per_class": 0}, "--min-per-class 0 is not a whole number"),
        ({"order": ["a", "a"]}, "--order lists a bucket twice"),
        ({"order": ["a"], "bucket_by": 2}, "--order is for the buckets of SOURCE"),
        ({"order": ["a"]}, "--order needs buckets, but .* has none"),
        ({"layout": "bucket"}, "--layout bucket: expected class, bucket/class"),
        ({"columns": {"path": "a"}}, "--columns is for tables"),
        ({"date_pattern": "%m"}, "--date-pattern %m: expected one year"),
    ],
)
def test_arguments_that_make_no_sense(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    source = dated_photos(tmp_path / "in")
    with pytest.raises(UsageError, match=message):
        import_images(source, tmp_path / "own", **arguments)
    assert not (tmp_path / "own").exists()


def test_sources_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DatasetError, match="is neither a folder nor a table"):
        import_images(tmp_path / "notes.txt", tmp_path / "own")
    with pytest.raises(DatasetError, match="does not exist: expected a folder of images"):
        import_images(tmp_path / "nowhere", tmp_path / "own")


def test_own_buckets_may_be_cut_again(tmp_path: Path, heard: Heard) -> None:
    for place in range(4):
        photo(tmp_path / f"in/batch{place}/cat/{place}.jpg", datetime(2004 + place // 2, 1, 1))
    result = import_images(tmp_path / "in", tmp_path / "own", bucket_by="year", listener=heard)
    assert buckets(result) == [("2004", 2), ("2005", 2)]
    assert any("are not used: new ones are made by year" in text for text in heard)


def test_the_dates_of_named_buckets_may_be_cut_by(tmp_path: Path) -> None:
    for year in range(2004, 2010):
        photo(tmp_path / f"in/{year}/cat/{year}.jpg")
    result = import_images(tmp_path / "in", tmp_path / "own", bucket_by=3)
    assert buckets(result) == [
        ("2004-01-01 to 2005-01-01", 2),
        ("2006-01-01 to 2007-01-01", 2),
        ("2008-01-01 to 2009-01-01", 2),
    ]


def test_photographs_that_are_stored_turned(tmp_path: Path, heard: Heard) -> None:
    source = dated_photos(tmp_path / "in")
    for number, orientation in enumerate((1, 6, 8)):
        photo(source / f"cat/turned{number}.jpg", datetime(2004, 1, 1), orientation=orientation)
    import_images(source, tmp_path / "own", listener=heard)
    assert any(
        text.startswith("2 images stored rotated (EXIF Orientation): training uses the pixels") for text in heard
    )


def test_a_folder_that_another_command_is_changing_is_not_replaced(tmp_path: Path) -> None:
    source = dated_photos(tmp_path / "in")
    import_images(source, tmp_path / "own")
    before = snapshot(tmp_path / "own")
    with dataset_lock(tmp_path / "own"), pytest.raises(DatasetError, match="own is being changed by process"):
        import_images(source, tmp_path / "own", bucket_by="month", force=True)
    assert snapshot(tmp_path / "own") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "own"]


def test_one_bucket_is_worth_a_warning(tmp_path: Path, heard: Heard) -> None:
    import_images(dated_photos(tmp_path / "in", years=1), tmp_path / "own", listener=heard)
    assert any(text.startswith("warning: there is one bucket alone, 2004:") for text in heard)


def test_cells_that_are_no_single_value(tmp_path: Path) -> None:
    """Several labels of an image, or the image itself, as tables of Hugging Face may have them."""
    photo(tmp_path / "a.jpg")
    for row, message in (
        ({"path": "a.jpg", "label": ["cat", "dog"]}, r"row 1: expected one label, found \['cat', 'dog'\]"),
        ({"image": {"bytes": "x" * 1000}, "label": "cat"}, r"row 1: expected a path in 'image', found .{60}$"),
    ):
        (tmp_path / "t.jsonl").write_text(json.dumps(row))
        with pytest.raises(DatasetError, match=message):
            import_images(tmp_path / "t.jsonl", tmp_path / "own")


def test_columns_that_are_overlooked(tmp_path: Path, heard: Heard) -> None:
    for year in (2004, 2005):
        photo(tmp_path / f"images/{year}.jpg", datetime(year, 1, 1))
    rows = [("path", "tag", "when"), ("images/2004.jpg", "cat", 1999), ("images/2005.jpg", "dog", 2001)]
    import_images(write_csv(tmp_path / "t.csv", rows), tmp_path / "own", listener=heard)
    assert heard[:2] == [
        f"warning: {tmp_path}/t.csv has no column of labels (found path, tag, when): the folders that images are in "
        "are their labels; --columns label=COLUMN names one",
        f"{tmp_path}/t.csv has no column of dates (found path, tag, when): EXIF's are taken, or those in names; "
        "--columns date=COLUMN names one",
    ]
    assert "warning: there is one class alone, images: nothing to tell apart" in heard


def test_a_table_in_one_split_alone(tmp_path: Path) -> None:
    for part in ("train", "test"):
        photo(tmp_path / f"in/{part}/cat/a.jpg", datetime(2004, 1, 1))
    write_csv(tmp_path / "in/train/metadata.csv", [("file_name", "label"), ("cat/a.jpg", "cat")])
    with pytest.raises(DatasetError, match=r"train has a table such as metadata.csv, but test/ has none\n"):
        import_images(tmp_path / "in", tmp_path / "own")
    assert import_images(tmp_path / "in", tmp_path / "own", layout="split/class").written == 2


def test_files_that_a_table_names_whatever_they_are_called(tmp_path: Path) -> None:
    rows = [("path", "label", "date")]
    for number, name in enumerate(("noext", "strange.j g?", ".hidden", "line\nend.jpg")):
        photo(tmp_path / "x.jpg", content=name).rename(tmp_path / name)
        rows.append((name, "cat", 2004 + number))
    import_images(write_csv(tmp_path / "t.csv", rows), tmp_path / "own")
    assert verify(tmp_path / "own", images=True).sound
    assert len(prepare_avalanche(tmp_path / "own", test_ratio=0).buckets) == 4


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    folder = photo(tmp_path / "in/2004/cat/a.jpg").parent
    try:
        (folder / "a.jpg").rename(folder / os.fsdecode(b"b\xe4r.jpg"))
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    import_images(tmp_path / "in", tmp_path / "own")
    assert verify(tmp_path / "own", images=True).sound
    assert prepare_avalanche(tmp_path / "own", test_ratio=0).images_per_bucket == {"1": 1}
