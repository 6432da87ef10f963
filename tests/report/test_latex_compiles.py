"""LaTeX compiles the tables, and nothing of them sticks out of a page or a column."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report.folders import MATRIX, make_few, make_run

from clearctl.report.groups import group_runs
from clearctl.report.report import render
from clearctl.report.runs import find_runs

DOCUMENT = "\\documentclass[%s]{article}\n\\usepackage{booktabs}\n\\begin{document}\n%s\n\\end{document}\n"
LONG = "a_name_that_is_longer_than_anything_that_a_table_has_room_for"


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pdflatex() -> str:
    found = shutil.which("pdflatex")
    if found is None:
        if os.environ.get("CLEARCTL_NEEDS_LATEX"):
            pytest.fail("there is no pdflatex on the PATH")
        pytest.skip("there is no pdflatex on the PATH")
    return found


def overfull(pdflatex: str, folder: Path, table: str, options: str) -> list[str]:
    """What LaTeX says of boxes that are too wide or too high."""
    (folder / "paper.tex").write_text(DOCUMENT % (options, table))
    command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    assert ended.returncode == 0, ended.stdout[-2000:]
    assert (folder / "paper.pdf").stat().st_size > 1000
    return re.findall(r"^Overfull.*", (folder / "paper.log").read_text(errors="replace"), re.MULTILINE)


@pytest.mark.parametrize("size", ["10pt", "12pt"])
@pytest.mark.parametrize("width", ["page", "column"])
def test_a_table_fits(pdflatex: str, width: str, size: str, tmp_path: Path) -> None:
    """Of names that have to be escaped or broken, with intervals and a comparison, all numbers and a caption."""
    runs = make_few(tmp_path / "runs")
    for seed in (0, 1):
        make_run(runs / f"7-{seed}", [[0.99] * 3] * 3, seed, name=LONG, seconds=1234.5, **{"cl_strategy.type": "GEM"})
        make_run(
            runs / f"8-{seed}", MATRIX, seed, name=f"{LONG} with_words", **{"scenario.evaluation_protocol": "streaming"}
        )
    groups = group_runs(find_runs([runs]))
    options = f"{size},twocolumn" if width == "column" else size
    assert overfull(pdflatex, tmp_path, render(groups, "latex", width=width), options) == []
    for some, pair in ((groups[:4], (groups[0].label, groups[1].label)), (groups[4:], None)):
        text = render(some, "latex", ["challenge", "final_domain"], ci=True, compare=pair, width=width)
        assert overfull(pdflatex, tmp_path, text, options) == []
    if width == "page":
        text = render(groups[:4], "latex", caption="100% of it: \\a_b {c}", title="T & T")
        assert overfull(pdflatex, tmp_path, text, options) == []
    wide = "\\noindent\\hbox to 2\\hsize{x\\hfil y}"
    assert overfull(pdflatex, tmp_path, wide, options) != []  # which the test would see


def test_of_many_groups_all_are_there(pdflatex: str, tmp_path: Path) -> None:
    for number in range(20):
        make_run(tmp_path / f"runs/{number}", MATRIX, **{"cl_strategy.optimizer.lr": 0.1 * number})
    groups = group_runs(find_runs([tmp_path / "runs"]))
    text = render(groups, "latex", columns=["in_domain", "gem_bwt"])
    assert overfull(pdflatex, tmp_path, text, "10pt") == []
    assert [line.split(" & ")[0] for line in text.splitlines() if line.startswith("naive")] == [
        group.label for group in groups
    ]
