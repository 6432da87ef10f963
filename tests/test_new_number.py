"""A row that is added to `metrics.NUMBERS` is in everything that shows summary numbers, with no other file changed."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from report.folders import MATRIX, UNTRAINED, make_few
from report.latex_tables import columns
from typer.testing import CliRunner

from clearctl import metrics, rundir
from clearctl.cli import app, tables
from clearctl.cli.console import Output
from clearctl.cli.sweep_lines import as_json
from clearctl.cli.train import print_result
from clearctl.config.protocol import on_training_images
from clearctl.engine.run.resume import resume
from clearctl.engine.run.train import TrainResult
from clearctl.engine.states.results import RunResults
from clearctl.metrics import Number
from clearctl.report.groups import Group, group_runs
from clearctl.report.numbers import choose_numbers
from clearctl.report.plots import numbers_figure
from clearctl.report.report import FORMATS, TERMINAL, render
from clearctl.report.runs import find_runs
from clearctl.report.uncertainty import compare
from clearctl.sweep.outcome import RunOutcome
from clearctl.sweep.sweep import _finished_before

NAME = "last_median"
VALUE = 0.7  # of the last row of MATRIX
OWNERS = {"CLEAR": "clear_metrics", "GEM": "gem_metrics", "Lab_1": "lab_1_metrics", "": "other_metrics"}


def row(of: str, **changes: Any) -> Number:
    return Number(
        of,
        "last median",
        "last\nmedian",
        "median of the last row",
        lambda matrix, untrained: float(np.median(matrix[-1])),
        on_or_below_diagonal=True,
        **changes,
    )


@pytest.fixture(params=OWNERS)
def of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whose the new number is; its row is in the table, as the last one."""
    monkeypatch.setitem(metrics.NUMBERS, NAME, row(request.param))
    return str(request.param)


@pytest.fixture
def few(tmp_path: Path) -> list[Group]:
    return group_runs(find_runs([make_few(tmp_path / "few")]))


@pytest.fixture
def capture() -> Callable[..., str]:
    """What rich prints of a table, at any width."""

    def text(*shown: object) -> str:
        console = Output().stdout
        console.file = io.StringIO()
        console.width = 300
        for one in shown:
            console.print(one)
        return console.file.getvalue()

    return text


def test_in_the_results_of_a_run_and_in_eval_json(of: str, tmp_path: Path) -> None:
    results = RunResults(["0", "1", "2"], list(UNTRAINED))
    for values in MATRIX:
        assert results.numbers() == {}
        results.add(list(values), {}, {})
    assert results.numbers()[NAME] == VALUE  # what a logger is given at the end, too
    results.write(tmp_path)
    found = rundir.read_eval(tmp_path)
    assert found[OWNERS[of]][NAME] == VALUE
    assert metrics.from_json(found) == pytest.approx(results.numbers())


