"""Gradient clipping, warm-up and averaged weights, each against the few lines that say what it is."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from blobs import Built, flat

from clearctl.errors import ConfigError

pytest_plugins = ("blobs",)
STEPS = 6  # 2 epochs of 3 batches


class Steps(SupervisedPlugin):
    """The gradients, learning rates and weights of each step; the weights that are tested."""

    def __init__(self) -> None:
        super().__init__()
        self.gradients: list[torch.Tensor] = []
        self.rates: list[float] = []
        self.weights: list[torch.Tensor] = []
        self.tested: list[torch.Tensor] = []

    def before_update(self, strategy: Any, **kwargs: Any) -> None:
        self.gradients.append(torch.cat([weight.grad.flatten() for weight in strategy.model.parameters()]))
        self.rates.append(strategy.optimizer.param_groups[0]["lr"])

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        self.weights.append(flat(strategy.model))

    def before_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        self.tested.append(flat(strategy.model))


@pytest.fixture
def learn(build: Callable[..., Built]) -> Callable[..., tuple[Built, Steps]]:
    """`learn(*plugins, buckets=1, **cl_strategy)`: the experiment after so many buckets, and what was seen of it."""

    def make(*plugins: dict[str, Any], buckets: int = 1, base: str = "naive", **strategy: Any) -> tuple[Built, Steps]:
        steps = Steps()
        built = build(base, watching=(steps,), plugins=list(plugins), **strategy)
        for bucket in built.buckets[:buckets]:
            built.strategy.train(bucket, eval_streams=[[built.experiment.benchmark.test_stream[0]]])
        return built, steps

    return make


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0])
def test_the_norm_of_the_gradients_is_at_most_max_norm(
    norm_type: float, learn: Callable[..., tuple[Built, Steps]]
) -> None:
    _, free = learn()
    limit = 0.5 * float(free.gradients[0].norm(norm_type))
    _, clipped = learn(dict(type="GradientClipping", max_norm=limit, norm_type=norm_type))
    norms = [float(gradient.norm(norm_type)) for gradient in clipped.gradients]
    assert norms[0] == pytest.approx(limit, rel=1e-5)
    assert max(norms) <= limit * 1.00001
    # Only the length of the gradient changes.
    assert torch.allclose(clipped.gradients[0] * 2, free.gradients[0], rtol=1e-4)
    _, loose = learn(dict(type="GradientClipping", max_norm=1e6, norm_type=norm_type))
    assert torch.equal(loose.weights[-1], free.weights[-1])


def test_the_learning_rate_rises_over_the_first_steps_of_each_bucket(learn: Callable[..., tuple[Built, Steps]]) -> None:
    warm = dict(type="WarmUp", steps=4, start_factor=0.2)
    built, steps = learn(warm, buckets=2, optimizer=dict(lr=0.1))
    factors = [0.2, 0.4, 0.6, 0.8, 1, 1]  # mmcv: 1 - (1 - i / steps) * (1 - ratio)
    # The scheduler, a StepLR of 30 epochs, has not stepped the rate yet.
    assert steps.rates == pytest.approx([0.1 * factor for factor in factors * 2])
    assert built.strategy.optimizer.param_groups[0]["lr"] == 0.1
    _, once = learn({**warm, "every_bucket": False}, buckets=2, optimizer=dict(lr=0.1))
    assert once.rates == pytest.approx([*(0.1 * factor for factor in factors), *[0.1] * STEPS])


def test_a_scheduler_that_steps_meanwhile_sees_the_rates_without_the_factor(
    learn: Callable[..., tuple[Built, Steps]],
) -> None:
    scheduler = dict(_delete_=True, type="StepLR", step_size=1, gamma=0.5)
    _, steps = learn(dict(type="WarmUp", steps=4, start_factor=0.2), optimizer=dict(lr=0.1), scheduler=scheduler)
    factors = [0.2, 0.4, 0.6, 0.5 * 0.8, 0.5, 0.5]
    assert steps.rates == pytest.approx([0.1 * factor for factor in factors])


def test_the_average_is_tested_and_training_continues_with_the_weights(
    learn: Callable[..., tuple[Built, Steps]],
) -> None:
    average = dict(type="ExponentialMovingAverage", decay=0.7)
    _, plain = learn(buckets=2, eval_every=1)
    built, steps = learn(average, buckets=2, eval_every=1)
    assert all(map(torch.equal, steps.weights, plain.weights))  # the optimizer's steps are those without it
    for bucket in range(2):
        start = plain.weights[STEPS - 1] if bucket else None
        expected = _average(steps.weights[bucket * STEPS :][:STEPS], start, 0.7, built)
        # Tested after each epoch and, with eval_every, before the bucket.
        assert torch.allclose(steps.tested[3 * bucket + 1], expected[2], atol=1e-6)
        assert torch.allclose(steps.tested[3 * bucket + 2], expected[5], atol=1e-6)
    assert torch.allclose(built.head(), expected[5], atol=1e-6)  # what a checkpoint holds


def _average(weights: list[torch.Tensor], start: torch.Tensor | None, decay: float, built: Built) -> list[torch.Tensor]:
    """The running average after each step, from the weights that the bucket starts with."""
    found = []
    average = start if start is not None else built.plugin("Steps").tested[0]
    for weight in weights:
        average = decay * average + (1 - decay) * weight
        found.append(average)
    return found


def test_a_strategy_that_starts_from_scratch_is_not_given_the_earlier_weights(
    learn: Callable[..., tuple[Built, Steps]],
) -> None:
    _, plain = learn(buckets=2, base="from_scratch_training")
    _, averaged = learn(dict(type="ExponentialMovingAverage", decay=0.7), buckets=2, base="from_scratch_training")
    assert all(map(torch.equal, averaged.weights, plain.weights))


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (dict(type="GradientClipping", max_norm=0.0), "max_norm: found 0.0, expected a number above 0"),
        (
            dict(type="GradientClipping", max_norm=1.0, norm_type=-1.0),
            "norm_type: found -1.0, expected a number above 0",
        ),
        (dict(type="WarmUp", steps=3, start_factor=0.0), "start_factor: found 0.0, expected a number above 0 to 1"),
        (dict(type="ExponentialMovingAverage", decay=1.0), "decay: found 1.0, expected a number from 0 and below 1"),
    ],
)
def test_what_makes_no_sense_is_refused(plugin: dict[str, Any], reason: str, build: Callable[..., Built]) -> None:
    with pytest.raises(ConfigError, match=rf"plugins.0.{reason}"):
        build("naive", plugins=[plugin])


@pytest.mark.parametrize("name", ["ExponentialMovingAverage", "GradientClipping", "WarmUp"])
def test_strategies_without_an_optimizer_have_no_use_for_them(name: str, build: Callable[..., Built]) -> None:
    needed = {"GradientClipping": dict(max_norm=1.0), "WarmUp": dict(steps=3)}.get(name, {})
    with pytest.raises(ConfigError, match=f"plugins.0: Prototype learns without an optimizer: leave {name} out"):
        build("prototype", plugins=[dict(type=name, **needed)])


def test_two_plugins_that_decide_the_weights_are_refused(build: Callable[..., Built]) -> None:
    plugins = [dict(type="RestoreBestEpoch"), dict(type="WarmUp", steps=2), dict(type="ExponentialMovingAverage")]
    with pytest.raises(ConfigError, match=r"plugins.2: RestoreBestEpoch and ExponentialMovingAverage each choose"):
        build("naive", plugins=plugins)
