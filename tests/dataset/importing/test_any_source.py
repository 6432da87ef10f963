"""Whatever folders, files and cells are called: the folder that is made is sound, and every file is accounted for."""

import csv
import io
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clearctl import import_images, layout, prepare_avalanche, verify
from clearctl.dataset.import_images import ImportResult

# What a file system takes; surrogates stand for bytes that are no UTF-8.
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=[]), min_size=1, max_size=12).filter(
    lambda name: not name.startswith(".") and _fits(name)
)
LABELS = st.text(min_size=1, max_size=12).filter(lambda label: label.strip() != "")


def _fits(name: str) -> bool:
    try:
        return len(name.encode(errors="surrogateescape")) < 200
    except UnicodeEncodeError:
        return False


def jpeg(number: int) -> bytes:
    """Each other bytes."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (number % 256, number // 256, 0)).save(file, "JPEG", comment=str(number).encode())
    return file.getvalue()


def require_sound(root: Path, result: ImportResult, num_files: int) -> dict[str, dict[str, object]]:
    """The records by path of the image."""
    found = verify(root, images=True)
    assert found.sound, found.findings
    assert found.images_per_bucket_and_class == result.images_per_bucket_and_class
    assert result.written + sum(map(len, result.left_out.values())) == num_files
    prepared = prepare_avalanche(root, test_ratio=0)
    assert sum(prepared.images_per_bucket.values()) == result.written
    assert tuple(layout.read_class_names(root)) == result.class_names
    index = json.loads(layout.labeled_metadata_file(root).read_text())
    files = [root / path for classes in index.values() for path in classes.values()]
    return {record["IMG_PATH"]: record for file in files for record in json.loads(file.read_text()).values()}


@pytest.mark.slow
@settings(max_examples=25)
@given(st.sets(st.tuples(st.integers(2004, 2007), NAMES, NAMES), min_size=1, max_size=8))
def test_any_folders(paths: set[tuple[int, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, root = Path(folder, "in"), Path(folder, "own")
        for number, (year, class_name, name) in enumerate(sorted(paths)):
            file = source / str(year) / class_name / f"{name}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(jpeg(number))
        files = [file for file in source.rglob("*.jpg") if file.is_file()]
        records = require_sound(root, import_images(source, root), len(files))
        assert {(root / path).resolve() for path in records} == {file.resolve() for file in files}


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(st.tuples(LABELS, st.integers(1800, 2100)), min_size=2, max_size=9))
def test_any_table(rows: list[tuple[str, int]]) -> None:
    """Labels of any characters, dates of any time."""
    with tempfile.TemporaryDirectory() as folder:
        source, root = Path(folder, "t.csv"), Path(folder, "own")
        with source.open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label", "year"])
            for number, row in enumerate(rows):
                (Path(folder) / f"{number}.jpg").write_bytes(jpeg(number))
                writer.writerow([f"{number}.jpg", *row])
        records = require_sound(root, import_images(source, root, bucket_by=2), len(rows))
        dates = {bucket: [] for bucket in ("1", "2")}
        for path, record in records.items():
            dates[path.split("/")[1]].append(record["DATE_TAKEN"])
        assert max(dates["1"]) <= min(dates["2"])
        assert abs(len(dates["1"]) - len(dates["2"])) <= 1
