"""The numbers that are added to a report on request, in every format, and nowhere without a request."""

import csv
import io
import json
from pathlib import Path

import pytest
from report.folders import MATRIX, added, make_few
from report.latex_tables import columns

from clearctl.errors import UsageError
from clearctl.report.groups import Group, group_runs
from clearctl.report.numbers import ADDED, NUMBERS, choose_numbers
from clearctl.report.plots import numbers_figure
from clearctl.report.report import make_report, render
from clearctl.report.runs import find_runs

BOTH = ("final_domain", "challenge")
THERE = [name for name, number in NUMBERS.items() if number.measured is None]  # in runs that measure nothing else


@pytest.fixture
def few(tmp_path: Path) -> list[Group]:
    return group_runs(find_runs([make_few(tmp_path / "few")]))


def test_which_numbers_there_are() -> None:
    assert list(choose_numbers([])) == list(NUMBERS)
    assert list(choose_numbers(["final_domain"])) == [*list(NUMBERS)[:5], "final_domain", *list(NUMBERS)[5:]]
    assert list(choose_numbers(BOTH)) == [*list(NUMBERS)[:5], "challenge", "final_domain", *list(NUMBERS)[5:]]
    assert choose_numbers(["accuracy"]) == NUMBERS
    with pytest.raises(UsageError, match="--add chalenge: no such number; did you mean 'challenge'?"):
        choose_numbers(["chalenge"])
    with pytest.raises(UsageError, match="expected challenge or final_domain"):
        make_report(["nowhere"], add=["x"])


def test_in_every_text(few: list[Group]) -> None:
    score, final = (added(MATRIX)[name] for name in ("challenge", "final_domain"))
    percents = f"{100 * score:.1f}", f"{100 * final:.1f}"
    rows = list(csv.DictReader(io.StringIO(render(few, "csv", BOTH))))
    # The second group is a single run of MATRIX.
    assert float(rows[1]["challenge_mean"]) == pytest.approx(score)
    assert float(rows[1]["final_domain_mean"]) == pytest.approx(final)
    found = json.loads(render(few, "json", BOTH))
    assert found["groups"][1]["numbers"]["challenge"]["mean"] == pytest.approx(score)
    assert found["groups"][1]["runs"][0]["numbers"]["final_domain"] == pytest.approx(final)
    assert set(found["best"]) == {*THERE, *ADDED}
    latex = render(few, "latex", BOTH)
    owners = [owner for owner, _ in columns(latex)]
    assert owners == [r"CLEAR (\%)"] * 7 + [r"GEM (\%)"] * 2 + [""]
    assert [heading for _, heading in columns(latex)][5:8] == ["challenge", "final domain", "BWT"]
    assert all(percent in latex for percent in percents)
    for format in ("markdown", "html"):
        text = render(few, format, BOTH)
        for word in (*percents, "challenge", "final domain"):
            assert word in text, (format, word)


@pytest.mark.parametrize("format", ["latex", "markdown", "csv", "json", "html"])
def test_not_without_a_request(format: str, few: list[Group]) -> None:
    text = render(few, format)
    assert text == render(few, format, [])
    assert "challenge" not in text
    assert "final" not in text


def test_the_figure_has_room_for_all(few: list[Group]) -> None:
    titles = [axes.get_title() for axes in numbers_figure(few, choose_numbers(BOTH)).axes]
    assert len(titles) == len(THERE) + 2
    assert "challenge (%)" in titles
    assert len(numbers_figure(few).axes) == len(THERE)
