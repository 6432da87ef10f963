"""Accuracy matrices that were made elsewhere: which files are read, which are refused with which words."""

import json
from pathlib import Path

import pytest
from report.folders import MATRIX, added, make_run, summary

from clearctl.errors import RunError
from clearctl.report.foreign import read_foreign
from clearctl.report.groups import group_runs
from clearctl.report.page import render_page
from clearctl.report.plots import write_plots
from clearctl.report.records import render_json
from clearctl.report.report import make_report, render
from clearctl.report.runs import find_runs, require_one_dataset

PLAIN = "0.8,0.6,0.4\n0.7,0.9,0.5\n0.5,0.7,0.9\n"
HEADED = "1,2,3\n0.8,0.6,0.4\n0.7,0.9,0.5\n0.5,0.7,0.9\n"
NAMED = "1,0.8,0.6,0.4\n2,0.7,0.9,0.5\n3,0.5,0.7,0.9\n"
WHOLE = "trained_to,1,2,3\n1,0.8,0.6,0.4\n2,0.7,0.9,0.5\n3,0.5,0.7,0.9\n"


@pytest.fixture
def write(tmp_path: Path):
    """`write(text)` writes joint.csv and returns it."""

    def make(text: str | bytes, name: str = "joint.csv") -> Path:
        file = tmp_path / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return make


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (PLAIN, None),
        (HEADED, ["1", "2", "3"]),
        (NAMED, None),
        (WHOLE, ["1", "2", "3"]),
        (WHOLE.replace("trained_to", ""), ["1", "2", "3"]),
        (WHOLE.replace("\n", "\r\n"), ["1", "2", "3"]),
        ("\ufeff" + WHOLE, ["1", "2", "3"]),
        ("\n" + PLAIN.replace(",", " , ") + "\n\n", None),
        ('"to","2004, first",b,c\n"2004, first",.8,6e-1,0.4\nb,0.7,0.9,0.5\nc,0.5,0.7,0.9', ["2004, first", "b", "c"]),
        ("R,1,2,3\nafter 1,0.8,0.6,0.4\nafter 2,0.7,0.9,0.5\nafter 3,0.5,0.7,0.9\n", ["1", "2", "3"]),
    ],
)
def test_forms_that_are_read(text: str, names: list[str] | None, write) -> None:
    matrix, found = read_foreign(write(text))
    assert matrix.tolist() == [list(row) for row in MATRIX]
    assert found == names


def test_a_single_bucket(write) -> None:
    assert read_foreign(write("1\n"))[0].tolist() == [[1.0]]
    assert read_foreign(write("trained_to,4\n4,0\n"))[0].tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            PLAIN.replace("0.9,0.5", "90.0,0.5"),
            ", line 2: found '90.0', expected a fraction from 0 to 1: divide percentag",
        ),
        (
            WHOLE.replace("0.9\n", "90%\n"),
            ", line 4: found '90%', expected a fraction from 0 to 1: divide percentages by",
        ),
        (PLAIN.replace("0.9,0.5", "-0.9,0.5"), ", line 2: found '-0.9', expected a fraction from 0 to 1"),
        (PLAIN.replace("0.9,0.5", "nan,0.5"), ", line 2: found 'nan', expected a fraction from 0 to 1"),
        (PLAIN.replace("0.9,0.5", ",0.5"), ", line 2: found '', expected a fraction from 0 to 1"),
        (PLAIN.replace("0.9,0.5", "high,0.5"), ", line 2: found 'high', expected a fraction from 0 to 1"),
        (PLAIN.replace("0.9,0.5", "900,0.5"), ", line 2: found '900', expected a fraction from 0 to 1"),
        ("80,60\n70,90\n", ", line 1: found '80', expected a fraction from 0 to 1: divide percentages by 100"),
        (PLAIN.replace("0.9,0.5", "0.9"), ", line 2: found 2 cells, expected 3 as in line 1"),
        (WHOLE + "mean,0.7,0.7\n", ", line 5: found 3 cells, expected 4 as in line 1"),
        (PLAIN.replace(",", ";"), ", line 1: found '0.8;0.6;0.4', expected comma-separated numbers"),
        ("\n\n", " is empty: expected an accuracy matrix"),
        ("1,2,3\n0.8,0.6,0.4\n", ": found 2 lines of 3 cells, expected an accuracy matrix, N rows of N fractions,\n"),
        (WHOLE.rpartition("3,")[0], ": found 3 lines of 4 cells, expected an accuracy matrix"),
        # a row of an untrained model, a column of means: nothing is dropped
        ("0.3,0.2,0.1\n" + PLAIN, ": found 4 lines of 3 cells, expected an accuracy matrix"),
        ("0.6,0.8,0.6,0.4\n0.7,0.7,0.9,0.5\n0.7,0.5,0.7,0.9\n", ": found 3 lines of 4 cells, expected an accuracy"),
        ("trained_to,1,2,3\n1,0.8,0.6,0.4\n", ": found 2 lines of 4 cells, expected an accuracy matrix"),
        (WHOLE.replace("to,1,2,3", "to,1,2,2"), ", line 1: found a bucket twice in 1, 2, 2, expected a name for each"),
        (
            "to,1,2,3\n3,0.8,0.6,0.4\n2,0.7,0.9,0.5\n1,0.5,0.7,0.9\n",
            ", line 2: found the row of '3', expected '1'",
        ),
        (b"0.8,0.6\xff\n", " cannot be read as CSV: 'utf-8' codec"),
        (b"\x89PNG\r\n\x1a\n\0\0", " cannot be read as CSV: "),
    ],
)
def test_anything_else_is_refused(text: str | bytes, message: str, write) -> None:
    file = write(text)
    with pytest.raises(RunError) as caught:
        find_runs([file])
    assert caught.value.exit_code == 5
    assert str(caught.value).startswith(f"{file}{message}")
    assert str(caught.value).count("\n") <= 1


