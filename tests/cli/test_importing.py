"""`clearctl import` as a user meets it, and what comes after it."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from sources import dated_photos, photo
from typer.testing import CliRunner, Result

from clearctl.cli import app
from clearctl.dataset.importing import write


def clearctl(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return dated_photos(tmp_path / "photos", each=6)


def test_the_tables_and_what_comes_next(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "dataset" / "my own"
    dry = clearctl("import", photos, "--output", output, "--dry-run")
    assert dry.exit_code == 0, dry.stderr
    lines = [line.split() for line in dry.stdout.splitlines()]
    assert ["1", "2004", "2004-01-01", "2004-06-02", "12"] in lines
    assert ["cat", "6", "6", "6"] in lines
    assert ["all", "12", "12", "12"] in lines
    assert dry.stdout.splitlines()[-3:] == [
        f"{output}: 36 images (link) of 2 classes in 3 buckets, from {photos} (class)",
        "nothing was written",
        f"next: clearctl import {photos} --output '{output}'",
    ]
    assert not output.exists()
    done = clearctl("import", photos, "--output", output)
    assert done.stdout.splitlines()[-2:] == [
        f"next: clearctl prepare-avalanche --dataset-root '{output}'",
        f"then: clearctl train own_data --dataset-root '{output}'",
    ]
    assert done.stdout.splitlines()[:-2] == dry.stdout.splitlines()[:-2]
    again = clearctl("import", photos, "--output", output)
    assert "nothing to do: the import is up to date" in again.stdout.splitlines()
    assert clearctl("prepare-avalanche", "--dataset-root", output).exit_code == 0
    assert clearctl("make-fewshot", "--dataset-root", output, "--shot", "2").exit_code == 0
    assert clearctl("verify", "--dataset-root", output, "--images").exit_code == 0


def test_json(photos: Path, tmp_path: Path) -> None:
    photo(photos / "cat/undated.jpg")
    output = tmp_path / "own"
    answer = clearctl("import", photos, "--output", output, "--bucket-by", "2", "--undated", "skip", "--json")
    assert answer.exit_code == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert [bucket["images"] for bucket in found["buckets"]] == [18, 18]
    assert found["buckets"][0] == {
        "number": "1",
        "name": "2004-01-01 to 2005-03-02",
        "first": "2004-01-01 12:00:00",
        "last": "2005-03-02 12:00:00",
        "images": 18,
    }
    assert found["left_out"] == {"without EXIF DateTimeOriginal": ["cat/undated.jpg"]}
    assert found["class_names"] == ["cat", "dog"]
    assert (found["written"], found["dry_run"]) == (36, False)


def test_a_table_with_other_columns(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    (tmp_path / "t.csv").write_text("file,tag,when\na.jpg,cat,31.05.2004\n")
    words = ["--columns", "path=file, label=tag, date=when", "--date-pattern", "%d.%m.%Y"]
    answer = clearctl("import", tmp_path / "t.csv", "--output", tmp_path / "own", *words)
    assert answer.exit_code == 0, answer.stderr
    assert "2004-05-31" in answer.stdout


def test_an_order_in_a_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        photo(tmp_path / "in" / name / "cat" / "x.jpg")
    (tmp_path / "order.txt").write_text("b\n\na\n")
    words = ["import", tmp_path / "in", "--output", tmp_path / "own", "--json"]
    answer = clearctl(*words, "--order", tmp_path / "order.txt")
    assert [bucket["name"] for bucket in json.loads(answer.stdout)["buckets"]] == ["b", "a"]
    answer = clearctl(*words, "--order", tmp_path / "nowhere.txt")
    assert answer.exit_code == 2
    assert "--order" in answer.stderr


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--bucket-by", "week"], 2, "--bucket-by week: expected year, quarter, month"),
        (["--columns", "path"], 2, "--columns path: expected ROLE=NAME"),
        (["--bucket-by", "99"], 4, "--bucket-by 99: there are only 36 images"),
    ],
)
def test_errors(photos: Path, tmp_path: Path, words: list[str], code: int, text: str) -> None:
    answer = clearctl("import", photos, "--output", tmp_path / "own", *words)
    assert answer.exit_code == code
    error, *hint = answer.stderr.splitlines()
    assert error.startswith(f"error: {text}")
    assert hint == (["try `clearctl import --help`"] if code == 2 else [])
    assert answer.stdout == ""


def test_ctrl_c_leaves_nothing(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "_publish", interrupted)
    answer = clearctl("import", photos, "--output", tmp_path / "own")
    assert answer.exit_code == 130
    assert answer.stderr.splitlines()[-1] == "interrupted: nothing was written"
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_file_names_hold_no_terminal_commands(tmp_path: Path) -> None:
    photo(tmp_path / "in/cat/\x1b[31mred.jpg", datetime(2004, 1, 1))
    photo(tmp_path / "in/cat/\x1b[31mnone.jpg")
    answer = clearctl("import", tmp_path / "in", "--output", tmp_path / "own", "--undated", "skip")
    assert answer.exit_code == 0
    assert "\x1b[31m" not in answer.stdout + answer.stderr
