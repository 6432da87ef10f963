"""Title, caption, labels, columns and order of one's own, in every format; and what is refused."""

import csv
import io
import json
from pathlib import Path

import pytest
from report.folders import MATRIX, groups_of, make_run
from report.latex_tables import columns
from typer.testing import CliRunner, Result

from clearctl import make_report
from clearctl.cli import app
from clearctl.errors import UsageError
from clearctl.report.view import ordered

LABELS = ("EWC & co", "naive", "late")
ASKED = [
    *("--label", "ewc=EWC & co", "--columns", "gem_bwt,accuracy,challenge", "--sort", "accuracy"),
    *("--title", "Of three <strategies>", "--caption", "100% of_it"),
]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """EWC is the best, and one has not ended."""
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        make_run(Path(f"runs/1-{seed}"), MATRIX, seed)
        better = [[0.95 - 0.002 * seed] * 3] * 3
        make_run(
            Path(f"runs/2-{seed}"), better, seed, name="ewc", **{"cl_strategy.type": "EWC", "cl_strategy.mode": "x"}
        )
    make_run(Path("runs/0"), MATRIX[:1], name="late", **{"cl_strategy.type": "LwF"})
    return Path("runs")


def clearctl(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_terminal(runs: Path) -> None:
    result = clearctl("report", runs, *ASKED)
    assert result.exit_code == 0, result.stderr
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert lines[1:4] == ["Of three <strategies>", "", "100% of_it"]
    assert [line.split()[0] for line in lines if line.endswith(("2 runs", "a single run"))] == [
        "EWC",
        "naive:",
        "late:",
    ]
    start = next(number for number, line in enumerate(lines) if line.startswith("group "))
    assert lines[start - 1].split() == ["GEM", "accu-", "chal-"]
    assert lines[start].split() == ["group", "n", "BWT", "racy", "lenge"]
    assert lines[start + 1].split() == ["EWC", "&", "co", "2", "0.0*", "94.9*", "94.9*"]
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("EWC & co") and "mode" not in line for line in lines[start + 6 :])


def test_markdown_and_latex(runs: Path) -> None:
    text = clearctl("report", runs, *ASKED, "--format", "markdown").stdout
    assert text.startswith("# Of three \\<strategies\\>\n\n100% of\\_it\n\nAccuracy in percent")
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert table[0] == "| group | n | GEM BWT (%) | accuracy (%) | challenge (%) |"
    assert [row.split(" | ")[0] for row in table[2:5]] == ["| EWC \\& co", "| naive", "| late"]
    assert text.index("matrix of EWC") < text.index("matrix of naive") < text.index("matrix of late")
    text = clearctl("report", runs, *ASKED, "--format", "latex").stdout
    assert [heading for _, heading in columns(text)] == ["BWT", "accuracy", "challenge"]
    assert list(columns(text)["GEM (\\%)", "BWT"]) == ["EWC \\& co", "naive", "late"]
    assert "\\begin{table*}[t]\n\\centering\n\\caption{100\\% of\\_it}\n\\label{tab:of-three-strategies}\n" in text
    assert text.endswith("\\end{table*}\n")
    assert "% Of three <strategies>\n" in text
    narrow = clearctl("report", runs, *ASKED, "--format", "latex", "--width", "column").stdout
    assert "\\begin{table}[t]" in narrow


def test_csv_and_json(runs: Path) -> None:
    text = clearctl("report", runs, *ASKED, "--format", "csv").stdout
    lines = text.splitlines()
    assert lines[:2] == ["# Of three <strategies>", "# 100% of_it"]
    rows = list(csv.DictReader(io.StringIO("\n".join(lines[2:]))))
    assert [row["group"] for row in rows] == list(LABELS)
    assert list(rows[0])[3:9] == [
        f"{name}_{part}" for name in ("gem_bwt", "accuracy", "challenge") for part in ("mean", "std")
    ]
    assert all(row["notes"].startswith("numbers are fractions") for row in rows)
    assert "runs/0 is not finished" in rows[2]["notes"]
    found = json.loads(clearctl("report", runs, *ASKED, "--json").stdout)
    assert (found["title"], found["caption"]) == ("Of three <strategies>", "100% of_it")
    assert [group["label"] for group in found["groups"]] == list(LABELS)
    assert list(found["groups"][0]["numbers"]) == ["gem_bwt", "accuracy", "challenge"]
    long = clearctl("report", runs, "--format", "csv", "--long", "--label", "ewc=E", "--sort", "label").stdout
    assert list(dict.fromkeys(row["group"] for row in csv.DictReader(io.StringIO(long)))) == ["E", "late", "naive"]


