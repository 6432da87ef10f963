"""BatchSLDA against NumPy, and against Avalanche's StreamingLDA, whose covariance is another."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from avalanche.training.supervised import StreamingLDA
from blobs import CLASSES, PER_BUCKET, Built
from closed_forms import arrays, layer, scores

from clearctl.errors import ConfigError

pytest_plugins = ("blobs", "closed_forms")


def discriminant(x: np.ndarray, y: np.ndarray, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """(weight, bias) as the paper has them, with the covariance within the classes."""
    classes = int(y.max()) + 1
    means = np.stack([x[y == c].mean(0) for c in range(classes)])
    covariance = (x - means[y]).T @ (x - means[y]) / len(x)
    precision = np.linalg.inv((1 - shrinkage) * covariance + shrinkage * np.eye(x.shape[1]))
    return means @ precision, -0.5 * (means @ precision * means).sum(1)


@pytest.mark.parametrize("shrinkage", [1e-2, 0.5])
def test_it_is_numpys(shrinkage: float, solved: Callable[..., Built]) -> None:
    built = solved("batch_slda", shrinkage_param=shrinkage, accumulate="float64")
    for found, expected in zip(layer(built), discriminant(*arrays(built), shrinkage), strict=True):
        assert np.allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_float32_differs_by_rounding(solved: Callable[..., Built]) -> None:
    built = solved("batch_slda", shrinkage_param=1e-2)
    for found, expected in zip(layer(built), discriminant(*arrays(built), 1e-2), strict=True):
        assert np.allclose(found, expected, rtol=1e-4, atol=1e-4)


def drifted(size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(4, (size,), generator=generator)
    return torch.randn(4, 12, generator=torch.Generator().manual_seed(0))[y] + 0.8 * torch.randn(
        size, 12, generator=generator
    ), y


def avalanches(x: torch.Tensor, y: torch.Tensor) -> StreamingLDA:
    found = StreamingLDA(slda_model=torch.nn.Identity(), criterion=None, input_size=12, num_classes=4)
    for row, target in zip(x, y, strict=True):
        found.fit(row[None], target[None])
    return found


def test_what_avalanches_covariance_has_more_than_the_scatter() -> None:
    x, y = drifted(500, 1)
    found = avalanches(x, y).Sigma.double().numpy() * len(x)
    a, labels = x.double().numpy(), y.numpy()
    means, counts = np.zeros((4, 12)), np.zeros(4)
    more = np.zeros((12, 12))
    for t, (row, c) in enumerate(zip(a, labels, strict=True)):
        apart = row - means[c]
        more += (t / (t + 1) - counts[c] / (counts[c] + 1)) * np.outer(apart, apart)
        counts[c] += 1
        means[c] += apart / counts[c]
    centred = a - means[labels]
    scatter = centred.T @ centred
    assert np.allclose(found, scatter + more, rtol=1e-3, atol=1e-2)
    assert np.linalg.norm(more) > 0.02 * np.linalg.norm(scatter)  # which is no rounding


def test_predictions_agree_with_avalanches_on_many_samples() -> None:
    x, y = drifted(4000, 2)
    theirs = avalanches(x, y)
    weight, bias = discriminant(x.double().numpy(), y.numpy(), 1e-4)
    test, _ = drifted(500, 3)
    ours = (test.double().numpy() @ weight.T + bias).argmax(1)
    assert (ours == theirs.predict(test).argmax(1).numpy()).mean() > 0.995


def test_it_predicts_as_streaming_lda_in_a_run(solved: Callable[..., Built]) -> None:
    ours, theirs = solved("batch_slda", (0, 1)), solved("streaming_lda", (0, 1))
    x, _ = arrays(ours, [2])
    assert (scores(ours, x).argmax(1) == scores(theirs, x).argmax(1)).mean() >= 1 - 1 / PER_BUCKET


def test_without_shrinkage_a_singular_covariance_is_an_error(solved: Callable[..., Built]) -> None:
    built = solved("batch_slda", (), shrinkage_param=0.0)
    bucket = few(built, 2)
    with pytest.raises(ConfigError, match=r"shrinkage_param: found 0, for which the covariance of 6 samples of 8"):
        built.strategy.train(bucket)


def few(built: Built, each: int) -> object:
    """The first bucket, with so many samples of each class."""
    bucket = built.buckets[0]
    per_class = PER_BUCKET // CLASSES
    rows = [c * per_class + i for c in range(CLASSES) for i in range(each)]
    bucket.dataset = bucket.dataset.subset(rows)
    return bucket
