"""`make-fewshot`, and `prepare-avalanche` on a release that comes split, as a user meets them."""

import json
import shlex

import pytest
from typer.testing import CliRunner

from clearctl import prepare_avalanche
from clearctl.cli import app


def clearctl(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def root(clear_folder):
    folder = clear_folder()
    prepare_avalanche(folder, test_ratio=0)
    return folder


def test_it_works_on_the_default_root(root, monkeypatch):
    monkeypatch.setenv("CLEARCTL_DATASET_ROOT", str(root))
    first = clearctl("make-fewshot", "--shot", 5, "--seed", 0)
    assert first.exit_code == 0, first.stderr
    assert first.stdout.splitlines() == [
        f"{root}: 5 images of each of 3 classes in 3 buckets: 45 to train on, 18 to test on, for seed 0",
        "12 files written, 0 up to date",
        "next: clearctl train own_data --set scenario.shot=5 --set scenario.seed=0",
    ]
    again = clearctl("make-fewshot")
    assert again.stdout.splitlines()[1] == "nothing to do: all 12 files are up to date"


def test_it_speaks_json(root):
    result = clearctl("make-fewshot", "--dataset-root", root, "--seeds", "0-1", "--buckets", "1-2", "--json")
    assert json.loads(result.stdout) == {
        "root": str(root),
        "shot": 5,
        "seeds": [0, 1],
        "buckets": ["1", "2"],
        "train_images_per_bucket": {"1": 15, "2": 15},
        "test_images_per_bucket": {"1": 6, "2": 6},
        "classes": 3,
        "written": 16,
        "unchanged": 0,
        "dry_run": False,
    }


@pytest.mark.parametrize(
    ("arguments", "code", "reported"),
    [
        (["--shot", "0"], 2, "--shot 0 is not a whole number"),
        (["--shot", "8"], 4, "7 images of class 'BACKGROUND' in bucket 0, too few for --shot 8"),
        (["--seed", "0", "--seeds", "0-4"], 2, "give one of them"),
        (["--seeds", "x"], 2, "--seeds x"),
        (["--seed", "-1"], 2, "the seed -1"),
        (["--buckets", "9"], 2, "no bucket 9"),
        (["--buckets", ""], 2, "--buckets"),
    ],
)
def test_wrong_arguments(root, arguments, code, reported):
    result = clearctl("make-fewshot", "--dataset-root", root, *arguments)
    assert result.exit_code == code, result.stderr
    assert reported in result.stderr
    assert result.stdout == ""
    assert not list((root / "training_folder").glob("*_shot"))


def test_a_release_that_comes_split(later_folder):
    root = later_folder()
    refused = clearctl("prepare-avalanche", "--dataset-root", root, "--seeds", "0-4")
    assert refused.exit_code == 2
    assert "which is its iid split" in refused.stderr
    done = clearctl("prepare-avalanche", "--dataset-root", root)
    assert done.exit_code == 0, done.stderr
    assert "train and test are the release's own" in done.stdout
    assert json.loads(clearctl("prepare-avalanche", "--dataset-root", root, "--json").stdout)["published_split"] is True


def test_a_path_is_printed_as_it_is(clear_folder):
    """Not read as rich's markup or emoji."""
    root = clear_folder("g[old] :smile:[/b]")
    result = clearctl("prepare-avalanche", "--dataset-root", root)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"{root}: 63 images")


@pytest.mark.parametrize("command", ["make-fewshot --shot 2 --seed 1", "prepare-avalanche"])
def test_the_next_command_works_as_it_is_printed(command, root):
    result = clearctl(*command.split(), "--dataset-root", root)
    first, program, *words = shlex.split(result.stdout.splitlines()[-1])
    assert (first, program) == ("next:", "clearctl")
    trained = clearctl(*words, "--device", "cpu", "--dry-run")
    assert trained.exit_code == 0, trained.stderr
