"""What is drawn over the buckets, checked against the summary numbers that it is the course of."""

import math
from pathlib import Path

import numpy as np
import pytest
from report.folders import MATRIX, make_run

from clearctl.report.groups import group_runs
from clearctl.report.runs import find_runs
from clearctl.report.series import KINDS

OVER_TIME, NEXT_DOMAIN, FORGETTING = KINDS


def test_their_means_are_the_summary_numbers(tmp_path: Path) -> None:
    make_run(tmp_path / "1", MATRIX, 0)
    make_run(tmp_path / "2", [[0.9, 0.5, 0.5], [0.7, 0.9, 0.5], [0.6, 0.7, 0.9]], 1)
    [group] = group_runs(find_runs([tmp_path]))
    for kind, sign in ((NEXT_DOMAIN, 1), (FORGETTING, -1)):
        series = kind.series(group)
        assert series is not None
        assert sign * series.mean.mean() == pytest.approx(group.numbers[kind.number].mean)
    over_time = OVER_TIME.series(group)
    assert over_time is not None
    assert over_time.mean == pytest.approx([0.85, 0.8, 4.3 / 6])  # of what is below the diagonal, row by row
    assert over_time.std == pytest.approx([0.1 / math.sqrt(2), 0.0, 0.1 / 3 / math.sqrt(2)])


def test_of_a_single_run_there_is_no_deviation_and_of_one_still_going_what_there_is(tmp_path: Path) -> None:
    make_run(tmp_path / "1", MATRIX[:2])
    [group] = group_runs(find_runs([tmp_path]))
    series = OVER_TIME.series(group)
    assert series is not None
    assert series.std is None
    assert len(series.mean) == 2
    assert FORGETTING.series(group) is None
    make_run(tmp_path / "one/1", [[0.5]])
    [single] = group_runs(find_runs([tmp_path / "one"]))
    assert NEXT_DOMAIN.series(single) is None
    assert np.isfinite(OVER_TIME.series(single).mean).all()
