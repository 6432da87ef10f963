import calendar
import json
import re
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from clearctl import layout
from clearctl.demo.digits import BACKGROUND, CLASS_NAMES, DIGIT_NAMES, make_dataset
from clearctl.demo.drift import appearance_at
from clearctl.errors import DatasetError

BUCKETS = [str(number) for number in range(1, 11)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "digits"
    make_dataset(folder)
    return folder


@pytest.fixture(scope="module")
def records(root):
    """{bucket: {class: [record]}}, read the way any reader of CLEAR would."""
    index = layout.read_json(layout.labeled_metadata_file(root))
    return {
        bucket: {name: list(layout.read_json(root / path).values()) for name, path in classes.items()}
        for bucket, classes in index.items()
    }


@pytest.fixture(scope="module")
def every(records):
    return [record for classes in records.values() for items in classes.values() for record in items]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def pixels(root: Path, record: dict[str, str]) -> np.ndarray:
    with Image.open(root / record["IMG_PATH"]) as image:
        return np.asarray(image, dtype=float)


def test_it_is_a_raw_clear_folder(root, records):
    layout.require_clear(root)
    assert not layout.training_folder(root).exists()
    assert layout.read_class_names(root) == list(CLASS_NAMES)
    assert not layout.class_names_file(root).read_bytes().endswith(b"\n")
    assert list(records) == BUCKETS
    assert all(list(classes) == [*DIGIT_NAMES, BACKGROUND] for classes in records.values())
    index = layout.read_json(layout.labeled_metadata_file(root))
    assert index["10"]["zero"] == "labeled_metadata/10/zero.json"


def test_every_digit_is_used_exactly_once(records):
    used = Counter()
    for classes in records.values():
        for name in DIGIT_NAMES:
            for record in classes[name]:
                used[name, int(re.match(r"Image (\d+) of", record["DESCRIPTION"])[1])] += 1
    expected = Counter((DIGIT_NAMES[label], number) for number, label in enumerate(load_digits().target))
    assert used == expected


def test_no_two_crops_overlap(records):
    crops = [record["DESCRIPTION"] for classes in records.values() for record in classes[BACKGROUND]]
    boxes = [re.match(r"Pixels \((\d+), (\d+)\) to \((\d+), (\d+)\) of (\S+)", text).groups() for text in crops]
    assert len(set(boxes)) == 160
    covered = Counter(
        (photo, x, y)
        for left, top, right, bottom, photo in boxes
        for x in range(int(left), int(right))
        for y in range(int(top), int(bottom))
    )
    assert max(covered.values()) == 1
    assert {photo for photo, _, _ in covered} == {"china.jpg", "flower.jpg"}


def test_classes_and_buckets_are_even(records):
    for classes in records.values():
        assert len(classes[BACKGROUND]) == 16
        assert all(17 <= len(classes[name]) <= 19 for name in DIGIT_NAMES)
        assert sum(map(len, classes.values())) in (179 + 16, 180 + 16)


def test_images_are_32_pixel_rgb_jpegs(root, every):
    for record in every:
        with Image.open(root / record["IMG_PATH"]) as image:
            image.load()
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (32, 32))
            # 1 x 1 sampling of every channel: 4:4:4
            assert [component[1:3] for component in image.layer] == [(1, 1)] * 3
    listed = {record["IMG_PATH"] for record in every}
    found = {path.relative_to(root).as_posix() for path in (root / "labeled_images").rglob("*.jpg")}
    assert listed == found


def test_records_have_the_fields_of_clear(root, records, every):
    for bucket, classes in records.items():
        for name, items in classes.items():
            stored = layout.read_json(root / f"labeled_metadata/{bucket}/{name}.json")
            assert list(stored) == sorted(stored, key=int)
            for key, record in stored.items():
                assert record["ID"] == key
                assert record["IMG_PATH"] == f"labeled_images/{bucket}/{name}/{key}.jpg"
            assert list(stored.values()) == items
    fields = [
        "ID", "IMG_PATH", "DATE_TAKEN", "DATE_UPLOADED", "USER_ID",
        "TITLE", "DESCRIPTION", "USER_TAGS", "LICENSE_NAME", "EXT",
    ]  # fmt: skip
    assert all(list(record) == fields and all(map(str.strip, record.values())) for record in every)
    assert len({record["ID"] for record in every}) == len(every) == 1797 + 160
    assert all(re.fullmatch(r"[1-9]\d{9,10}", record["ID"]) for record in every)
    assert {record["EXT"] for record in every} == {"jpg"}
    assert all("scikit-learn" in record["LICENSE_NAME"] for record in every)


