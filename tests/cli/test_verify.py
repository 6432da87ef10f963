"""`clearctl verify` as a user meets it: exit codes, the table and the verdict, JSON."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner
from warm import run_on_terminal

from clearctl import prepare_avalanche
from clearctl.cli import app


def clearctl(*arguments: object, **environment: str):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


@pytest.fixture
def root(clear_folder) -> Path:
    folder = clear_folder(size_px=40)
    prepare_avalanche(folder, seeds=[0])
    return folder


def spoil(root: Path) -> tuple[str, str]:
    """Break a class's json, and two images of another; gives the names of the latter."""
    (root / "labeled_metadata/1/camera.json").write_text("{")
    first, second = sorted((root / "labeled_images/2/camera").iterdir())[:2]
    first.unlink()
    second.write_bytes(second.read_bytes()[:-300])
    return first.name, second.name


def test_a_sound_folder(root):
    result = clearctl("verify", "--dataset-root", root)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert [re.sub(" +", " ", line).strip() for line in result.stdout.splitlines()] == [
        "check looked at result notes",
        "structure 1 labelled folder ok",
        "class names 3 classes ok",
        "metadata 9 files ok",
        "file lists 3 lists ok",
        "paths 63 paths ok",
        "overlaps 63 images ok",
        "splits 3 splits of a bucket ok",
        "features 0 files -",
        "",
        "images",
        "class 0 1 2",
        "BACKGROUND 7 7 7",
        "camera 7 7 7",
        "cup of tea 7 7 7",
        "all 21 21 21",
        "",
        "sound: no fault; 63 images of 3 classes in 3 buckets",
        "images were not decoded: --images does",
        f"next: clearctl train own_data --dataset-root {root}",
    ]


def test_faults_are_results(root):
    missing, truncated = spoil(root)
    result = clearctl("verify", "--dataset-root", root, "--images")
    assert result.exit_code == 4
    assert "error" not in result.stderr
    lines = result.stdout.splitlines()
    faults = [line for line in lines if line.startswith("  fault")]
    assert faults[0].startswith("  fault  labeled_metadata/1/camera.json is not JSON: ")
    assert faults[1] == f"  fault  labeled_images/2/camera/{missing}: missing (bucket 2, class 'camera')"
    assert faults[2].startswith(f"  fault  labeled_images/2/camera/{truncated}: cannot be decoded: image file is trunc")
    assert len(faults) == 3
    assert lines[-1] == "not sound: 3 faults; 56 images of 3 classes in 3 buckets"
    assert re.search(r"metadata +9  files +1 fault", result.stdout)
    assert re.search(r"camera +7 +- +7", result.stdout)


def test_json(root):
    missing, _ = spoil(root)
    result = clearctl("verify", "--dataset-root", root, "--json")
    assert result.exit_code == 4
    answer = json.loads(result.stdout)
    assert list(answer) == [
        "root",
        "sound",
        "prepared",
        "parts",
        "class_names",
        "buckets",
        "images_per_bucket",
        "images_per_bucket_and_class",
        "checks",
        "findings",
    ]
    assert (answer["root"], answer["sound"], answer["prepared"]) == (str(root), False, True)
    assert answer["images_per_bucket"] == {"0": 21, "1": 14, "2": 21}
    assert answer["images_per_bucket_and_class"]["1"] == {"BACKGROUND": 7, "camera": 0, "cup of tea": 7}
    assert answer["checks"][4] == {"name": "paths", "looked_at": 63, "unit": "paths", "faults": 1, "notes": 0}
    assert answer["findings"][1] == {
        "severity": "fault",
        "check": "paths",
        "text": f"labeled_images/2/camera/{missing}: missing (bucket 2, class 'camera')",
        "file": f"labeled_images/2/camera/{missing}",
        "bucket": "2",
        "class_name": "camera",
    }
    assert len(answer["findings"]) == 2


def test_json_of_a_sound_folder(root):
    result = clearctl("verify", "--images", "--json", CLEARCTL_DATASET_ROOT=str(root))
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert answer["sound"] is True
    assert answer["findings"] == []
    assert answer["checks"][-1] == {"name": "images", "looked_at": 63, "unit": "images", "faults": 0, "notes": 0}


def test_many_faults_are_not_all_shown(root):
    for path in [path for path in root.rglob("*.jpg") if path.parent.parent.name != "0"]:
        path.write_bytes(b"")
    result = clearctl("verify", "--dataset-root", root, "--images")
    assert result.exit_code == 4
    assert result.stdout.count("  fault  labeled_images") == 20
    assert "  and 22 more: --json lists all" in result.stdout
    assert len(json.loads(clearctl("verify", "--dataset-root", root, "--images", "--json").stdout)["findings"]) == 43


def test_many_classes(clear_folder):
    root = clear_folder(classes=[f"class {number}" for number in range(30)], images={("1", "class 3"): 1, "class 4": 9})
    result = clearctl("verify", "--dataset-root", root)
    assert [re.sub(" +", " ", line).strip() for line in result.stdout.splitlines()][11:15] == [
        "bucket images fewest of a class most of a class",
        "0 212 7 9",
        "1 206 1 9",
        "2 212 7 9",
    ]
    assert result.stdout.splitlines()[-3].startswith("sound: no fault, 1 note; 630 images of 30 classes in 3 buckets")


@pytest.mark.parametrize(
    ("arguments", "code", "reported"),
    [
        (["--dataset-root", "nowhere"], 4, "no dataset folder at nowhere"),
        (["--dataset-root", "."], 4, "is not a CLEAR folder"),
        (["--jobs", "2"], 2, "it needs --images"),
        (["--images", "--jobs", "0", "--dataset-root", "."], 2, "--jobs 0"),
        (["--images", "--jobs", "x"], 2, "--jobs"),
    ],
)
def test_what_is_refused(arguments, code, reported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = clearctl("verify", *arguments)
    assert result.exit_code == code, result.stderr
    assert reported in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal(root):
    """The table in colour, progress on the way, and long findings indented to the width of the terminal."""
    spoil(root)
    code, text = run_on_terminal(["verify", "--dataset-root", root, "--images"])
    assert code == 4, text
    assert "decode the images" in text
    assert "\x1b[1;31m1 fault" in text
    assert "\x1b[32mok" in text
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert max(len(line.rstrip()) for line in plain[plain.index("check ") :].splitlines()) <= 80
    assert "\r\n         " in plain


def test_off_a_terminal_in_a_process_of_its_own(root):
    shutil.rmtree(root / "training_folder")
    command = [sys.executable, "-m", "clearctl", "verify", "--dataset-root", str(root), "--images", "--jobs", "1"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "\x1b" not in result.stdout + result.stderr
    assert "\n  note  not prepared: no training_folder/bucket_indices.json; run `clearctl prepare-" in result.stdout
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stderr == "63 of 63 images are unchanged since an earlier check\n"
    assert again.stdout == result.stdout
