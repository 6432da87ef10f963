"""Training curves: means over runs as far as all have come, and what is left of them when they are thinned."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report.folders import make_run

from clearctl.report.curves import downsample, training_charts, training_curves
from clearctl.report.runs import Run, read_run


def with_epochs(run: Run, numbers: list[tuple[int, float | None, float]]) -> Run:
    """The run with epochs of (number of the bucket, loss, accuracy)."""
    run.epochs[:] = [
        {"bucket": str(bucket - 1), "bucket_number": bucket, "loss": loss, "accuracy": accuracy, "seconds": 1.0}
        for bucket, loss, accuracy in numbers
    ]
    return run


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    return [read_run(make_run(tmp_path / str(seed), seed=seed)) for seed in (0, 1)]


def test_means_of_each_epoch_as_far_as_all_runs_have_come(runs: list[Run]) -> None:
    one = with_epochs(runs[0], [(1, 2.0, 0.5), (1, 1.0, 0.75), (2, 3.0, 0.25), (2, 0.5, 1.0)])
    other = with_epochs(runs[1], [(1, 4.0, 0.0), (1, 2.0, 0.25), (2, 1.0, 0.75)])
    curves = training_curves([one, other])
    assert curves is not None
    assert curves.loss.tolist() == [3.0, 1.5, 2.0]
    assert curves.accuracy.tolist() == [0.25, 0.5, 0.5]
    parts = [(part.bucket, part.first, part.last, part.loss, part.accuracy) for part in curves.parts]
    assert parts == [("0", 1, 2, 1.5, 0.5), ("1", 3, 3, 2.0, 0.5)]


def test_a_loss_that_was_not_finite_leaves_a_gap(runs: list[Run]) -> None:
    curves = training_curves([with_epochs(runs[0], [(1, 2.0, 0.5), (1, float("nan"), 0.5), (1, None, 0.5)])])
    assert curves is not None
    assert np.isnan(curves.loss).tolist() == [False, True, True]
    [(_, chart), _] = training_charts(curves)
    assert chart.count("<path") == 1
    assert "nan" not in chart.lower().split("<path")[1].split(">")[0]


def test_no_epoch_no_curve(runs: list[Run]) -> None:
    assert training_curves([runs[0], with_epochs(runs[1], [])]) is None


def test_charts_of_one_bucket_count_epochs_and_of_several_name_buckets(runs: list[Run]) -> None:
    one = training_curves([with_epochs(runs[0], [(1, 1.0 / n, 0.5) for n in range(1, 51)])])
    several = training_curves([runs[1]])
    assert one is not None
    assert several is not None
    assert "<rect" not in training_charts(one)[0][1]
    assert ">50</text>" in training_charts(one)[0][1]
    chart = training_charts(several)[1][1]
    assert chart.count("<rect") == 3
    assert "bucket 2, its last epoch: loss 1.0000, accuracy 75.0 %" in chart


@given(st.lists(st.floats(0, 10) | st.just(float("nan")), min_size=1, max_size=900), st.integers(4, 300))
def test_thinning_keeps_ends_and_extremes_in_order(values: list[float], most: int) -> None:
    array = np.array(values)
    kept = downsample(array, most)
    assert len(kept) <= max(most, 1)
    assert kept == sorted(set(kept))
    assert {kept[0], kept[-1]} == {0, len(values) - 1}
    if not np.isnan(array).all():
        assert np.nanmax(array[kept]) == np.nanmax(array)
        assert np.nanmin(array[kept]) == np.nanmin(array)