def test_dates_lie_in_the_year_of_the_bucket(records):
    for bucket, classes in records.items():
        for record in (record for items in classes.values() for record in items):
            assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.0", record["DATE_TAKEN"])
            taken = time.strptime(record["DATE_TAKEN"], "%Y-%m-%d %H:%M:%S.0")
            assert taken.tm_year == 2004 + int(bucket)
            days = (int(record["DATE_UPLOADED"]) - calendar.timegm(taken)) / 86_400
            assert 2 <= days < 120


def test_ids_grow_with_the_date(every):
    by_id = sorted(every, key=lambda record: int(record["ID"]))
    dates = [record["DATE_TAKEN"] for record in by_id]
    assert dates == sorted(dates)


def test_the_ink_turns_from_dark_to_light_and_stays_legible(root, records):
    contrasts = []
    for classes in records.values():
        images = [pixels(root, record) for name in DIGIT_NAMES for record in classes[name]]
        # The outermost columns are all but always paper, a digit's own middle mostly not.
        paper = np.mean([image[:, [0, -1]].mean() for image in images])
        middle = np.mean([image[6:26, 12:20].mean() for image in images])
        contrasts.append(middle - paper)
    assert contrasts[0] < -40
    assert contrasts[-1] > 40
    assert all(np.linalg.norm((look := appearance_at(t)).ink - look.paper) > 150 for t in np.linspace(0, 1, 101))


def test_photographs_drift_too(root, records):
    means = [np.mean([pixels(root, record).mean() for record in records[bucket][BACKGROUND]]) for bucket in ("1", "10")]
    assert means[0] > means[1] + 20


def test_neighbouring_buckets_look_more_alike_than_distant_ones(root, records):
    typical = [
        np.mean([pixels(root, record) for name in DIGIT_NAMES for record in classes[name]], axis=(0, 1, 2))
        for classes in records.values()
    ]
    steps = [np.linalg.norm(typical[i + 1] - typical[i]) for i in range(9)]
    assert max(steps) < np.linalg.norm(typical[-1] - typical[0]) / 4


def test_made_twice_it_has_the_same_bytes(root, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    make_dataset(again)
    assert contents(again) == contents(root)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_a_rerun_does_nothing_even_on_a_prepared_folder(tmp_path):
    folder = tmp_path / "some where" / "digits"
    make_dataset(folder)
    (folder / "training_folder").mkdir()
    (folder / "class_names.txt").write_text("edited")
    make_dataset(folder)
    assert (folder / "class_names.txt").read_text() == "edited"
    (folder / "class_names.txt").unlink()
    with pytest.raises(DatasetError, match=r"no class_names\.txt"):
        make_dataset(folder)


def test_another_demo_dataset_is_refused(tmp_path):
    (tmp_path / "demo.json").write_text('{"seed": 3, "version": 2}')
    with pytest.raises(DatasetError, match='"seed": 3.*not.*"seed": 0') as caught:
        make_dataset(tmp_path)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("name", ["notes.txt", "labeled_metadata.json"])
def test_a_folder_that_holds_anything_else_is_refused_and_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(DatasetError, match="something other than the demo dataset\nchoose a folder") as caught:
        make_dataset(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert contents(tmp_path) == {name: b"mine"}


def test_a_foreign_demo_json_is_refused(tmp_path):
    (tmp_path / "demo.json").write_text(json.dumps(["mine"]))
    with pytest.raises(DatasetError, match=r'\["mine"\]'):
        make_dataset(tmp_path)


def test_a_file_in_the_way_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(DatasetError, match="is a file\n"):
        make_dataset(path)
    with pytest.raises(DatasetError, match="cannot be written"):
        make_dataset(path / "digits")
    assert path.read_text() == "mine"


def test_the_examples_of_the_page_on_formats_are_its_own(root, every):
    """A record, lines of a file list, and the number of its buckets."""
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    example = json.loads(re.search(r"```json\n(\{\"\d+\": \{\"ID\".*?)```", text, re.DOTALL)[1])
    (shown,) = example.values()
    (record,) = [each for each in every if each["ID"] == shown["ID"]]
    assert shown.items() <= record.items()
    listed = re.findall(r"^(labeled_images/\S+\.jpg) (\d+)$", text, re.MULTILINE)
    assert len(listed) == 2
    for path, index in listed:
        assert (root / path).is_file()
        assert CLASS_NAMES[int(index)] == Path(path).parent.name
    assert f'"num_buckets": {len(BUCKETS)},' in text
