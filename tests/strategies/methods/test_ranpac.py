"""RanPAC against NumPy: a fixed projection with ReLU, then ridge with a lambda chosen in each bucket."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from blobs import CLASSES, Built
from closed_forms import arrays, hidden, layer
from small import head

from clearctl.config.check import check
from clearctl.config.load import load
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.strategies.methods.held_out import held_out

pytest_plugins = ("blobs", "closed_forms")
GRID = [0.01, 1.0, 100.0]


def test_it_is_numpys(solved: Callable[..., Built]) -> None:
    built = solved("ranpac", (0,), lambdas=GRID, accumulate="float64")
    first = built.strategy.solved_lambda
    built.strategy.train(built.buckets[1])
    projection = built.strategy.model.head.projection.double().numpy()
    x, y = arrays(built)
    h = hidden(built, x)
    assert np.allclose(h, np.maximum(x @ projection, 0), atol=1e-5)
    onehot, chosen = np.eye(CLASSES)[y], []
    for bucket in (0, 1):
        a, b = hidden(built, arrays(built, [bucket])[0]), np.eye(CLASSES)[arrays(built, [bucket])[1]]
        out = held_out(torch.from_numpy(arrays(built, [bucket])[1]), 0.2, bucket).numpy()
        errors = []
        for number in GRID:
            learned = np.linalg.solve(a[~out].T @ a[~out] + number * np.eye(a.shape[1]), a[~out].T @ b[~out])
            errors.append(((a[out] @ learned - b[out]) ** 2).mean())
        chosen.append(GRID[int(np.argmin(errors))])
    assert [first, built.strategy.solved_lambda] == chosen
    expected = np.linalg.solve(h.T @ h + chosen[-1] * np.eye(h.shape[1]), h.T @ onehot)
    weight, bias = layer(built)
    assert np.allclose(weight, expected.T, rtol=1e-5, atol=1e-6)
    assert not bias.any()


def test_the_published_settings_are_the_defaults(solved: Callable[..., Built]) -> None:
    strategy = solved("ranpac", ()).strategy
    assert strategy.lambdas == [10.0**power for power in range(-8, 9)]
    assert (strategy.validation_share, strategy.validate_every_bucket) == (0.2, True)


def test_without_rounding_the_order_of_the_buckets_does_not_matter(solved: Callable[..., Built]) -> None:
    fixed = dict(ridge_lambda=1.0, accumulate="float64")
    one, other = layer(solved("ranpac", (0, 1, 2), **fixed)), layer(solved("ranpac", (2, 0, 1), **fixed))
    assert np.allclose(one[0], other[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("base", "given", "key", "message"),
    [
        (
            "ranpac",
            dict(model=head("LinearClsHead")),
            "model.head.type",
            "found 'LinearClsHead', but RanPAC writes its own head: give 'RandomProjectionHead'",
        ),
        (
            "klda",
            dict(model=head("LinearClsHead")),
            "model.head.type",
            "found 'LinearClsHead', but KLDA writes its own head: give 'RandomFourierHead'",
        ),
        (
            "fecam",
            dict(model=dict(torchmodel=dict(type="Linear", in_features=8, out_features=3))),
            "model.head.type",
            "found None, but FeCAM writes its own head: give 'FeCAMHead'",
        ),
        (
            "ranpac",
            dict(model=head("RandomProjectionHead", projection_dim=0)),
            "model.head.projection_dim",
            "found 0, expected a whole number from 1",
        ),
        (
            "klda",
            dict(model=head("RandomFourierHead", gamma=0.0)),
            "model.head.gamma",
            "found 0.0, expected a number above 0",
        ),
        (
            "fecam",
            dict(model=head("FeCAMHead", tukey=-0.5)),
            "model.head.tukey",
            "found -0.5, expected a number above 0",
        ),
        (
            "fecam",
            dict(model=head("FeCAMHead"), shrink1=-1.0),
            "cl_strategy.shrink1",
            "found -1.0, expected a number from 0",
        ),
        (
            "klda",
            dict(model=head("RandomFourierHead"), shrinkage_param=1.5),
            "cl_strategy.shrinkage_param",
            "found 1.5, expected a number from 0 to 1",
        ),
    ],
)
def test_faults(base: str, given: dict[str, object], key: str, message: str, write_config: Callable[..., Path]) -> None:
    faults = check(load(write_config(base, **given)), CATALOGUE)
    assert [(fault.key, fault.message) for fault in faults] == [(key, message)]
