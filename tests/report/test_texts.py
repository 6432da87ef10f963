"""Markdown and LaTeX against golden files, and that no label breaks them; CSV and JSON against the files of the runs.

The golden files are what `clearctl report runs --format markdown` (or latex) prints of the runs of `make_few`.
"""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report.folders import MATRIX, groups_of, make_few, make_run, summary
from report.latex_tables import columns

from clearctl.report import latex, markdown
from clearctl.report.groups import Group, group_runs
from clearctl.report.latex import render_latex
from clearctl.report.markdown import render_markdown
from clearctl.report.records import render_csv, render_json, render_long_csv
from clearctl.report.runs import find_runs

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Group]:
    """The groups of `make_few`, whose folders are named from the current one."""
    make_few(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return groups_of(Path("runs"))


@pytest.mark.parametrize(
    ("file", "render"), [("few.md", render_markdown), ("few.tex", render_latex)], ids=["markdown", "latex"]
)
def test_golden(few: list[Group], file: str, render: Callable[[Sequence[Group]], str]) -> None:
    assert render(few) == (GOLDEN / file).read_text(encoding="utf-8")


def markdown_rows(text: str) -> list[list[list[str]]]:
    """The cells of each table, split at bars that are not escaped."""
    tables = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [
        [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()]
        for table in tables
    ]


def test_every_row_of_a_markdown_table_is_as_long_as_its_heading(few: list[Group]) -> None:
    tables = markdown_rows(render_markdown(few))
    assert len(tables) == 2 + len(few)
    for table in tables:
        assert len({len(row) for row in table}) == 1


def test_many_settings_are_listed_group_by_group(tmp_path: Path) -> None:
    for number in (1, 2):
        make_run(tmp_path / str(number), **{f"cl_strategy.argument_{letter}": number for letter in "abcde"})
    text = render_markdown(groups_of(tmp_path))
    assert "\n  - cl\\_strategy.argument\\_e = 2\n" in text
    assert len(markdown_rows(text)) == 3


def test_a_single_run_has_nothing_best_no_settings_and_no_notes(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    groups = groups_of(tmp_path)
    text = render_markdown(groups)
    assert "bold" not in text
    assert "**" not in text
    assert "##" in text
    assert "Settings" not in text
    assert "Notes" not in text
    assert "textbf" not in render_latex(groups)


@given(st.text(min_size=1))
def test_markdown_escapes_to_what_it_was(text: str) -> None:
    escaped = markdown.escaped(text)
    assert re.sub(r"\\([\\`*_{}\[\]<>#|~$&])", r"\1", escaped) == text
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_{}\[\]<>#|~$&]", escaped)


@given(st.text(min_size=1))
def test_latex_escapes_every_character_of_its_own(text: str) -> None:
    escaped = latex.escaped(text)
    words = "textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar|dots"
    plain = escaped.replace(r"$^\dagger$", "").replace(r"$\pm$", "").replace("$-$", "")
    rest = re.sub(rf"\\[{{}}$&#_%]|\\(?:{words})\{{\}}|\{{[\[*]\}}", "", plain)
    assert not set(rest) & set("\\{}$&#_%~^<>|[*†−±")
    dashes = text.count("–")  # each becomes two
    assert len(rest) == sum(letter not in "\\{}$&#_%~^<>|[*†−±…" for letter in text) + dashes


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(name=st.text(min_size=1), value=st.text())
def test_no_name_breaks_a_table(tmp_path_factory: pytest.TempPathFactory, name: str, value: str) -> None:
    root = tmp_path_factory.mktemp("runs")
    make_run(root / "1", name=name, **{"cl_strategy.argument": value})
    make_run(root / "2", name=name, **{"cl_strategy.argument": value + "x"})
    groups = groups_of(root)
    for table in markdown_rows(render_markdown(groups)):
        assert len({len(row) for row in table}) == 1
    text = render_latex(groups)
    assert len(columns(text)) == 8
    for cells in columns(text).values():
        assert len(cells) == 2
    rows = [line for line in text[text.index("\\midrule\n") :].splitlines() if " & 1 & " in line]
    assert all(row[0] not in "[*" for row in rows)  # which the \\ above would take for its own
    for line in text.splitlines()[: text[: text.index("{\\noindent")].count("\n")]:
        assert line.startswith("%")


def test_csv_has_a_row_for_each_group_with_raw_fractions(few: list[Group]) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(few))))
    assert [row["group"] for row in rows] == [group.label for group in few]
    assert [(row["n"], row["runs"]) for row in rows] == [("2", "2"), ("1", "1"), ("1", "2"), ("1", "1")]
    assert [row["cl_strategy.optimizer.lr"] for row in rows] == ["0.1", "1.0", "0.1", "0.1"]
    assert float(rows[0]["in_domain_mean"]) == pytest.approx((2.6 / 3 + 2.7 / 3) / 2)
    assert float(rows[0]["in_domain_std"]) == pytest.approx(0.1 / 3 / math.sqrt(2))
    assert float(rows[0]["training_s_mean"]) == 3.0
    assert rows[1]["in_domain_std"] == ""
    assert rows[3]["in_domain_mean"] == ""  # still going


