import pytest

from benchmarks.row import Row


def test_ratios_are_taken_within_a_round_so_that_drift_cancels():
    row = Row("features", "an epoch", [1.0, 8.0, 9.0], "bare loop", [1.0, 2.0, 9.0])
    assert row.value == 1.0  # of 1, 4 and 1; the medians' ratio would be 8 / 2


@pytest.mark.parametrize(
    ("number", "limit", "met"),
    [
        ("times as much", 2.0, True),
        ("times as much", 1.9, False),
        ("times faster", 0.5, True),
        ("times faster", 0.6, False),
        ("itself", 4.0, True),
        ("itself", 3.9, False),
    ],
)
def test_a_limit_bounds_a_ratio_from_above_and_a_speed_up_from_below(number: str, limit: float, met: bool):
    row = Row("features", "an epoch", [4.0], "bare loop", [2.0], number)
    assert row.meets(limit) is met


def test_the_table_of_quick_looks_at_the_floor_and_the_other_at_the_goal():
    row = Row("features", "an epoch", [4.0], "bare loop", [2.0], goal=1.2, floor=2.5)
    assert row.cells(quick=False)[-2:] == ("2.00×", "missed: at most 1.2")
    assert row.cells(quick=True)[-2:] == ("2.00×", "met: at most 2.5")
