"""KLDA against NumPy: random Fourier features, then LDA with the pseudo-inverse of the covariance."""

from collections.abc import Callable

import numpy as np
from blobs import CLASSES, Built
from closed_forms import arrays, hidden, layer, scores
from small import head

pytest_plugins = ("blobs", "closed_forms")


def learned(solved: Callable[..., Built], width: int, **given: object) -> Built:
    return solved("klda", model=head("RandomFourierHead", projection_dim=width, gamma=0.1), **given)


def parts(built: Built) -> tuple[np.ndarray, np.ndarray]:
    """(means [C, D], covariance [D, D] within the classes) of the random Fourier features."""
    x, y = arrays(built)
    phi = hidden(built, x)
    means = np.stack([phi[y == c].mean(0) for c in range(CLASSES)])
    return means, (phi - means[y]).T @ (phi - means[y]) / len(x)


def test_it_is_numpys(solved: Callable[..., Built]) -> None:
    built = learned(solved, 10)
    network = built.strategy.model.head
    x, _ = arrays(built)
    turned = x @ network.projection.double().numpy() + network.phase.double().numpy()
    assert np.allclose(hidden(built, x), np.sqrt(2 / 10) * np.cos(turned), atol=1e-6)
    means, covariance = parts(built)
    precision = np.linalg.pinv(covariance, hermitian=True)
    weight, bias = layer(built)
    assert np.allclose(weight, means @ precision, rtol=1e-6, atol=1e-5)
    assert np.allclose(bias, -0.5 * (means @ precision * means).sum(1), rtol=1e-6, atol=1e-5)
    test, _ = arrays(built, [2])
    apart = hidden(built, test)[:, None] - means
    distances = np.einsum("ncd,de,nce->nc", apart, precision, apart)
    assert scores(built, test).argmax(1).tolist() == distances.argmin(1).tolist()


def test_directions_in_which_nothing_varies_do_not_count(solved: Callable[..., Built]) -> None:
    weight, _ = layer(learned(solved, 200))  # more than there are samples
    assert np.isfinite(weight).all()


def test_the_order_of_the_buckets_does_not_matter(solved: Callable[..., Built]) -> None:
    one, other = layer(learned(solved, 10, buckets=(0, 1, 2))), layer(learned(solved, 10, buckets=(2, 0, 1)))
    assert all(np.allclose(a, b, rtol=1e-5, atol=1e-4) for a, b in zip(one, other, strict=True))


def test_shrinkage_is_that_of_batch_slda(solved: Callable[..., Built]) -> None:
    built = learned(solved, 10, shrinkage_param=0.1)
    means, covariance = parts(built)
    precision = np.linalg.inv(0.9 * covariance + 0.1 * np.eye(10))
    assert np.allclose(layer(built)[0], means @ precision, rtol=1e-6, atol=1e-6)


def test_random_fourier_features_are_those_of_the_kernel(solved: Callable[..., Built]) -> None:
    built = solved("klda", (), model=head("RandomFourierHead", projection_dim=5000, gamma=0.1))
    x, _ = arrays(built, [0])
    phi = hidden(built, x)
    kernel = np.exp(-0.1 * ((x[:, None] - x) ** 2).sum(-1))
    assert np.abs(phi @ phi.T - kernel).max() < 0.1