def test_the_page(runs: Path) -> None:
    assert clearctl("report", runs, *ASKED, "--output", "x.html").exit_code == 0
    text = Path("x.html").read_text()
    assert "<h1>Of three &lt;strategies&gt;</h1>" in text
    assert '<p class="caption">100% of_it</p>' in text
    table = text[text.index('<table id="summary"') :].partition("</table>")[0]
    places = [
        table.index(f">{word}") for word in ("GEM BWT<", "accuracy<", "challenge<", "EWC &amp; co<", "naive<", "late<")
    ]
    assert places == sorted(places)
    assert "in-domain<" not in table


def test_columns_and_added_numbers(runs: Path) -> None:
    text = clearctl("report", runs, "--columns", "accuracy", "--add", "challenge,accuracy", "--format", "csv").stdout
    assert text.splitlines()[0].split(",")[3:7] == ["accuracy_mean", "accuracy_std", "challenge_mean", "challenge_std"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--columns", "acuracy"],
            "--columns acuracy: no such number; did you mean 'accuracy'? expected some of",
        ),
        (["--columns", "accuracy,accuracy"], "--columns: accuracy is given 2 times"),
        (["--columns", "ece"], "--columns ece: not measured by any run expected some of in_domain, next_domain"),
        (["--sort", "acuracy"], "--sort acuracy: no such column; did you mean 'accuracy'? expected label or"),
        (["--sort", "moode"], "settings: cl_strategy.type, cl_strategy.mode"),
        (
            ["--label", "evc=x"],
            "no such label, or part of one; did you mean 'ewc'? KEY is one of: late; naive; ewc",
        ),
        (["--label", "ewc=naive"], "2 groups would have the label 'naive'"),
        (["--width", "wide"], "--width wide: expected column or page"),
        (["--long", "--format", "csv", "--title", "x", "--columns", "accuracy"], "leave out --columns and --title"),
    ],
)
def test_what_is_refused(runs: Path, arguments: list[str], words: str) -> None:
    for output in ([], ["--output", "x.csv"]) if "--format" not in arguments else ([],):
        result = clearctl("report", runs, *arguments, *output)
        assert (result.exit_code, result.stdout) == (2, "")
        assert words in " ".join(result.stderr.split())
    assert not Path("x.csv").exists()


def test_sorted_by_what_there_is(tmp_path: Path) -> None:
    for number, (lr, text) in enumerate(((10.0, "b"), (9.0, "a"), (0.5, "c"))):
        matrix = [[0.1 * (number + 1)] * 3] * 3
        make_run(tmp_path / str(number), matrix, seconds=3 - number, name=text, **{"cl_strategy.optimizer.lr": lr})
    make_run(tmp_path / "3", MATRIX[:2], name="d", seconds=0.1, **{"cl_strategy.k": 1})
    groups = groups_of(tmp_path)
    for by, expected in {
        "accuracy": "cabd",
        "training_s": "dcab",  # less is better
        "label": "abcd",
        "lr": "dcab",
        "cl_strategy.optimizer.lr": "dcab",
        "k": "dbac",  # which the others lack
    }.items():
        assert "".join(group.label for group in ordered(groups, by)) == expected, by
    with pytest.raises(UsageError):
        ordered(groups, "momentum")  # in which they do not differ


def test_the_same_from_python(runs: Path) -> None:
    groups = make_report(runs, labels=["ewc=E"], columns=["accuracy"], sort="accuracy", output="x.md", title="T")
    assert [group.label for group in groups] == ["E", "naive", "late"]
    assert Path("x.md").read_text().startswith("# T\n")
