"""`clearctl report` as a user meets it."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from report.folders import MATRIX, make_few, make_run
from typer.testing import CliRunner, Result
from warm import run_on_terminal

from clearctl.cli import app


def clearctl(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def run(trained, tmp_path: Path) -> Path:
    """A copy of a real run."""
    return shutil.copytree(trained.run, tmp_path / "runs" / "real")


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_few(Path("runs"))


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def test_a_real_run_in_every_format(run: Path, trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    accuracy = percent(json.loads((run / "eval.json").read_text())["clear_metrics"]["accuracy"])
    diagonal = percent(trained.matrix[0][0])
    for format, words in {
        "terminal": [accuracy, "trained to", diagonal],
        "latex": [f" & {accuracy} & ", "\\toprule"],
        "markdown": [f"| {accuracy} |", f"| 0 | {diagonal} |"],
        "csv": ["tiny,1,1,", repr(trained.clear_metrics["accuracy"])],
        "json": [repr(trained.clear_metrics["accuracy"])],
    }.items():
        result = clearctl("report", run, "--format", format)
        assert result.exit_code == 0, result.stderr
        assert result.stderr == ""
        for word in words:
            assert word in result.stdout, (format, word)
    assert not (tmp_path / "report.html").exists()
    page = clearctl("report", run, "--format", "html")
    assert page.exit_code == 0, page.stderr
    assert page.stdout == ""
    assert page.stderr == f"report written to {run / 'report.html'}\n"
    assert accuracy in (run / "report.html").read_text()


def test_json_is_one_object_on_stdout(few: Path) -> None:
    result = clearctl("report", few, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["groups"][0]["n"] == 2
    assert result.stdout == clearctl("report", few, "--format", "json").stdout
    beside = clearctl("report", few, "--json", "--output", "table.csv")
    assert beside.stdout == result.stdout
    assert Path("table.csv").read_text() == clearctl("report", few, "--format", "csv").stdout
    assert beside.stderr == "report written to table.csv\n"


def test_a_text_goes_to_stdout_or_to_the_file(few: Path) -> None:
    text = clearctl("report", few, "--format", "markdown").stdout
    result = clearctl("report", few, "--output", "table.md")
    assert (result.exit_code, result.stdout) == (0, "")
    assert Path("table.md").read_text() == text


def test_the_terminal_has_matrices_summary_settings_and_notes(few: Path) -> None:
    result = clearctl("report", few)
    assert result.exit_code == 0, result.stderr
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    start = lines.index("naive, lr=0.1: accuracy (%), mean ± std of 2 runs")
    assert lines[start + 1 : start + 4] == [
        " trained to    0    1    2",
        "          0 85.0 60.0 40.0",
        "            ±7.1 ±0.0 ±0.0",
    ]
    assert "naive, lr=0.1       2   88.3   55.0  77.5     66.7     50.0 -22.5 40.0      3.0" in lines
    assert "                        ±2.4   ±0.0  ±3.5     ±4.7     ±0.0  ±3.5 ±0.0     ±0.0" in lines
    assert "ewc                 1      -      -     -        -        -     -    -      1.0" in lines
    assert "naive, lr=1.0                           Naive         1.0" in lines
    assert "warning: runs/6 is not finished (1 of 3 buckets)" in result.stderr
    assert "runs/5 is not finished" in result.stderr
    assert "\x1b" not in result.stdout


def test_added_numbers_and_a_matrix_from_a_file(few: Path) -> None:
    Path("joint.csv").write_text("\n".join(",".join(map(str, row)) for row in MATRIX))
    result = clearctl("report", few / "3", "joint.csv", "--add", "challenge, final_domain")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert "joint.csv: accuracy (%), from a file" in lines
    start = lines.index("added; *: better than every other group by more than chance (95 %)")
    assert [line.split() for line in lines[start + 1 : start + 5]] == [
        ["chal-", "final"],
        ["group", "n", "lenge", "domain"],
        ["naive", "1", "63.7", "60.0"],
        ["joint.csv", "1", "63.7", "60.0"],
    ]
    assert max(map(len, lines)) <= 80
    assert "joint.csv    1   86.7   55.0  75.0     63.3     50.0 -25.0    -        -" in lines
    refused(clearctl("report", few, "--add", "chalenge"), 2, "did you mean 'challenge'?")
    Path("joint.csv").write_text("80.0,60.0\n70.0,90.0\n")
    refused(clearctl("report", few, "joint.csv"), 5, "joint.csv, line 1: found '80.0', expected a fraction")


@pytest.mark.parametrize("size", [10, 11, 13])
def test_the_matrix_fits_80_columns(tmp_path: Path, size: int) -> None:
    for seed in (0, 1):
        make_run(tmp_path / str(seed), [[1.0 - seed * 0.3] * size] * size, seed)
    lines = clearctl("report", tmp_path).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    shown = "85.0" if size == 13 else " 85.0"  # as wide as its deviation where there is room
    assert f"          0 {' '.join([shown] * size)}" in [line.rstrip() for line in lines]
    assert (f"            {' '.join(['±21.2'] * size)}" in [line.rstrip() for line in lines]) == (size < 13)
    assert "…" not in "".join(lines)


def test_more_buckets_than_fit_are_shown_in_whole_percent(tmp_path: Path) -> None:
    for seed in (0, 1):
        make_run(tmp_path / str(seed), [[1.0 - seed * 0.3] * 30] * 30, seed)
    lines = [line.rstrip() for line in clearctl("report", tmp_path).stdout.splitlines()]
    assert f"          0 {' '.join([' 85'] * 30)}" in lines
    assert f"            {' '.join(['±21'] * 30)}" in lines


def test_a_terminal_gets_colours_and_bold(few: Path) -> None:
    code, text = run_on_terminal(["report", few])
    assert code == 0, text
    assert re.search(r"\x1b\[1;4;[\d;]*m85\.0", text)  # the diagonal
    assert not re.search(r"\x1b\[1;32m", text)  # of single runs none is best
    for seed in (0, 1):
        make_run(few / f"7-{seed}", [[0.95] * 3] * 3, seed, **{"cl_strategy.type": "LwF"})
    _, text = run_on_terminal(["report", *(few / name for name in ("1", "2", "7-0", "7-1"))])
    assert re.search(r"\x1b\[1;32m95\.0", text)


@pytest.mark.parametrize("count", [1, 9, 60])
def test_few_and_many_groups_of_long_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(count):
        name = f"group {number:02} " + "with a long name " * 5
        values = {f"cl_strategy.argument_{letter}": number for letter in "abcdef"}
        make_run(Path(f"runs/{number:02}"), name=name, **values)
    for format in ("terminal", "latex", "markdown", "csv", "json"):
        result = clearctl("report", "runs", "--format", format)
        assert result.exit_code == 0, result.stderr
        found = " ".join(result.stdout.split())
        for number in range(count):
            assert f"group {number:02}" in found
    shown = clearctl("report", "runs")
    assert max(map(len, shown.stdout.splitlines()[-count:])) <= 80
    assert shown.stdout.count("trained to") == (1 if count == 1 else 0)
    assert ("are left out" in shown.stderr) == (count > 1)
    rows = list(csv.DictReader(io.StringIO(clearctl("report", "runs", "--format", "csv").stdout)))
    assert [row.get("cl_strategy.argument_f") for row in rows] == (
        [None] if count == 1 else list(map(str, range(count)))
    )


def refused(result: Result, code: int, *reported: str) -> None:
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    for text in reported:
        assert text in result.stderr


def test_bad_input(few: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(clearctl("report"), 2, "RUN_DIR")
    refused(clearctl("report", "nowhere"), 5, "no such folder: nowhere", "no run to report")
    refused(clearctl("report", "empty"), 5, "empty is not a run folder, and contains none: left out")
    refused(clearctl("report", few, "--format", "pdf"), 2, "--format pdf: expected terminal")
    refused(clearctl("report", few, "--output", "x.doc"), 2, "x.doc")
    refused(clearctl("report", few, "--output", "x.md", "--format", "csv"), 2, "leave one of them out")
    refused(clearctl("report", few, "--json", "--format", "csv"), 2, "leave one of them out")
    Path("file").write_text("")
    unwritable = clearctl("report", few, "--output", "file/x.md")
    refused(unwritable, 5, "error: file/x.md cannot be written: File exists; choose another with --output\n")
    make_run(few / "other", MATRIX, filelists="1" * 64)
    refused(clearctl("report", few), 5, "have different datasets", "--force")
    forced = clearctl("report", few, "--force")
    assert forced.exit_code == 0
    assert "of 2 datasets" in forced.stderr


def test_a_folder_that_is_no_run_is_skipped(few: Path) -> None:
    result = clearctl("report", "nowhere", few, "--format", "csv")
    assert result.exit_code == 0
    assert result.stderr == "warning: no such folder: nowhere\n"
    assert len(result.stdout.splitlines()) == 5


@pytest.mark.parametrize("options", [["--format", "terminal"], ["--format", "json"], ["--help"]])
def test_where_nobody_reads_it_ends_quietly(few: Path, options: list[str]) -> None:
    """As with `| head -1`, but surely before the first write."""
    command = [sys.executable, "-m", "clearctl", "report", str(few), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_figures(few: Path) -> None:
    result = clearctl("report", few / "1", "--figures", "figures", "--draw", "matrix, over-time", "--width", "column")
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in Path("figures").iterdir()) == [
        f"{name}.{suffix}" for name in ("matrix-naive", "over-time") for suffix in ("pdf", "png", "svg")
    ]
    assert result.stderr.endswith("2 figures written to figures, each as PNG, PDF and SVG\n")
    old = clearctl("report", few / "1", "--plots", "plots", "--draw", "metrics", "--format", "csv")
    assert old.stderr.endswith("1 figure written to plots, each as PNG, PDF and SVG\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--draw", "metrics"], "--draw metrics: add --figures DIR, the folder for the figures"),
        (
            ["--figures", "x", "--draw", "matrixes"],
            "did you mean 'matrices'? expected some of metrics, matrix, accuracy, over-time",
        ),
        (
            ["--figures", "x", "--draw", "classes"],
            "it needs metrics=[dict(type='class_accuracy_metrics', stream=True)]",
        ),
    ],
)
def test_figures_that_there_are_none_of(few: Path, arguments: list[str], words: str) -> None:
    result = clearctl("report", few / "1", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in " ".join(result.stderr.split())
    assert not Path("x").exists()


@pytest.mark.process
def test_a_report_imports_no_torch_and_draws_only_when_asked(few: Path) -> None:
    code = (
        "import sys\n"
        "from clearctl.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'torchvision', 'avalanche', 'mmcv', 'mmcls', 'wandb', 'sklearn', 'matplotlib', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    for arguments in ([], ["--format", "latex"]):
        command = [sys.executable, "-c", code, "report", str(few / "1"), *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        assert ended.stderr.splitlines()[-1] == "[]"


def test_a_hundred_runs_in_twenty_groups(run: Path, tmp_path: Path) -> None:
    """Copies of a real run: 20 learning rates, 5 seeds. Reported to two kinds of table."""
    for rate in range(20):
        for seed in range(5):
            copy = shutil.copytree(run, tmp_path / "many" / f"{rate}-{seed}", ignore=shutil.ignore_patterns("*.pth"))
            config = (copy / "config.py").read_text()
            assert "'lr': 0.1" in config
            (copy / "config.py").write_text(config.replace("'lr': 0.1", f"'lr': {rate / 10}"))
            environment = json.loads((copy / "environment.json").read_text())
            (copy / "environment.json").write_text(json.dumps({**environment, "seed": seed}))
    for format in ("terminal", "markdown"):
        command = [sys.executable, "-m", "clearctl", "report", str(tmp_path / "many"), "--format", format]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "lr=1.9" in ended.stdout


def test_a_long_csv_of_a_real_run(run: Path, trained, tmp_path: Path) -> None:
    text = clearctl("report", run, "--format", "csv", "--long").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    found = [float(row["accuracy"]) for row in rows if row["trained_to_number"] != "0"]
    assert found == trained.matrix.ravel().tolist()
    beside = clearctl("report", run, "--json", "--long", "--output", tmp_path / "long.csv")
    assert beside.exit_code == 0, beside.stderr
    assert (tmp_path / "long.csv").read_text() == text
    assert json.loads(beside.stdout)["groups"][0]["n"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--long needs the format csv, not terminal: use --format csv --long"),
        (["--json"], "--long needs the format csv"),
        (["--output", "x.html"], "--long needs the format csv, not html"),
        (["--format", "csv", "--ci", "--add", "challenge"], "leave out --add and --ci"),
    ],
)
def test_what_a_long_csv_has_no_place_for(few: Path, arguments: list[str], words: str) -> None:
    result = clearctl("report", few, "--long", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in " ".join(result.stderr.split())
    assert not Path("x.html").exists()
