"""`clearctl sweep --select` as a user meets it, and the reports of what it leaves."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from clearctl import rundir
from clearctl.cli import app

LR = "cl_strategy.optimizer.lr"
HELD_OUT = ("--set", "scenario.validation=0.25")
SELECT = ("--select", "validation.accuracy")


def clearctl(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (
            ["--select", "accuracy"],
            "--select accuracy: settings are chosen on validation images only: write validation",
        ),
        (["--select", "validation.acc"], "--select validation.acc: unknown number, expected validation.acc"),
        (list(SELECT), "features has no validation images: add --set scenario.validation=0.1"),
        (["--select-on", "first:2"], "--select-on needs --select, such as --select validation.accuracy"),
        ([*SELECT, *HELD_OUT, "--select-on", "2"], "--select-on 2: expected first:K, such as first:3"),
        ([*SELECT, *HELD_OUT, "--select-on", "first:9"], "--select-on first:9: features has 3 buckets"),
        (["--engine", "optuna", "--trials", "3"], "--engine optuna needs --select"),
        (["--engine", "optuna", *SELECT], "--engine optuna needs --trials, such as --trials 40"),
        (["--trials", "3"], "--trials is not for --engine local"),
        (["--sampler-seed", "3"], "--sampler-seed is not for --engine local"),
        (["--gpus-per-run", "1", "--engine", "optuna"], "--gpus-per-run is not for --engine optuna"),
        (["--set", f"{LR}=0.1..0.2"], f"--set {LR}=0.1..0.2: a range needs --engine optuna"),
        (
            ["--engine", "optuna", "--trials", "3", *SELECT, *HELD_OUT, "--set", f"{LR}=0.2..0.1"],
            "expected LOW..HIGH with LOW below HIGH",
        ),
    ],
)
def test_wrong_arguments(
    arguments: list[str], reported: str, features_config: Path, prepared: Path, tmp_path: Path
) -> None:
    given = ("--dataset-root", prepared, "--work-dir", tmp_path / "runs", "--device", "cpu")
    result = clearctl("sweep", features_config, *given, *arguments)
    assert result.exit_code == 2, result.stderr
    assert result.stderr.count(reported) == 1, result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_shows_both_stages(features_config: Path, prepared: Path, tmp_path: Path) -> None:
    given = ["--dataset-root", prepared, "--work-dir", tmp_path / "runs", "--device", "cpu", "--dry-run"]
    given += ["--seeds", "0-1", *HELD_OUT, *SELECT, "--select-on", "first:2"]
    result = clearctl("sweep", features_config, *given, "--set", f"{LR}=0.1,0.5,0.9")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.splitlines()[:2] == [
        "selection by validation accuracy on the first 2 buckets: 3 settings of 1 config, 6 runs;"
        " then the test of the chosen: 2 runs",
        "6 runs: 6 new",
    ]
    assert result.stdout.splitlines()[1].split() == ["features,lr=0.1", "0-1", "new"]
    searched = ["--engine", "optuna", "--trials", "7", "--set", f"{LR}=0.1..0.9"]
    result = clearctl("sweep", features_config, *given, *searched)
    assert result.stderr.splitlines() == [
        "selection by validation accuracy on the first 2 buckets: 7 settings of 1 config, 14 runs;"
        " then the test of the chosen: 2 runs",
        f"{LR}: 0.1..0.9",
    ]
    answer = json.loads(clearctl("sweep", features_config, *given, *searched, "--json").stdout)
    assert answer == {
        "engine": "optuna",
        "select": {"metric": "validation.accuracy", "first": 2, "settings": 7, "runs": 14},
        "test": {"settings": 1, "runs": 2},
    }
    answer = json.loads(clearctl("sweep", features_config, *given, "--set", f"{LR}=0.1,0.5", "--json").stdout)
    assert (answer["select"]["settings"], answer["test"]["runs"], len(answer["runs"])) == (2, 2, 4)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def swept(features_config: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The work directory of a sweep of two configs of three settings, of which one diverges, and the command."""
    place = tmp_path_factory.mktemp("swept")
    other = place / "replay.py"
    other.write_text(features_config.read_text().replace('"Naive"', '"Replay", mem_size=6'))
    arguments = ["sweep", features_config, other, "--seeds", "0-1", *HELD_OUT, *SELECT, "--set", f"{LR}=0.001,0.3,1e38"]
    arguments += ["--set", "cl_strategy.train_epochs=6", "--dataset-root", prepared, "--work-dir", place / "runs"]
    arguments += ["--device", "cpu", "--jobs", "2"]
    return place / "runs", (arguments, clearctl(*arguments, "--json"))