def test_it_is_a_row_of_its_own_named_by_its_file(write, tmp_path: Path) -> None:
    file = write(PLAIN)
    runs = tmp_path / "runs"
    make_run(runs / "1", MATRIX, 0)
    make_run(runs / "2", MATRIX, 1, **{"scenario.seed": 1})
    make_run(runs / "3", MATRIX, 0, **{"cl_strategy.optimizer.lr": 1.0})
    groups = make_report([file, runs])
    assert [group.label for group in groups] == ["naive, lr=0.1", "naive, lr=1.0", "joint.csv"]
    assert [list(group.settings) for group in groups] == [["cl_strategy.optimizer.lr"]] * 2 + [[]]
    (run,) = groups[2].runs
    assert (run.seed, run.finished, run.bucket_names) == (None, True, ["0", "1", "2"])
    clear, gem = summary(MATRIX, (0, 0, 0))
    del gem["gem_fwt"]  # nobody knows what it was before any training
    assert run.numbers == pytest.approx({**clear, **added(MATRIX), **gem})
    found = json.loads(render_json(groups))
    assert found["groups"][2]["runs"][0]["seed"] is None
    assert found["groups"][2]["numbers"].keys() == {*clear, "gem_bwt"}
    assert found["best"]["training_s"] == []
    assert found["notes"] == []


@pytest.mark.slow
def test_every_format_takes_it_alone_too(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    groups = group_runs(find_runs([write(WHOLE), write(PLAIN, "other.csv")]))
    for format in ("latex", "markdown", "csv", "json"):
        assert "joint.csv" in render(groups, format)
    page = render_page(groups)
    assert "<dd>joint.csv, other.csv</dd>" in page
    assert "from a file" in page
    make_run(tmp_path / "run")
    page = render_page(group_runs(find_runs([tmp_path / "run", tmp_path / "joint.csv"])))
    assert "<dt>from files</dt><dd>joint.csv</dd>" in page
    assert len(write_plots(groups, tmp_path / "plots")) == 9


def test_two_of_one_name_are_two_rows(write, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    groups = group_runs(find_runs([write(PLAIN), write(PLAIN, "more/joint.csv"), tmp_path / "joint.csv"]))
    assert [group.label for group in groups] == [f"joint.csv, {tmp_path.name}", "joint.csv, more"]


def test_other_buckets_do_not_belong_in_one_table(write, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    require_one_dataset(find_runs([run, write(PLAIN)]))
    for text in (WHOLE, "0.5,0.5\n0.5,0.5\n"):  # buckets 1 to 3, and two buckets; the run has 0 to 2
        runs = find_runs([run, write(text)])
        with pytest.raises(RunError, match=r"run and \S+joint.csv have different buckets"):
            require_one_dataset(runs)
    groups = make_report([run, write(WHOLE)], force=True)
    assert json.loads(render_json(groups))["notes"] == [
        "the runs are of 2 datasets or choices of buckets: do not compare their numbers"
    ]
    require_one_dataset(find_runs([write(WHOLE), write(HEADED, "other.csv")]))


def test_a_runs_own_matrix_is_read_as_any(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (found,) = find_runs([run / "accuracy_matrix.csv"])
    assert found.matrix.tolist() == [list(row) for row in MATRIX]
    assert found.bucket_names == ["0", "1", "2"]
