"""Confidence intervals over seeds, and groups compared seed by seed."""

import csv
import io
import json
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report.folders import make_run

from clearctl.errors import UsageError
from clearctl.report.groups import Group, group_runs
from clearctl.report.report import make_report, render
from clearctl.report.runs import find_runs
from clearctl.report.uncertainty import RESAMPLES, compare, interval, intervals

VALUES = (0.5, 0.6, 0.7, 0.55)


def of_value(folder: Path, value: float, seed: int, **values: Any) -> None:
    make_run(folder, [[value, 0.5], [0.5, value]], seed, **values)


@pytest.fixture
def two(tmp_path: Path) -> list[Group]:
    """A group of four seeds, and one of three of them and another, which is better by 0.1, 0.2 and 0.15."""
    for seed, value in enumerate(VALUES):
        of_value(tmp_path / f"a{seed}", value, seed)
    for seed, value in {1: 0.7, 2: 0.9, 3: 0.7, 9: 0.1}.items():
        of_value(tmp_path / f"b{seed}", value, seed, name="other", **{"cl_strategy.type": "Replay"})
    return group_runs(find_runs([tmp_path]))


def test_an_interval_is_of_means_of_resamples() -> None:
    """Against a bootstrap written out."""
    found = interval(VALUES)
    assert found is not None
    rng = np.random.default_rng(1)
    means = np.sort(rng.choice(VALUES, (RESAMPLES, len(VALUES))).mean(1))
    assert found == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.01)
    assert found == interval(VALUES)
    assert found[0] < statistics.fmean(VALUES) < found[1]


def test_there_is_none_of_a_single_run_and_of_nan() -> None:
    assert interval([0.5]) is None
    assert interval([0.5, math.nan]) is None
    assert interval([0.5, 0.5]) == (0.5, 0.5)


def test_pairs_are_of_equal_seeds(two: list[Group]) -> None:
    found = compare(two, "other", "naive")
    assert (found.label, found.pairs) == ("other − naive", 3)
    differences = [0.7 - 0.6, 0.9 - 0.7, 0.7 - 0.55]
    assert found.differences["in_domain"].mean == pytest.approx(statistics.fmean(differences))
    assert found.differences["in_domain"].std == pytest.approx(statistics.stdev(differences))
    assert found.intervals["in_domain"] == pytest.approx(interval(differences))
    other = compare(two, "naive", "other")
    assert other.differences["in_domain"].mean == pytest.approx(-statistics.fmean(differences))


def test_groups_that_cannot_be_compared(two: list[Group], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--compare nave: no such group; did you mean 'naive'\?\nexpected one"):
        compare(two, "nave", "other")
    of_value(tmp_path / "more/1", 0.5, 50, name="late", **{"cl_strategy.k": 1})
    of_value(tmp_path / "more/2", 0.5, 60, name="late", **{"cl_strategy.k": 2})
    groups = [*two, *group_runs(find_runs([tmp_path / "more"]))]
    with pytest.raises(UsageError, match="late: 2 groups have that name\nexpected one of: late, k=1; late, k=2"):
        compare(groups, "late", "naive")
    with pytest.raises(UsageError, match="the groups have no common seed"):
        compare(groups, "late, k=2", "naive")
    of_value(tmp_path / "elsewhere", 0.5, 0, name="elsewhere", filelists="1" * 64)
    with pytest.raises(UsageError, match="different datasets"):
        compare([*two, *group_runs(find_runs([tmp_path / "elsewhere"]))], "elsewhere", "naive")


def test_every_format_has_them_where_they_are_asked_for(two: list[Group]) -> None:
    asked: dict[str, Any] = dict(ci=True, compare=("other", "naive"))
    low, high = intervals(two[0])["in_domain"] or (0.0, 0.0)
    shown = f"[{100 * low:.1f}, {100 * high:.1f}]"
    for form in ("markdown", "latex", "html"):
        text = render(two, form, **asked).replace(r"\[", "[").replace(r"\]", "]").replace("{[}", "[")
        assert shown in text, form
        assert "15.0 ± 5.0" in text.replace(r"$\pm$", "±"), form
        assert "interval" not in render(two, form)
    found = json.loads(render(two, "json", **asked))
    assert found["groups"][0]["numbers"]["in_domain"]["ci"] == [low, high]
    assert found["comparison"]["numbers"]["in_domain"]["mean"] == pytest.approx(0.15)
    assert (found["comparison"]["first"], found["comparison"]["n"]) == ("other", 3)
    assert "comparison" not in json.loads(render(two, "json"))
    *_, last = rows = list(csv.DictReader(io.StringIO(render(two, "csv", **asked))))
    assert (float(rows[0]["in_domain_ci_low"]), float(rows[0]["in_domain_ci_high"])) == (low, high)
    assert (last["group"], last["n"]) == ("other − naive", "3")
    assert float(last["in_domain_mean"]) == pytest.approx(0.15)


def test_a_wrong_name_is_reported_before_anything_is_written(two: list[Group], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such group"):
        make_report(tmp_path, output=tmp_path / "table.md", compare=("a", "b"))
    assert not (tmp_path / "table.md").exists()
