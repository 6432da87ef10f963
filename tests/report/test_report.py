"""The one library call: what is written where, and what is refused before or after the runs are read."""

import json
from pathlib import Path

import pytest
from report.folders import make_few, make_run

from clearctl import make_report
from clearctl.errors import RunError, UsageError
from clearctl.progress import Event, Message
from clearctl.report.report import render

STARTS = {
    "html": "<!doctype html",
    "latex": "% needs",
    "markdown": "Accuracy in percent",
    "csv": "group,n",
    "json": "{",
}


def messages(reported: list[Event]) -> list[str]:
    return [event.text for event in reported if isinstance(event, Message)]


@pytest.mark.parametrize(
    ("name", "format", "written"),
    [
        ("report.html", None, "html"),
        ("table.TEX", None, "latex"),
        ("new/folder/table.md", "markdown", "markdown"),
        ("table.csv", None, "csv"),
        ("table.json", "json", "json"),
        ("table.inc", "latex", "latex"),
    ],
)
def test_the_suffix_says_what_is_written_else_the_format(
    tmp_path: Path, name: str, format: str | None, written: str
) -> None:
    make_few(tmp_path / "runs")
    reported: list[Event] = []
    groups = make_report(tmp_path / "runs", output=tmp_path / name, format=format, listener=reported.append)
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert text.lower().startswith(STARTS[written].lower())
    if written != "html":  # which has the time in it
        assert text == render(groups, written)
    assert messages(reported) == [f"report written to {tmp_path / name}"]
    assert len(groups) == 4


def test_without_output_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_few(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for format in (None, "terminal", "markdown", "json"):
        make_report([tmp_path / "runs"], format=format)
    assert sorted(tmp_path.rglob("*")) == before


def test_html_without_output_goes_to_the_one_run_that_is_named_else_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = make_run(tmp_path / "runs/1"), make_run(tmp_path / "runs/2", seed=1)
    monkeypatch.chdir(tmp_path)
    make_report([one], format="html")
    assert (one / "report.html").is_file()
    assert not Path("report.html").exists()
    for several in ([one, two], ["runs"]):
        make_report(several, format="html")
        Path("report.html").unlink()
    assert not (two / "report.html").exists()


@pytest.mark.parametrize(
    ("output", "format", "words"),
    [
        (None, "pdf", "--format pdf: expected terminal, html, latex, markdown, csv or json"),
        ("x.md", "latex", "x.md is markdown, but --format says latex"),
        ("x.txt", None, "ends in .html, .tex, .md, .csv or .json"),
        ("x", None, "ends in .html"),
        ("x.txt", "terminal", "is for the terminal"),
        ("x.html", "terminal", "x.html is html, but --format says terminal"),
    ],
)
def test_arguments_that_make_no_sense(tmp_path: Path, output: str | None, format: str | None, words: str) -> None:
    """Refused before anything is read: there is no run here."""
    with pytest.raises(UsageError) as refused:
        make_report([tmp_path], output=output, format=format)
    assert words in str(refused.value)


@pytest.mark.parametrize("name", ["eval.json", "environment.json", "accuracy_matrix.csv", "config.py", "metrics.jsonl"])
def test_a_run_s_own_files_are_not_written_over(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path / "run")
    before = (run / name).read_bytes()
    format = None if name.endswith((".csv", ".json")) else "json"
    with pytest.raises(UsageError, match="the run's own file"):
        make_report([run], output=run / name, format=format)
    assert (run / name).read_bytes() == before


@pytest.mark.parametrize("name", ["file/report.md", "folder.md"])
def test_an_output_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    make_run(tmp_path / "run")
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.md").mkdir()
    with pytest.raises(RunError) as refused:
        make_report([tmp_path / "run"], output=tmp_path / name)
    assert f"{name} cannot be written" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.md", "run"]


def test_plots_that_cannot_be_written(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="figures cannot be written to .*file"):
        make_report([tmp_path / "run"], plots=tmp_path / "file")


def test_other_datasets_need_force(tmp_path: Path) -> None:
    make_run(tmp_path / "1")
    make_run(tmp_path / "2", [[0.5]], filelists="1" * 64)
    with pytest.raises(RunError, match="--force"):
        make_report([tmp_path], output=tmp_path / "x.json")
    assert not (tmp_path / "x.json").exists()
    make_report([tmp_path], output=tmp_path / "x.json", force=True)
    found = json.loads((tmp_path / "x.json").read_text())
    assert [group["buckets"] for group in found["groups"]] == [["0", "1", "2"], ["0"]]


def test_render_knows_no_terminal(tmp_path: Path) -> None:
    make_run(tmp_path / "1")
    with pytest.raises(UsageError, match="--format terminal"):
        render(make_report(tmp_path), "terminal")
