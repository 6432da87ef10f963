"""Sums over samples are NumPy's, and do not depend on the order of samples, nor on batches and buckets."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clearctl.strategies.methods import moments
from clearctl.strategies.methods.moments import Moments, solve_positive, symmetric

CLASSES = 3


@st.composite
def samples(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, list[int], list[int]]:
    """(x [N, D] float64, y [N], an order of the samples, the sizes of batches)."""
    size, width = draw(st.integers(2, 30)), draw(st.integers(1, 9))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    x = torch.randn(size, width, generator=generator, dtype=torch.float64) + 2
    y = torch.randint(CLASSES, (size,), generator=generator)
    order = draw(st.permutations(range(size)))
    cuts = sorted(draw(st.sets(st.integers(1, size - 1))))
    return x, y, order, [end - start for start, end in zip([0, *cuts], [*cuts, size], strict=True)]


def added(x: torch.Tensor, y: torch.Tensor, sizes: list[int], **how: object) -> Moments:
    found = Moments(CLASSES, x.shape[1], torch.device("cpu"), **how)
    for batch, labels in zip(x.split(sizes), y.split(sizes), strict=True):
        found.add(batch, labels)
    return found


@settings(deadline=None, max_examples=60)
@given(samples())
def test_they_are_numpys_in_any_order_and_any_batches(drawn: tuple[torch.Tensor, torch.Tensor, list[int], list[int]]):
    x, y, order, sizes = drawn
    found = added(x[order], y[order], sizes, dtype=torch.float64)
    a, labels = x.numpy(), y.numpy()
    assert np.allclose(symmetric(found.gram()), a.T @ a, rtol=1e-12, atol=1e-12)
    means = np.stack([a[labels == c].mean(0) if (labels == c).any() else 0 * a[0] for c in range(CLASSES)])
    assert found.counts.tolist() == np.bincount(labels, minlength=CLASSES).tolist()
    assert np.allclose(found.means, means, atol=1e-12)
    centred = a - means[labels]
    assert np.allclose(symmetric(found.within()), centred.T @ centred, atol=1e-9)
    of_classes = added(x[order], y[order], sizes, dtype=torch.float64, of="classes")
    for c in range(CLASSES):
        assert np.allclose(symmetric(of_classes.products[c]), a[labels == c].T @ a[labels == c], atol=1e-9)


@settings(deadline=None, max_examples=20)
@given(samples())
def test_two_parts_are_merged(drawn: tuple[torch.Tensor, torch.Tensor, list[int], list[int]]):
    x, y, _, sizes = drawn
    whole, first = added(x, y, [len(x)], dtype=torch.float64), sizes[0]
    part = added(x[:first], y[:first], [first], dtype=torch.float64)
    part.merge(added(x[first:], y[first:], [len(x) - first], dtype=torch.float64))
    assert torch.allclose(part.gram().triu(), whole.gram().triu())
    assert torch.allclose(part.sums, whole.sums)
    assert torch.equal(part.counts, whole.counts)


@pytest.mark.parametrize("width", [1, 7, 8, 9, 20])
def test_products_are_worked_out_in_blocks(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "BLOCK", 8)
    x = torch.randn(50, width, dtype=torch.float64)
    found = added(x, torch.zeros(50, dtype=torch.int64), [20, 30], dtype=torch.float64)
    assert torch.allclose(symmetric(found.gram()), x.T @ x)


def test_float32_rounds_and_float64_does_not() -> None:
    x, y = torch.rand(4000, 6) + 3, torch.zeros(4000, dtype=torch.int64)
    exact = x.double().T @ x.double()
    errors = {
        dtype: float((symmetric(added(x, y, [100] * 40, dtype=dtype).gram()) - exact).abs().max() / exact.max())
        for dtype in (torch.float32, torch.float64)
    }
    assert errors[torch.float64] < 1e-14
    assert 1e-9 < errors[torch.float32] < 1e-5


def test_a_singular_matrix_has_no_solution_and_a_rounded_one_does() -> None:
    right = torch.ones(2, 1, dtype=torch.float64)
    assert solve_positive(torch.zeros(2, 2), right) is None
    assert solve_positive(torch.tensor([[1.0, 1.0], [1.0, 1.0]]), right) is None
    assert solve_positive(torch.tensor([[2.0, 0.0], [0.0, 4.0]]), right).tolist() == [[0.5], [0.25]]


def test_the_upper_triangle_alone_is_read() -> None:
    half = torch.randn(9, 9, dtype=torch.float64)
    matrix, right = half @ half.T + torch.eye(9), torch.randn(9, 2, dtype=torch.float64)
    upper = matrix.triu() + torch.full((9, 9), float("nan"), dtype=torch.float64).tril(-1).nan_to_num(nan=7.0)
    assert torch.allclose(solve_positive(upper, right), torch.linalg.solve(matrix, right))
