"""`clearctl config check`, `show`, `list` and `copy`, and `train --dry-run`."""

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from clearctl.cli import app

ROOT = Path(__file__).parents[2]
FAULTY = ROOT / "tests" / "engine" / "build" / "faulty"


@pytest.fixture(autouse=True)
def _in_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def clearctl(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_all_faults_of_all_files_at_once():
    files = [FAULTY / "unknown_backbone.py", FAULTY / "no_epochs.py", "configs/demo.py"]
    result = clearctl("config", "check", *files, "--dataset-root", "nowhere")
    assert result.exit_code == 3
    assert "'ResNt'" in result.stderr
    assert "expected a whole number from 1" in result.stderr
    assert result.stdout.splitlines() == [
        "configs/demo.py: no fault found (checked against no dataset: its folder does not exist)",
        "next: clearctl train configs/demo.py --dataset-root nowhere --dry-run",
    ]
    assert "images, features and weights were not read" in result.stderr
    answer = clearctl("config", "check", *files, "--json", "--dataset-root", "nowhere")
    assert answer.exit_code == 3
    assert [len(found["faults"]) for found in json.loads(answer.stdout).values()] == [1, 1, 0]


def test_the_command_that_is_named_for_the_rest_runs(prepared, tiny_config):
    result = clearctl("config", "check", tiny_config, "--dataset-root", prepared, "--set", "seed=3")
    verdict, last = result.stdout.splitlines()
    assert verdict == f"{tiny_config}: no fault found (checked against {prepared})"
    first, program, *words = shlex.split(last)
    assert (first, program) == ("next:", "clearctl")
    assert clearctl(*words).exit_code == 0


def test_show_names_the_origin_of_each_value():
    result = clearctl("config", "show", "configs/demo.py", "--set", "cl_strategy.train_epochs=1")
    lines = {line.partition(" = ")[0]: line for line in result.stdout.splitlines()}
    assert lines["cl_strategy.train_epochs"].split() == ["cl_strategy.train_epochs", "=", "1", "#", "--set"]
    assert lines["cl_strategy.scheduler.gamma"].endswith("# configs/_base_/naive.py")
    assert lines["model.backbone.depth"].endswith("# configs/demo.py")
    answer = json.loads(clearctl("config", "show", "configs/demo.py", "--json").stdout)
    assert answer["config"]["cl_strategy"]["train_epochs"] == 70
    assert answer["origins"]["cl_strategy.train_epochs"] == "configs/_base_/naive.py"


def test_dry_run(prepared, tiny_config):
    result = clearctl("train", tiny_config, "--dataset-root", prepared, "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "3 buckets: 0, 1, 2" in result.stdout
    answer = json.loads(clearctl("train", tiny_config, "--dataset-root", prepared, "--dry-run", "--json").stdout)
    assert answer["buckets"] == ["0", "1", "2"]


def test_shipped_configs_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = clearctl("config", "check", "demo", "paper/ewc", "--dataset-root", "nowhere")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 4)
    assert result.stdout.startswith("demo: no fault found")
    result = clearctl("config", "check", "demoo")
    assert result.exit_code == 3
    assert "demoo: no such config file; did you mean 'demo'?" in result.stderr
    for command in (["train"], ["sweep"], ["config", "show"]):
        result = clearctl(*command, "demoo")
        assert (result.exit_code, "did you mean 'demo'?" in result.stderr) == (3, True), command
    assert clearctl("config", "show", "demo", "--json").exit_code == 0
    result = clearctl("extract-features", "--config", "demoo")
    assert "did you mean 'demo'?" in result.stderr


def test_list_and_copy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = clearctl("config", "list").stdout.splitlines()
    rows = json.loads(clearctl("config", "list", "--json").stdout)["configs"]
    assert [line.split()[0] for line in lines] == [row["name"] for row in rows]
    assert all(Path(row["file"]).is_file() and row["what"] in line for row, line in zip(rows, lines, strict=True))
    result = clearctl("config", "copy", "paper/ewc")
    assert result.stdout.splitlines()[0] == "configs/paper/ewc.py"
    answer = json.loads(clearctl("config", "copy", "paper/ewc", "mine", "--json").stdout)
    assert answer["config"] == "mine/paper/ewc.py"
    assert all(Path(file).is_file() for file in [answer["config"], *answer["bases"]])
    assert clearctl("config", "copy", "ewk").exit_code == 3
