"""FeCAM against NumPy, and against Avalanche's classifier in a single bucket."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from avalanche.models import FeCAMClassifier
from avalanche.models.fecam import compute_covariance, compute_means
from blobs import CLASSES, DIM, PER_CLASS, Built
from closed_forms import arrays, scores
from small import head

from clearctl.errors import ConfigError
from clearctl.models.heads import FeCAMHead

pytest_plugins = ("blobs", "closed_forms")


def shrunk(covariance: np.ndarray, one: float, two: float) -> np.ndarray:
    others = covariance[~np.eye(len(covariance), dtype=bool)]
    eye = np.eye(len(covariance))
    mean_other = others[others != 0].mean() if others.any() else 0.0
    return covariance + one * np.diag(covariance).mean() * eye + two * mean_other * (1 - eye)


def distances(
    x: np.ndarray, y: np.ndarray, test: np.ndarray, tukey: float, one: float, two: float, norm: bool
) -> np.ndarray:
    """Squared Mahalanobis distances [N, C] of `test`, as in the paper."""
    x, test, found = x**tukey, test**tukey, []
    for c in range(CLASSES):
        mean, covariance = x[y == c].mean(0), np.cov(x[y == c].T)
        covariance = shrunk(shrunk(covariance, one, two), one, two)
        if norm:
            deviations = np.sqrt(np.diag(covariance))
            covariance = covariance / np.outer(deviations, deviations)
        apart = test / np.linalg.norm(test, axis=1, keepdims=True) - mean / np.linalg.norm(mean)
        found.append(np.einsum("nd,de,ne->n", apart, np.linalg.inv(covariance), apart))
    return np.stack(found, 1)


@pytest.mark.parametrize(
    ("one", "two", "norm"), [(1.0, 1.0, True), (1.0, 0.0, True), (2.0, 0.5, False)], ids=["paper", "vit", "no norm"]
)
def test_it_is_numpys_over_all_buckets_so_far(one: float, two: float, norm: bool, solved: Callable[..., Built]) -> None:
    built = solved("fecam", shrink1=one, shrink2=two, covnorm=norm, accumulate="float64")
    test, _ = arrays(built, [2])
    expected = distances(*arrays(built), test, 1.0, one, two, norm)
    assert np.allclose(scores(built, test), -expected, rtol=1e-5, atol=1e-6)


def test_tukeys_power_and_avalanches_classifier() -> None:
    """One bucket; later ones Avalanche mixes in another way."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(60) % CLASSES
    x = torch.rand(60, DIM, generator=generator) + torch.eye(CLASSES, DIM)[y]
    theirs = FeCAMClassifier()
    features = theirs.apply_transforms(x)
    theirs.update_class_means_dict(compute_means(features, y))
    theirs.update_class_cov_dict(theirs.apply_cov_transforms(compute_covariance(features, y)))
    expected = distances(x.double().numpy(), y.numpy(), x.double().numpy(), 0.5, 1.0, 1.0, True)
    assert np.allclose(theirs(x).detach().numpy(), -expected, rtol=1e-3, atol=1e-4)
    ours = filled(x, y)
    assert np.allclose(ours(x).detach().double().numpy(), -expected, rtol=1e-5, atol=1e-6)


def filled(x: torch.Tensor, y: torch.Tensor) -> torch.nn.Module:
    """The last layer of a head that FeCAM has filled with these samples."""
    from clearctl.models.classifier import Classifier
    from clearctl.strategies.methods.fecam import FeCAM

    network = Classifier(None, None, FeCAMHead(CLASSES, DIM))
    strategy = FeCAM(model=network, accumulate="float64")
    with torch.no_grad():
        strategy.add(x, y)
        strategy.write_head()
    return network.head.fc


def test_the_order_of_the_buckets_does_not_matter(solved: Callable[..., Built]) -> None:
    one, other = solved("fecam", (0, 1, 2)), solved("fecam", (2, 0, 1))
    test, _ = arrays(one, [0, 1, 2])
    assert np.allclose(scores(one, test), scores(other, test), rtol=1e-3, atol=1e-4)


def test_a_class_with_fewer_than_two_samples_is_never_the_nearest(solved: Callable[..., Built]) -> None:
    built = solved("fecam", ())
    bucket = built.buckets[0]
    bucket.dataset = bucket.dataset.subset(list(range(2 * PER_CLASS + 1)))  # of the third one sample
    built.strategy.train(bucket)
    test, _ = arrays(built, [2])
    found = scores(built, test)
    assert set(found.argmax(1)) == {0, 1}
    assert np.isfinite(found).all()


def test_what_cannot_be_worked_out_is_named(solved: Callable[..., Built]) -> None:
    with pytest.raises(
        ConfigError, match=r"model.head.tukey: found 0.5, a power, but some features are negative, as low"
    ):
        solved("fecam", (0,), model=head("FeCAMHead", tukey=0.5))
    with pytest.raises(ConfigError, match="cl_strategy.shrink1: found 0, for which a covariance is singular"):
        solved("fecam", (0,), shrink1=0.0, shrink2=0.0)
    built = solved("fecam", ())
    bucket = built.buckets[0]
    bucket.dataset = bucket.dataset.subset([0, PER_CLASS, 2 * PER_CLASS])
    with pytest.raises(ConfigError, match="FeCAM needs a class with two samples for a covariance"):
        built.strategy.train(bucket)
