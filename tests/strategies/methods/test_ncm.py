"""Nearest class mean against NumPy, and against Prototype, which is the same where it cumulates."""

from collections.abc import Callable

import numpy as np
import pytest
from blobs import CLASSES, DIM, Built
from closed_forms import arrays, layer, scores

pytest_plugins = ("blobs", "closed_forms")


def test_the_head_holds_the_means_of_all_buckets_so_far(solved: Callable[..., Built]) -> None:
    built = solved("ncm")
    x, y = arrays(built)
    means = np.stack([x[y == c].mean(0) for c in range(CLASSES)])
    weight, bias = layer(built)
    assert np.allclose(weight, means, atol=1e-6)
    assert np.allclose(bias, -(means**2).sum(1) / 2, atol=1e-6)
    test, _ = arrays(built, [2])
    nearest = ((test[:, None] - means) ** 2).sum(-1).argmin(1)
    assert scores(built, test).argmax(1).tolist() == nearest.tolist()


def test_it_is_prototype_that_cumulates(solved: Callable[..., Built]) -> None:
    ours, theirs = layer(solved("ncm")), layer(solved("prototype", cumulate=True))
    assert all(np.allclose(one, other, atol=1e-6) for one, other in zip(ours, theirs, strict=True))


def test_a_cosine_head_gets_the_normalised_means(solved: Callable[..., Built]) -> None:
    built = solved("ncm", model=dict(head=dict(type="CosineDistanceHead", num_classes=CLASSES, in_channels=DIM)))
    x, y = arrays(built)
    means = np.stack([x[y == c].mean(0) for c in range(CLASSES)])
    weight = built.strategy.model.head.fc.weight.detach().numpy()
    assert np.allclose(weight, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("base", ["ncm", "ridge", "batch_slda"])
def test_the_order_of_the_buckets_does_not_matter(base: str, solved: Callable[..., Built]) -> None:
    fixed = {"ridge": {"ridge_lambda": 0.5, "accumulate": "float64"}, "batch_slda": {"accumulate": "float64"}}.get(
        base, {}
    )
    one, other = layer(solved(base, (0, 1, 2), **fixed)), layer(solved(base, (2, 0, 1), **fixed))
    assert all(np.allclose(a, b, rtol=1e-6, atol=1e-6) for a, b in zip(one, other, strict=True))
