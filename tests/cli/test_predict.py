"""`clearctl predict` as a user meets it."""

import csv
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from clearctl.cli import app

CLASSES = {"BACKGROUND", "camera", "cup of tea"}


def clearctl(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in ("predict", *arguments, "--device", "cpu")])


@pytest.fixture
def images(prepared: Path) -> list[Path]:
    return sorted((prepared / "labeled_images/0/camera").glob("*.jpg"))[:2]


def test_a_table_of_the_best_classes(trained, images) -> None:
    answer = clearctl(trained.run, *images, "--top", "2")
    assert answer.exit_code == 0, answer.stderr
    first, *lines = answer.stdout.splitlines()
    assert first == f"images in {images[0].parent}"
    assert lines[0].split() == ["image", "label", "probability", "(%)"]
    assert max(map(len, lines)) <= 80
    values = [float(line.split()[-1]) for line in lines[1:] if re.search(r" \d+\.\d$", line.rstrip())]
    assert len(values) == 4
    assert 100 >= values[0] >= values[1] >= 0
    assert [line.split()[0] for line in (lines[1], lines[3])] == [image.name for image in images]
    assert f"the model after bucket 2: {trained.run}/checkpoints/exp_3.pth" in answer.stderr


def test_how_the_answer_changes(trained, images) -> None:
    lines = clearctl(trained.run, images[0], "--all-buckets").stdout.splitlines()
    assert lines[0].split() == ["image", "trained", "to", "label", "probability", "(%)"]
    assert len([line for line in lines if CLASSES & {" ".join(line.split()[-4:-1]), *line.split()}]) == 3


def test_csv_and_json_say_the_same(trained, images, tmp_path) -> None:
    answer = clearctl(trained.run, *images, "--all-buckets", "--json", "--output", tmp_path / "a.csv", "--top", "9")
    assert answer.exit_code == 0, answer.stderr
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert rows[0].keys() == {"image", "bucket", "rank", "label", "class_index", "probability"}
    assert len(rows) == 2 * 3 * 3
    found = json.loads(answer.stdout)
    assert found["checkpoints"].keys() == {"0", "1", "2"}
    assert (found["no_probabilities"], found["unreadable"]) == (None, [])
    flat = [
        [each["image"], each["bucket"], str(rank), one["label"], str(one["class_index"]), repr(one["probability"])]
        for each in found["predictions"]
        for rank, one in enumerate(each["top"], 1)
    ]
    assert [list(row.values()) for row in rows] == flat
    assert clearctl(trained.run, *images, "--output", tmp_path / "a.json").stdout == ""
    assert len(json.loads((tmp_path / "a.json").read_text())["predictions"]) == 2


def test_good_images_are_answered_beside_a_bad_one(trained, images, tmp_path) -> None:
    (tmp_path / "bad.jpg").write_text("no image")
    answer = clearctl(trained.run, tmp_path / "bad.jpg", *images, "--format", "csv", "--top", "1")
    assert answer.exit_code == 4
    assert len(answer.stdout.splitlines()) == 3
    assert f"error: 1 of 3 images cannot be read: {tmp_path}/bad.jpg: it cannot be decoded" in answer.stderr
    answer = clearctl(trained.run, tmp_path / "bad.jpg", *images, "--json", "--skip-bad")
    assert answer.exit_code == 0
    assert [each["image"] for each in json.loads(answer.stdout)["unreadable"]] == [f"{tmp_path}/bad.jpg"]
    assert "warning: 1 of 3 images" in answer.stderr


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--top", "0"], 2, "--top 0"),
        (["--format", "xml"], 2, "--format xml: expected table, csv or json"),
        (["--json", "--format", "csv"], 2, "--json contradicts --format csv"),
        (["--output", "x.txt"], 2, "--output x.txt: expected a name that ends in .csv or .json"),
        (["--output", "/proc/no/x.csv"], 2, "--output /proc/no/x.csv cannot be written"),
        (["--bucket", "x"], 2, "--bucket x: the run has trained on 0, 1 and 2"),
        (["nowhere.jpg"], 4, "no such file: nowhere.jpg (1 of 3 names)"),
    ],
)
def test_errors(trained, images, words, code, text) -> None:
    answer = clearctl(trained.run, *images, *words)
    assert answer.exit_code == code, answer.stderr
    assert f"error: {text}" in answer.stderr
    assert answer.stdout == ""


def test_no_image_is_a_usage_error(trained) -> None:
    assert clearctl(trained.run).exit_code == 2
