"""Synaptic intelligence against the paper's formulas, written down again here in NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from blobs import CLASSES, DIM, Built, flat

from clearctl.errors import ConfigError

pytest_plugins = ("blobs",)
NETWORK = dict(head=dict(type="StackedLinearClsHead", num_classes=CLASSES, in_channels=DIM, mid_channels=[6]))
STRENGTH, XI = 3.0, 0.05


class Steps(SupervisedPlugin):
    """Gradients and weights of each step [W], by bucket, and what the strategy added to the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.starts: list[np.ndarray] = []
        self.weights: list[list[np.ndarray]] = []
        self.gradients: list[list[np.ndarray]] = []
        self.penalties: list[list[float]] = []

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self.starts.append(flat(strategy.model).numpy().astype(np.float64))
        self.weights.append([])
        self.gradients.append([])
        self.penalties.append([])

    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        plain = strategy._criterion(strategy.mb_output, strategy.mb_y)
        self.penalties[-1].append(float((strategy.loss - plain).detach()))

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        parts = [weight.grad.flatten() for weight in strategy.model.parameters()]
        self.gradients[-1].append(torch.cat(parts).numpy().astype(np.float64))
        self.weights[-1].append(flat(strategy.model).numpy().astype(np.float64))


@pytest.fixture
def learned(build: Callable[..., Built]) -> Callable[..., tuple[Built, Steps]]:
    """`learned(**arguments of the strategy)`: three buckets learned."""

    def make(**arguments: Any) -> tuple[Built, Steps]:
        steps = Steps()
        built = build(
            "synaptic_intelligence_uncapped",
            model=NETWORK,
            watching=(steps,),
            plugins=[],
            # The learning rate grows until steps raise the loss: some contributions are negative.
            optimizer=dict(lr=0.1),
            scheduler=dict(_delete_=True, type="ExponentialLR", gamma=6.0),
            train_epochs=4,
            **arguments,
        )
        for bucket in built.buckets:
            built.strategy.train(bucket)
        return built, steps

    return make


def importances_of_the_paper(steps: Steps, bucket: int) -> np.ndarray:
    """Omega [W] after `bucket`, equations 4 and 5: sums over buckets of -sum(g * step) / (movement^2 + xi)."""
    omega = np.zeros_like(steps.starts[0])
    for start, weights, gradients in zip(
        steps.starts[: bucket + 1], steps.weights[: bucket + 1], steps.gradients[: bucket + 1], strict=True
    ):
        before, contribution = start, np.zeros_like(start)
        for weight, gradient in zip(weights, gradients, strict=True):
            contribution -= gradient * (weight - before)
            before = weight
        omega += contribution / ((weights[-1] - start) ** 2 + XI)
    return omega


def test_importances_and_penalties_are_the_papers(learned: Callable[..., tuple[Built, Steps]]) -> None:
    built, steps = learned(si_lambda=STRENGTH, eps=XI, max_importance=None)
    _, kept = built.plugin("SynapticIntelligencePlugin").ewc_data
    found = np.concatenate([kept[name].data.numpy() for name, _ in built.strategy.model.named_parameters()])
    expected = importances_of_the_paper(steps, 2)
    assert (expected < 0).any()
    np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=1e-3, atol=1e-5)
    assert max(map(abs, steps.penalties[0])) < 1e-6
    for bucket in (1, 2):
        anchor, strength = steps.starts[bucket], np.maximum(importances_of_the_paper(steps, bucket - 1), 0)
        at = [steps.starts[bucket], *steps.weights[bucket][:-1]]  # the weights that each step's loss was computed with
        wanted = [STRENGTH / 2 * float((strength * (weights - anchor) ** 2).sum()) for weights in at]
        np.testing.assert_allclose(steps.penalties[bucket], wanted, rtol=1e-3, atol=1e-6)
        assert max(wanted) > 1e-3


@pytest.mark.parametrize("cap", [0.001, 0.05])
def test_a_cap_bounds_importances_and_nothing_is_below_zero(
    cap: float, learned: Callable[..., tuple[Built, Steps]]
) -> None:
    built, _ = learned(si_lambda=STRENGTH, eps=XI, max_importance=cap)
    _, kept = built.plugin("SynapticIntelligencePlugin").ewc_data
    values = torch.cat([value.data for value in kept.values()])
    assert float(values.max()) == pytest.approx(cap)
    assert float(values.min()) == 0


def test_without_the_cap_it_differs_from_plain_training(learned: Callable[..., tuple[Built, Steps]]) -> None:
    _, free = learned(si_lambda=0.0)
    _, capped = learned(si_lambda=1e-4, eps=1e-7, max_importance=0.001)
    _, papers = learned()
    end = free.weights[-1][-1]
    assert (
        np.abs(capped.weights[-1][-1] - end).max() < 1e-4 * np.abs(end).max()
    )  # the published setting is plain fine-tuning
    assert np.abs(papers.weights[-1][-1] - end).max() > 1e-2 * np.abs(end).max()


@pytest.mark.parametrize("cap", [0.0, -1.0])
def test_a_cap_that_makes_no_sense(cap: float, build: Callable[..., Built]) -> None:
    with pytest.raises(ConfigError, match=f"max_importance: found {cap}, expected a number above 0"):
        build("synaptic_intelligence", max_importance=cap)
