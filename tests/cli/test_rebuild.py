"""`clearctl rebuild-by-metadata` as a user meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from clearctl.cli import app
from clearctl.dataset.rebuild import rebuild_by_metadata


def rebuild(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["rebuild-by-metadata", *map(str, arguments)])


def apart(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """In a process and a folder of its own."""
    command = [sys.executable, "-m", "clearctl", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def refused(result: Result, code: int, reported: str) -> None:
    assert result.exit_code == code, result.stderr
    assert reported in result.stderr
    assert len(result.stderr[result.stderr.index("error: ") :].strip().splitlines()) <= 2
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_the_table_and_what_is_not_in_the_new_folder(clear_folder, tmp_path):
    root = clear_folder(images={"camera": 8})
    arguments = ["--dataset-root", root, "--output", tmp_path / "new", "--sort-by", "DATE_TAKEN", "--num-buckets", 3]
    result = rebuild(*arguments, "--where", "bucket > 0")
    assert result.exit_code == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines() if line]
    assert lines[1:6] == [
        ["class", "1", "2", "3"],
        ["BACKGROUND", "4", "4", "4"],
        ["camera", "5", "5", "5"],
        ["cup", "of", "tea", "4", "4", "4"],
        ["all", "13", "13", "13"],
    ]
    assert f"{tmp_path / 'new'}: 39 images (link) in 3 buckets of the same size" in result.stdout
    # New bucket 1 is of bucket 1; of new bucket 2 three of each class are of 1; all of new bucket 3 is of 2.
    assert "changed bucket: 22 of 39 images" in result.stdout
    assert "dropped: 22 images, for which --where does not hold" in result.stdout
    assert "left over: 5 images of 3 classes, at most 2 of a class" in result.stdout
    assert "files written" in result.stdout
    assert "date_taken is read as dates" in result.stderr
    again = rebuild(*arguments, "--where", "bucket > 0")
    assert "nothing to do" in again.stdout


def test_json_is_what_the_library_returns(clear_folder, tmp_path):
    root = clear_folder()
    arguments = ["--dataset-root", root, "--output", tmp_path / "new", "--sort-by", "id", "--descending"]
    done = apart("rebuild-by-metadata", *arguments, "--num-buckets", 2, "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    reported = json.loads(done.stdout)
    wanted = rebuild_by_metadata(root, tmp_path / "other", sort_by="id", descending=True, num_buckets=2)
    assert reported == {
        "source": str(root),
        "root": str(tmp_path / "new"),
        "buckets": ["1", "2"],
        "classes": 3,
        "images_per_bucket_and_class": wanted.images_per_bucket_and_class,
        "left_over": wanted.left_over,
        "dropped": {"where": 0, "missing": 0, "process": 0},
        "changed_bucket": wanted.changed_bucket,
        "images": "link",
        "written": wanted.written,
        "unchanged": 0,
        "dry_run": False,
    }


def test_dry_run(clear_folder, tmp_path):
    root = clear_folder()
    result = rebuild(
        "--dataset-root", root, "--output", tmp_path / "new", "--sort-by", "id", "--num-buckets", 2, "--dry-run"
    )
    assert result.exit_code == 0, result.stderr
    assert "files would be written" in result.stdout
    assert "BACKGROUND" in result.stdout
    assert not (tmp_path / "new").exists()


def test_a_process_of_the_current_folder(clear_folder, tmp_path):
    """As a user has it: a module beside which the command is given; it may import its neighbours when called."""
    (tmp_path / "by_hour.py").write_text("def hour(record):\n    return record['date_taken'][11:13]\n")
    (tmp_path / "my_recut.py").write_text(
        "def backwards(records):\n    from by_hour import hour\n    return sorted(reversed(records), key=hour)\n"
    )
    root = clear_folder()
    arguments = ["--dataset-root", root, "--output", "new", "--num-buckets", 2]
    done = apart("rebuild-by-metadata", *arguments, "--process", "my_recut:backwards", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    listed = json.loads((tmp_path / "new/labeled_metadata/1/camera.json").read_text())
    wanted = [
        key
        for bucket in ("2", "1")
        for key in reversed(json.loads((root / f"labeled_metadata/{bucket}/camera.json").read_text()))
    ]
    assert list(listed) == wanted[:10]
    wrong = apart("rebuild-by-metadata", *arguments[:2], "--output", "two", "--process", "my_recut:x", folder=tmp_path)
    assert wrong.returncode == 2
    assert "my_recut has no 'x'" in wrong.stderr
    assert not (tmp_path / "two").exists()


def test_drop_missing(clear_folder, tmp_path):
    root = clear_folder()
    file = root / "labeled_metadata/1/camera.json"
    records = json.loads(file.read_text())
    first = next(iter(records))
    records[first]["DATE_TAKEN"] = ""
    file.write_text(json.dumps(records))
    arguments = ["--dataset-root", root, "--output", tmp_path / "new", "--sort-by", "date_taken", "--num-buckets", 2]
    refused(rebuild(*arguments), 4, f"date_taken (bucket 1, class 'camera', id '{first}')")
    result = rebuild(*arguments, "--drop-missing", "--images", "copy")
    assert result.exit_code == 0, result.stderr
    assert "dropped: 1 image, without a requested field" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "reported"),
    [
        ([], 2, "nothing to do"),
        (["--sort-by", "date_takn"], 2, "did you mean 'date_taken'?"),
        (["--sort-by", "id", "--process", "a:b"], 2, "--sort-by and --process"),
        (["--sort-by", "id", "--num-buckets", "0"], 2, "--num-buckets 0"),
        (["--sort-by", "id", "--num-buckets", "99"], 4, "class 'BACKGROUND' has 21 images for 99 buckets"),
        (["--sort-by", "id", "--images", "move"], 2, "--images move"),
        (["--where", "__import__('os').system('touch here')"], 2, "is a call"),
        (["--where", "id > 3 +"], 2, "--where, column 9"),
        (["--where", "id > 'x'"], 2, "'x' is compared with numbers"),
        (["--process", "nowhere:nothing"], 2, "importing nowhere raised ModuleNotFoundError"),
        (["--process", "nowhere"], 2, "expected MODULE:FUNCTION"),
    ],
)
def test_wrong_arguments(clear_folder, tmp_path, monkeypatch, arguments, code, reported):
    root = clear_folder()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    refused(rebuild("--dataset-root", root, "--output", "new", *arguments), code, reported)
    assert os.listdir(tmp_path) == ["clear"]


def test_the_output_must_be_named(clear_folder):
    result = rebuild("--dataset-root", clear_folder(), "--sort-by", "id")
    assert result.exit_code == 2
    assert "--output" in result.stderr


def test_no_dataset_folder(tmp_path):
    refused(rebuild("--dataset-root", tmp_path / "none", "--output", tmp_path / "new", "--sort-by", "id"), 4, "none")


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["iid", "streaming"])
def test_the_new_folder_trains_as_it_is(clear_folder, tmp_path, tiny_config, protocol):
    root = clear_folder(images=12, size_px=16)
    new = tmp_path / "new folder"
    result = rebuild("--dataset-root", root, "--output", new, "--sort-by", "date_uploaded", "--num-buckets", 2)
    assert result.exit_code == 0, result.stderr
    arguments = ["--dataset-root", new, "--work-dir", tmp_path / "runs", "--device", "cpu"]
    arguments += ["--set", f"scenario.evaluation_protocol={protocol}"]
    trained = CliRunner().invoke(app, ["train", str(tiny_config), *map(str, arguments), "--json"])
    assert trained.exit_code == 0, trained.stderr
    assert json.loads(trained.stdout)["buckets"] == ["1", "2"]
