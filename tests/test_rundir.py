"""Run folders: made again each time, and read back as they were written."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from clearctl import rundir
from clearctl.config.load import dump
from clearctl.errors import RunError


def test_create_never_gives_one_folder_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [rundir.create(Path("a/b c"), 3) for _ in range(12)]
    assert len(set(runs)) == 12
    assert all(run.is_absolute() and run.is_dir() and run.parent == tmp_path / "a/b c" for run in runs)
    assert all(re.fullmatch(r"\d{8}-\d{6}-seed3(-\d+)?", run.name) for run in runs)


def test_create_counts_on_within_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearctl.rundir.time.strftime", lambda form: "20261123-101500")
    names = [rundir.create(tmp_path, 0).name for _ in range(3)]
    assert names == ["20261123-101500-seed0", "20261123-101500-seed0-2", "20261123-101500-seed0-3"]
    assert rundir.create(tmp_path, 1).name == "20261123-101500-seed1"


def test_create_where_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(RunError) as caught:
            rundir.create(folder, 0)
        first, second = str(caught.value).split("\n")
        assert first.startswith(f"cannot create a run folder in {folder}: ")
        assert second == "choose another folder with --work-dir"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_create_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="Permission denied"):
        rundir.create(tmp_path, 0)


def test_matrix_reads_back_bit_for_bit(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).random((3, 3))
    matrix[0] = [1 / 3, 0.1 + 0.2, 1.0]
    names = ["0", "a,b", 'quoted "x"']
    rundir.write_matrix(tmp_path, matrix, names)
    found, found_names = rundir.read_matrix(tmp_path)
    assert np.array_equal(found, matrix)
    assert found_names == names


def test_unfinished_matrix_has_the_rows_so_far(tmp_path: Path) -> None:
    rundir.write_matrix(tmp_path, np.array([[0.5, 0.25, 1.0]]), ["0", "1", "2"])
    assert (tmp_path / "accuracy_matrix.csv").read_text() == "trained_to,0,1,2\n0,0.5,0.25,1.0\n"
    assert rundir.read_matrix(tmp_path)[0].shape == (1, 3)


@pytest.mark.parametrize("text", [None, "", "damaged", "trained_to,0\n0,high\n", "trained_to,0,1\n0,0.5,0.5\n1,0.5\n"])
def test_matrix_that_cannot_be_read(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "accuracy_matrix.csv").write_text(text)
    with pytest.raises(RunError, match="cannot be read") as caught:
        rundir.read_matrix(tmp_path)
    assert str(tmp_path / "accuracy_matrix.csv") in str(caught.value)


def test_checkpoints_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    assert rundir.checkpoints(tmp_path) == {}
    (tmp_path / "checkpoints").mkdir()
    for name in ("exp_10.pth", "exp_2.pth", "exp_1.pth", "exp_x.pth", "exp_3.pth.tmp", ".exp_4.pth.ab.tmp", "best.pth"):
        (tmp_path / "checkpoints" / name).write_bytes(b"")
    found = rundir.checkpoints(tmp_path)
    assert list(found) == [1, 2, 10]
    assert all(path == rundir.checkpoint_file(tmp_path, number) for number, path in found.items())


def test_is_run_needs_config_and_environment(tmp_path: Path) -> None:
    assert not rundir.is_run(tmp_path / "none")
    (tmp_path / "config.py").write_text("")
    assert not rundir.is_run(tmp_path)
    (tmp_path / "environment.json").write_text("{}")
    assert rundir.is_run(tmp_path)


def test_metrics_are_appended_a_line_each(tmp_path: Path) -> None:
    records = [{"event": "epoch", "bucket": "größe\n2", "loss": 0.1 + 0.2}, {"event": "test", "accuracy": 1 / 3}]
    for record in records:
        rundir.append_metrics(tmp_path, record)
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == records


def test_config_is_read_as_it_was_written(tmp_path: Path) -> None:
    values = {
        "name": "a 'quoted' name",
        "scenario": {"buckets": [1, 2], "shot": None, "pair": (1, ("a", 2.5))},
        "cl_strategy": {"type": "Naive"},
        "loss": {"weight": [float("inf"), -1.5e-7], "on": True},
    }
    rundir.config_file(tmp_path).write_text(dump(values))
    assert rundir.read_config(tmp_path) == values


@pytest.mark.parametrize("text", ["a = open('b')", "a = 1; b", "a.b = 3", "a = [", "import os", "a = float(open('b'))"])
def test_config_that_no_run_wrote(text: str, tmp_path: Path) -> None:
    rundir.config_file(tmp_path).write_text(text)
    with pytest.raises(RunError, match="is damaged"):
        rundir.read_config(tmp_path)


@pytest.mark.parametrize(
    "statement",
    [
        "import os",
        "a += 1",
        "del a",
        "(a := 1)",
        "a = b = 1",
        "a.b = 1",
        "a = open('b')",
        "a = {**b}",
        "a = float('x')",
    ],
)
def test_the_line_of_a_config_that_is_code_is_named(statement: str, tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(f"seed = 0\n{statement}\n")
    with pytest.raises(
        RunError, match=r"is damaged: line 2 is not `name = literal`, and no code of a run folder is run"
    ):
        rundir.read_config(tmp_path)


def test_a_line_of_the_metrics_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    assert rundir.read_metrics(tmp_path) == []
    rundir.append_metrics(tmp_path, {"event": "test"})
    with rundir.metrics_file(tmp_path).open("a") as file:
        file.write('{"event": "te')
    assert rundir.read_metrics(tmp_path) == [{"event": "test"}]


def test_a_run_is_finished_once_its_last_weights_are_there_and_its_states_gone(tmp_path: Path) -> None:
    assert not rundir.is_finished(tmp_path)
    rundir.write_matrix(tmp_path, np.array([[1.0, 0.5]]), ["0", "1"])
    rundir.checkpoint_file(tmp_path, 1).parent.mkdir()
    rundir.checkpoint_file(tmp_path, 1).touch()
    assert not rundir.is_finished(tmp_path)
    rundir.write_matrix(tmp_path, np.array([[1.0, 0.5], [0.5, 1.0]]), ["0", "1"])
    assert not rundir.is_finished(tmp_path)
    rundir.checkpoint_file(tmp_path, 2).touch()
    assert rundir.is_finished(tmp_path)
    shutil.rmtree(rundir.checkpoint_file(tmp_path, 2).parent)  # to save room: the results are there still
    assert rundir.is_finished(tmp_path)
    rundir.state_folder(tmp_path).mkdir()
    (rundir.state_folder(tmp_path) / "bucket_1.state").touch()
    assert not rundir.is_finished(tmp_path)
