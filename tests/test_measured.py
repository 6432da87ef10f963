"""What is read of eval.json besides the accuracies: whole matrices, whatever else a file holds."""

import math

import numpy as np
import pytest

from clearctl.measured import accuracy_so_far, is_curve, measured_matrices

PLACE = "eval_phase/test_stream/Task000"
POINT = {"bucket": 1, "step": 2, "samples_seen": 20, "accuracies": [0.5, 0.7, 0.1]}


def of_row(ece: list[object]) -> dict[str, object]:
    return {f"ECE_Exp/{PLACE}/Exp{number:03}": value for number, value in enumerate(ece)} | {f"ECE_Stream/{PLACE}": 9.0}


def test_whole_matrices_alone() -> None:
    found = measured_matrices({"0": of_row([0.1, None]), "1": of_row([0.3, 0.4])}, 2)
    assert list(found) == ["ECE"]
    np.testing.assert_array_equal(found["ECE"], [[0.1, math.nan], [0.3, 0.4]])
    for rows in (
        {},
        {"0": {}, "1": of_row([0.3, 0.4])},
        {"0": of_row([0.1, 0.2]), "1": of_row([0.3])},
        {"0": of_row([0.1, "high"])},
        {"0": of_row([0.1, 0.2, 0.3])},
        {"0": {f"ECE_Exp/eval_phase/valid_stream/Task000/Exp{number:03}": 0.1 for number in range(2)}},
    ):
        assert measured_matrices(rows, 2) == {}


def test_the_accuracy_so_far_is_of_the_buckets_until_then() -> None:
    assert accuracy_so_far(POINT) == pytest.approx(0.6)
    np.testing.assert_allclose(measured_matrices({}, 3, [POINT])["anytime"], [[20, 0.6]])


@pytest.mark.parametrize(
    "changes",
    [{"bucket": 3}, {"bucket": -1}, {"samples_seen": 0}, {"accuracies": [0.5]}, {"accuracies": [0.5, 0.5, math.nan]}],
)
def test_points_that_no_run_measures(changes: dict[str, object]) -> None:
    assert is_curve([POINT], 3)
    assert is_curve([], 3)
    assert not is_curve([{**POINT, **changes}], 3)
    assert not is_curve([POINT, {**POINT, "samples_seen": 10}], 3)