def test_json_has_everything(few: list[Group]) -> None:
    found = json.loads(render_json(few))
    assert [group["label"] for group in found["groups"]] == [group.label for group in few]
    first, going = found["groups"][0], found["groups"][2]
    assert [run["folder"] for run in first["runs"]] == ["runs/1", "runs/2"]
    matrices = []
    for run in first["runs"]:
        folder = Path(run["folder"])
        rows = list(csv.reader((folder / "accuracy_matrix.csv").open()))[1:]
        assert run["accuracy_matrix"] == [[float(value) for value in row[1:]] for row in rows]
        evaluation = json.loads((folder / "eval.json").read_text())
        assert run["untrained"] == evaluation["untrained"]
        clear, gem = summary(run["accuracy_matrix"], evaluation["untrained"])
        assert run["numbers"] == pytest.approx({**clear, **gem, "training_s": 3.0}, abs=1e-12)
        matrices.append(run["accuracy_matrix"])
    for i in range(3):
        for j in range(3):
            one, two = matrices[0][i][j], matrices[1][i][j]
            assert first["mean"][i][j] == pytest.approx((one + two) / 2)
            assert first["std"][i][j] == pytest.approx(abs(one - two) / math.sqrt(2))
    assert first["settings"] == {"cl_strategy.type": "Naive", "cl_strategy.optimizer.lr": 0.1}
    assert found["groups"][1]["std"] is None
    assert [(run["finished"], run["counted"]) for run in going["runs"]] == [(True, True), (False, False)]
    assert found["best"]["accuracy"] == []  # of single runs nothing is known of chance
    assert found["best"]["training_s"] == []
    assert found["best"]["next_domain"] == []  # a tie
    assert len(found["notes"]) == 2


def test_what_there_is_none_of_is_a_dash_and_null(tmp_path: Path) -> None:
    """A single bucket has no next one."""
    for seed, value in enumerate((0.8, 0.7)):
        make_run(tmp_path / str(seed), [[value]], seed)
    groups = groups_of(tmp_path)
    [table, _] = markdown_rows(render_markdown(groups))
    assert table[2] == ["naive", "2", "75.0 ± 7.1", "-", "75.0 ± 7.1", "-", "-", "-", "-", "1.0 ± 0.0"]
    assert [cells["naive"] for cells in columns(render_latex(groups)).values()] == table[2][2:]
    [group] = json.loads(render_json(groups))["groups"]
    assert group["numbers"]["next_domain"] == {"mean": None, "std": None}
    assert [run["numbers"]["gem_bwt"] for run in group["runs"]] == [None, None]
    [row] = csv.DictReader(io.StringIO(render_csv(groups)))
    assert (row["next_domain_mean"], row["next_domain_std"]) == ("", "")


def test_the_same_seed_twice_is_noted(tmp_path: Path) -> None:
    make_run(tmp_path / "1", MATRIX, 4)
    make_run(tmp_path / "2", MATRIX, 4)
    [group] = groups_of(tmp_path)
    text = f"naive: of seed 4 {tmp_path}/{{}} is used, the newest; {tmp_path}/{{}} does not"
    assert len(group.counted) == 1
    one, other = (run.folder.name for run in (*group.counted, *(r for r in group.runs if r is not group.counted[0])))
    for rendered in (json.loads(render_json([group]))["notes"][0], render_csv([group]), render_latex([group])):
        assert text.format(one, other) in rendered
    assert markdown.escaped(text.format(one, other)) in render_markdown([group])


def test_two_datasets_are_noted(tmp_path: Path) -> None:
    make_run(tmp_path / "1")
    make_run(tmp_path / "2", filelists="1" * 64)
    assert "of 2 datasets" in render_markdown(groups_of(tmp_path))


def test_a_long_csv_gives_back_every_matrix(tmp_path: Path) -> None:
    """Of whole, unfinished and diverged runs, of a label that looks like a formula, and of a matrix from a file."""
    make_few(tmp_path / "runs")
    make_run(tmp_path / "runs/7", MATRIX, 2, name="=1+1", diverged={"bucket": "1", "epoch": 1, "reason": "NaN"})
    make_run(tmp_path / "runs/8", MATRIX, 0, name="old")
    kept = json.loads((tmp_path / "runs/8/eval.json").read_text())
    (tmp_path / "runs/8/eval.json").write_text(json.dumps({**kept, "untrained": []}))
    (tmp_path / "joint.csv").write_text("0.1,0.2,0.3\n" * 3)
    groups = group_runs(find_runs([tmp_path / "runs", tmp_path / "joint.csv"]))
    rows = list(csv.DictReader(io.StringIO(render_long_csv(groups))))
    for group in groups:
        for run in group.runs:
            mine = [row for row in rows if row["run"] == str(run.folder)]
            matrix = [[row for row in mine if int(row["trained_to_number"]) == k + 1] for k in range(len(run.matrix))]
            assert [[float(row["accuracy"]) for row in line] for line in matrix] == run.matrix.tolist()
            assert [[row["bucket"] for row in line] for line in matrix] == [run.bucket_names] * len(matrix)
            assert [{row["trained_to"] for row in line} for line in matrix] == [{name} for name in run.bucket_names][
                : len(matrix)
            ]
            before = [row for row in mine if row["trained_to_number"] == "0"]
            assert [float(row["accuracy"]) for row in before] == run.untrained
            assert len(mine) == run.matrix.size + len(run.untrained)
            assert {row["group"].lstrip("'") for row in mine} == {group.label}
            assert {row["seed"] for row in mine} == {"" if run.foreign else str(run.seed)}
            assert {row["strategy"] for row in mine} == {"" if run.foreign else run.values["cl_strategy"]["type"]}
            assert {row["diverged"] for row in mine} == {"FALSE" if run.diverged is None else "TRUE"}
            assert {row["counted"] for row in mine} == {"TRUE" if run in group.counted else "FALSE"}
    assert {row["diverged"] for row in rows} == {row["counted"] for row in rows} == {"TRUE", "FALSE"}
    assert len(rows) == sum(run.matrix.size + len(run.untrained) for group in groups for run in group.runs)