def test_in_what_train_and_resume_print(of: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    matrix = np.array(MATRIX)
    numbers = metrics.compute_numbers(matrix, np.array(UNTRAINED), added=False)
    marked = on_training_images({"scenario": {}, "cl_strategy": {"type": "Naive"}})
    result = TrainResult(tmp_path, ["0", "1", "2"], matrix, numbers, 1.0, on_training_images=marked)
    print_result(result, json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed[OWNERS[of]][NAME] == VALUE
    assert NAME in printed["on_training_images"]
    print_result(result, json=False)
    printed_text = capsys.readouterr().out
    assert f"{of}'s metrics" in printed_text if of else "other metrics" in printed_text
    line = next(line for line in printed_text.splitlines() if line.startswith(NAME))
    assert line.split()[1] == "70.0"
    assert line.rstrip().endswith("median of the last row; on training images")


def test_in_what_eval_prints(of: str, trained: TrainResult) -> None:
    expected = float(np.median(trained.matrix[-1]))
    asked = CliRunner().invoke(app, ["eval", str(trained.run), "--device", "cpu", "--json"])
    assert json.loads(asked.stdout)[OWNERS[of]][NAME] == pytest.approx(expected)
    asked = CliRunner().invoke(app, ["eval", str(trained.run), "--device", "cpu"])
    assert f" {100 * expected:.1f} " in next(line for line in asked.stdout.splitlines() if line.startswith(NAME))


def test_in_what_a_sweep_gives(of: str, tmp_path: Path) -> None:
    results = RunResults(["0", "1", "2"], list(UNTRAINED), rows=[list(values) for values in MATRIX])
    results.write(tmp_path)
    planned: Any = SimpleNamespace(run=tmp_path, label="x", seed=0, state="finished")
    plan: Any = SimpleNamespace(runs=[planned], jobs=1, threads=1, device="cpu", cluster=None)
    outcome = _finished_before(planned)
    assert outcome.numbers == pytest.approx(results.numbers())
    assert as_json(plan, [outcome])["runs"][0][OWNERS[of]][NAME] == VALUE
    assert as_json(plan, [RunOutcome("failed")])["runs"][0][OWNERS[of]] is None


def test_a_finished_run_that_is_resumed_has_it(of: str, trained: TrainResult, tmp_path: Path) -> None:
    """It was trained before there was the number: what it wrote is what it has."""
    run = shutil.copytree(trained.run, tmp_path / "run")
    assert resume(run, device="cpu").numbers == pytest.approx(trained.numbers)


@pytest.mark.parametrize("format", [format for format in FORMATS if format != TERMINAL])
def test_in_a_report(of: str, format: str, few: list[Group]) -> None:
    pair = few[0].label, few[1].label
    text = render(few, format, ci=True, compare=pair)
    if format == "json":
        found = json.loads(text)
        assert found["groups"][1]["numbers"][NAME]["mean"] == VALUE
        assert found["groups"][1]["runs"][0]["numbers"][NAME] == VALUE
        assert NAME in found["best"]
        assert NAME in found["comparison"]["numbers"]
    elif format == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert float(rows[1][f"{NAME}_mean"]) == VALUE
        assert f"{NAME}_ci_low" in rows[0]
    elif format == "latex":
        _require_whole_latex_table(text, of)
    elif format == "html":
        _require_whole_page(text, of)
    else:
        heading = next(line for line in text.splitlines() if line.startswith("| group |"))
        title = metrics.NUMBERS[NAME].title.replace("_", "\\_")
        assert title in heading
        assert f"- {title}: median of the last row" in text
        lines = [line for line in text.splitlines() if line.startswith(f"| {few[1].label}".replace("_", "\\_"))]
        assert lines
        assert lines[0].count("|") == heading.count("|")


def _require_whole_latex_table(text: str, of: str) -> None:
    found = columns(text)
    assert len(found) == len([number for number in choose_numbers([]).values() if number.measured is None])
    [(owner, heading)] = [one for one in found if "median" in one[1]]
    assert heading == ("last median" if of else r"last median (\%)")
    assert owner == (f"{of} (%)".replace("_", r"\_").replace("%", r"\%") if of else "")


def _require_whole_page(text: str, of: str) -> None:
    table = text[text.index('<table id="summary"') :].partition("</table>")[0]
    families, headings = table.split("<tr", 2)[1], table.split("<tr", 3)[2]
    spans = [int(part.partition('"')[0]) for part in families.split('colspan="')[1:]]
    single = families.count("<td") + families.count("<th") - len(spans)
    assert sum(spans) + single == headings.count("<th")
    assert metrics.NUMBERS[NAME].title in headings
    assert (f">{of} (%)</th>" in families) == bool(of)
    assert "<dd>median of the last row</dd>" in text
    assert f">{100 * VALUE:.1f}" in table


def test_on_the_terminal_and_in_the_figure(of: str, few: list[Group], capture: Callable[..., str]) -> None:
    from clearctl.report.tables import extra_tables, in_order

    numbers = in_order(few, choose_numbers([]))
    extras = extra_tables(few, numbers, ci=True, comparison=compare(few, few[0].label, few[1].label))
    shown = capture(tables.summary_table(few), *(tables.extra_table(extra, few, numbers) for extra in extras))
    assert shown.count(" median") == 3
    assert metrics.NUMBERS[NAME].title + " (%)" in [
        axes.get_title().replace("\n", " ") for axes in numbers_figure(few).axes
    ]
    result = CliRunner().invoke(app, ["report", str(few[0].runs[0].folder.parent)])
    assert " median" in result.stdout, result.stderr


def test_on_request_alone(few: list[Group], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(metrics.NUMBERS, NAME, row("", added=True))
    assert NAME not in choose_numbers([])
    assert NAME in choose_numbers([NAME])
    assert NAME not in RunResults(["0"], [0.1], rows=[[0.5]]).numbers()
    for format in FORMATS:
        if format != TERMINAL:
            assert "median" not in render(few, format)
            assert NAME in render(few, format, [NAME]) or "median" in render(few, format, [NAME])
    asked = CliRunner().invoke(app, ["report", str(few[0].runs[0].folder.parent), "--add", "no_such_number"])
    assert NAME in asked.stderr  # which lists them all


def test_seconds_are_no_percent(few: list[Group], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(metrics.NUMBERS, NAME, replace(row(""), unit="s", heading="last median (s)"))
    text = render(few, "latex")
    assert "; training in seconds; last median in seconds" in text
    assert " & 0.7" in text
