"""The summary numbers, against matrices worked out by hand and against plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clearctl.metrics import NUMBERS, Matrix, by_owner, compute_numbers, from_json, to_json

MATRIX = np.array([[0.5, 0.4, 0.3], [0.6, 0.7, 0.2], [0.1, 0.8, 0.9]])


def clear_metrics(matrix: Matrix) -> dict[str, float]:
    return compute_numbers(matrix, of="CLEAR", added=False)


def gem_metrics(matrix: Matrix, untrained: Matrix | None = None) -> dict[str, float]:
    return compute_numbers(matrix, untrained, of="GEM", added=False)


matrices = st.integers(2, 6).flatmap(lambda n: arrays(np.float64, (n, n), elements=st.floats(0, 1)))


def test_clear_metrics_by_hand():
    assert clear_metrics(MATRIX) == pytest.approx(
        {
            "in_domain": (0.5 + 0.7 + 0.9) / 3,
            "next_domain": (0.4 + 0.2) / 2,
            "accuracy": (0.5 + 0.6 + 0.7 + 0.1 + 0.8 + 0.9) / 6,
            "backward_transfer": (0.6 + 0.1 + 0.8) / 3,
            "forward_transfer": (0.4 + 0.3 + 0.2) / 3,
        }
    )


def test_gem_metrics_by_hand():
    untrained = np.array([0.1, 0.2, 0.05])
    expected_bwt = ((0.1 - 0.5) + (0.8 - 0.7)) / 2
    assert gem_metrics(MATRIX) == pytest.approx({"gem_bwt": expected_bwt})
    assert gem_metrics(MATRIX, untrained) == pytest.approx(
        {"gem_bwt": expected_bwt, "gem_fwt": ((0.4 - 0.2) + (0.2 - 0.05)) / 2}
    )


def test_added_metrics_by_hand():
    in_domain, next_domain, backward, forward = 2.1 / 3, 0.6 / 2, 1.5 / 3, 0.9 / 3
    assert compute_numbers(MATRIX, added=True) == pytest.approx(
        {"challenge": (in_domain + next_domain + backward + forward) / 4, "final_domain": (0.3 + 0.2 + 0.9) / 3}
    )


@pytest.mark.parametrize(
    ("next_domain", "in_domain", "backward", "forward", "score"),
    [(0.917, 0.916, 0.939, 0.887, 0.91475), (0.902, 0.908, 0.933, 0.882, 0.90625)],
    ids=["CLEAR-10", "CLEAR-100"],
)
def test_published_rows_of_the_challenge(next_domain, in_domain, backward, forward, score):
    """Of the second place at CVPR'22; accuracy, the fifth of CLEAR's numbers, plays no part.

    A matrix of four buckets with these means: the first diagonal above, the diagonal, all below, and all above.
    """
    matrix = np.full((4, 4), backward)
    rows, columns = np.indices(matrix.shape)
    matrix[rows == columns] = in_domain
    matrix[columns == rows + 1] = next_domain
    # Of the six entries above the diagonal three are of the next bucket.
    matrix[columns > rows + 1] = 2 * forward - next_domain
    assert compute_numbers(matrix)["challenge"] == pytest.approx(score, abs=1e-12)


def test_every_number_has_what_tables_show_of_it():
    for name, number in NUMBERS.items():
        assert number.heading, name
        assert number.explanation, name
        assert number.short.count("\n") == 1, name  # as many lines as each other heading
    assert [name for name, number in NUMBERS.items() if number.compute is None] == ["training_s"]


def test_one_bucket_has_only_a_diagonal():
    metrics = clear_metrics(np.array([[0.25]]))
    assert metrics.pop("in_domain") == metrics.pop("accuracy") == 0.25
    assert all(math.isnan(value) for value in metrics.values())
    assert all(math.isnan(value) for value in gem_metrics(np.array([[0.25]]), np.array([0.5])).values())
    added = compute_numbers(np.array([[0.25]]), added=True)
    assert math.isnan(added["challenge"])
    assert added["final_domain"] == 0.25


def test_numbers_by_whose_they_are():
    numbers = compute_numbers(MATRIX)
    assert by_owner(numbers) == {"CLEAR": clear_metrics(MATRIX), "GEM": gem_metrics(MATRIX)}
    assert by_owner({}) == {"CLEAR": {}, "GEM": {}}
    assert to_json({}) == {"clear_metrics": {}, "gem_metrics": {}}
    written = to_json(compute_numbers(MATRIX, added=False))
    assert from_json({"train": {}, **written}) == compute_numbers(MATRIX, added=False)
    assert math.isnan(from_json({"clear_metrics": {"accuracy": None}})["accuracy"])
    assert from_json({}) == {}


@pytest.mark.parametrize("shape", [(0, 0), (2, 3), (4,), (2, 2, 2)])
def test_only_square_matrices(shape):
    for metrics in (clear_metrics, gem_metrics, compute_numbers):
        with pytest.raises(ValueError, match="square"):
            metrics(np.zeros(shape))


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


@settings(max_examples=50, deadline=None)
@given(matrix=matrices)
def test_metrics_are_the_means_of_their_entries(matrix):
    n = len(matrix)
    pairs = [(i, j) for i in range(n) for j in range(n)]
    last = n - 1
    assert clear_metrics(matrix) == pytest.approx(
        {
            "in_domain": mean(matrix[i, i] for i in range(n)),
            "next_domain": mean(matrix[i, i + 1] for i in range(last)),
            "accuracy": mean(matrix[i, j] for i, j in pairs if j <= i),
            "backward_transfer": mean(matrix[i, j] for i, j in pairs if j < i),
            "forward_transfer": mean(matrix[i, j] for i, j in pairs if j > i),
        }
    )
    untrained = matrix[0] / 2
    assert gem_metrics(matrix, untrained) == pytest.approx(
        {
            "gem_bwt": mean(matrix[last, i] - matrix[i, i] for i in range(last)),
            "gem_fwt": mean(matrix[i - 1, i] - untrained[i] for i in range(1, n)),
        }
    )


@settings(max_examples=50, deadline=None)
@given(accuracy=st.floats(0, 1), n=st.integers(2, 6))
def test_a_constant_matrix_has_that_mean_everywhere_and_no_transfer_by_gem(accuracy, n):
    matrix = np.full((n, n), accuracy)
    assert list(clear_metrics(matrix).values()) == pytest.approx([accuracy] * 5)
    assert gem_metrics(matrix, np.full(n, accuracy)) == pytest.approx({"gem_bwt": 0, "gem_fwt": 0}, abs=1e-12)
