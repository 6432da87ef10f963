"""docs/formats.md names the keys and columns that the files really have, no more and no less."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clearctl import rundir
from clearctl.features import record

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"
# Of what not every run has.
NOT_ALWAYS = {"extraction", "resumed", "stacked", "graph", "mlflow_run"}


def section(heading: str) -> str:
    """The text below a heading, up to the next one."""
    return re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)[1]


def first_column(text: str) -> list[str]:
    """The code in the first column of the tables in `text`."""
    cells = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


@pytest.fixture(scope="module")
def run(trained) -> Path:
    return trained.run


def test_environment(run):
    named = first_column(section("environment.json"))
    assert set(named) - NOT_ALWAYS == set(rundir.read_environment(run))
    row = next(line for line in section("environment.json").splitlines() if line.startswith("| `dataset`"))
    assert set(rundir.read_environment(run)["dataset"]) == set(re.findall(r"`([^`]+)`", row)) - {"dataset"}


def test_metrics(run):
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section("metrics.jsonl"), re.MULTILINE)
    documented = {event: set(re.findall(r"`([^`]+)`", keys)) for event, keys in rows}
    lines = rundir.read_metrics(run)
    assert {line["event"] for line in lines} == set(documented) == {"epoch", "test"}
    for line in lines:
        assert set(line) - {"event"} == documented[line["event"]]


def test_eval(run):
    text = section("eval.json")
    found = rundir.read_eval(run)
    assert first_column(text)[:6] == list(found)
    for name in ("clear_metrics", "gem_metrics"):
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}`"))
        assert set(found[name]) <= set(re.findall(r"`([^`]+)`", row))
    names = {re.sub(r"Exp\d+", "Exp004", name) for kind in ("train", "test") for name in found[kind]["0"]}
    documented = set(re.findall(r"`([^`]+)`", text))
    like = {name.replace("Loss", "Top1_Acc", 1) for name in names}  # "the same with Loss in place of Top1_Acc"
    assert like <= documented


def test_selection():
    from clearctl.config.load import Config
    from clearctl.sweep.outcome import RunOutcome
    from clearctl.sweep.plan import PlannedRun
    from clearctl.sweep.select.choice import choose
    from clearctl.sweep.select.metric import SelectionMetric
    from clearctl.sweep.select.record import record

    planned = PlannedRun("c", 0, Config({}, "c.py"), "c.py", "new", None, name="c")
    metric = SelectionMetric("accuracy")
    [choice] = choose([(planned, RunOutcome("finished", numbers={"accuracy": 0.5}))], metric)
    found = record(choice, metric, None, "grid")
    assert first_column(section("selection.json")) == list(found)
    row = next(line for line in section("selection.json").splitlines() if line.startswith("| `settings`"))
    named = set(re.findall(r"`([^`]+)`", row)) - {"settings"}
    assert named == {*found["settings"][0], *found["settings"][0]["runs"][0]}


def test_files_of_a_run(run):
    text = section("A run folder")
    patterns = {name.replace("<k>", r"\d+") for name in first_column(text)}
    there = [str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()]
    assert {"config.py", "report.html"} <= set(there)
    for name in there:
        assert any(re.match(pattern, name) for pattern in patterns), name


def test_extraction():
    keys = first_column(section("training_folder"))[-4:]
    written = re.findall(r'^                "(\w+)":', Path(record.__file__).read_text(), re.MULTILINE)
    assert keys == written == ["settings", "about", "dimension", "buckets"]


@pytest.mark.slow
def test_report(run, tmp_path):
    def report(format: str) -> str:
        command = [sys.executable, "-m", "clearctl", "report", str(run), "--format", format]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    text = section("A report")
    found = json.loads(report("json"))
    assert set(found) <= set(re.findall(r"`([^`]+)`", text))
    assert set(found["groups"][0]) <= set(re.findall(r"`([^`]+)`", text))
    heading = next(csv.reader(report("csv").splitlines()))
    assert heading[:3] == ["group", "n", "runs"]
    assert heading[-4:] == ["diverged", "protocol", "on_training_images", "notes"]
    assert all(name.endswith(("_mean", "_std")) for name in heading[3:-4])