def test_each_config_has_its_best_setting_tested(swept: tuple[Path, Any]) -> None:
    work_dir, (arguments, result) = swept
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["select"]["file"] == str(work_dir / "selection.json")
    chosen = {choice["config"]: choice["chosen"] for choice in answer["select"]["choices"]}
    assert chosen == {"features": "features,lr=0.3", "replay": "replay,lr=0.3"}
    for choice in answer["select"]["choices"]:
        assert [len(setting["runs"]) for setting in choice["settings"]] == [2, 2, 2]
        assert "diverged" in choice["settings"][2]["why_not"]
        for setting in choice["settings"][:2]:
            values = [rundir.read_eval(Path(run["folder"]))["clear_metrics"]["accuracy"] for run in setting["runs"]]
            assert [run["value"] for run in setting["runs"]] == values
            assert setting["mean"] == pytest.approx(sum(values) / 2)
    assert [(run["label"], run["seed"]) for run in answer["runs"]] == [
        (label, seed) for label in chosen.values() for seed in (0, 1)
    ]
    lines = result.stderr.splitlines()
    assert "selection, on validation images:" in lines
    assert "test, on the test part:" in lines
    assert any(
        ": finished after " in line and ": validation accuracy " in line and line.endswith(" %") for line in lines
    )
    assert "features,lr=0.3: chosen of 3 settings by validation accuracy (mean of 2 seeds)" in lines
    assert "warning: replay,lr=1e+38 could not be chosen: seed 0 diverged" in lines


def test_the_same_command_shows_it_again_and_runs_nothing(swept: tuple[Path, Any]) -> None:
    work_dir, (arguments, _) = swept
    before = sorted(work_dir.rglob("*"))
    result = clearctl(*arguments)
    assert result.exit_code == 0, result.stderr
    assert sorted(work_dir.rglob("*")) == before
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["features:", "validation", "accuracy", "(%)"] in rows
    [best] = [row for row in rows if row[:1] == ["features,lr=0.3"] and "chosen" in row]
    assert best[2:] == ["±", best[3], "2", "chosen"]
    assert ["features,lr=1e+38", "-", "2", "seed", "0", "diverged"] in rows
    assert any(row[:2] == ["replay,lr=0.3", "2"] for row in rows)  # of the tests


def test_a_report_never_takes_them_for_tests(swept: tuple[Path, Any], tmp_path: Path) -> None:
    work_dir, _ = swept
    tests = clearctl("report", work_dir)
    assert "12 runs tested on validation images, such as " in tests.stderr
    assert "(validation)" not in tests.stdout
    assert "features: chosen of 3 settings by validation accuracy (mean of 2 seeds)" in tests.stderr
    names = {group["label"] for group in json.loads(clearctl("report", work_dir, "--json").stdout)["groups"]}
    assert names == {"features", "replay"}
    for format in ("terminal", "csv", "json", "latex", "markdown", "html"):
        file = tmp_path / f"report.{format}"
        where = [] if format == "terminal" else ["--format", format, *(["--output", file] if format == "html" else [])]
        shown = clearctl("report", work_dir / "selection", *where)
        assert shown.exit_code == 0, shown.stderr
        text = file.read_text() if format == "html" else shown.stdout
        assert text.count("(validation)") >= 6, format
    both = clearctl("report", work_dir, "--force", "--json")
    labels = [group["label"] for group in json.loads(both.stdout)["groups"]]
    assert len(labels) == 8
    assert sum("(validation)" in label for label in labels) == 6
