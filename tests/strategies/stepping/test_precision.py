"""Half precision over strategies as they stand: what plugins see, what an overflow does, how near accuracy stays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from avalanche.training.templates import BaseSGDTemplate
from blobs import Built, flat
from small import OTHERS, SMALL, TYPES, strategy_of

from clearctl import evaluate, train
from clearctl.config.fill import fill
from clearctl.config.registry import parameters
from clearctl.distributed.randomness import seed_everything
from clearctl.engine.build.config import open_config
from clearctl.engine.build.experiment import build_experiment
from clearctl.engine.build.model import build_model
from clearctl.engine.build.stream import build_stream
from clearctl.models.classifier import Classifier
from clearctl.progress import ignore
from clearctl.strategies.registry import STRATEGIES
from clearctl.strategies.traits import refused_with

pytest_plugins = ("blobs",)

FP16 = refused_with()["precision", "fp16"]
# (name or base config, precision)
REFUSED = {
    (base, precision)
    for precision in ("bf16", "fp16")
    for base in (*SMALL, *OTHERS)
    if TYPES.get(base, base) in refused_with().get(("precision", precision), {})
}


class Watch(SupervisedPlugin):
    """Writes down, for each step, the gradients after backward, the scores' type and that of the head's output."""

    def __init__(self) -> None:
        super().__init__()
        self.gradients: list[torch.Tensor] = []
        self.scores: set[torch.dtype] = set()
        self.inside: set[tuple[bool, torch.dtype]] = set()

    def before_training(self, strategy: Any, **kwargs: Any) -> None:
        head = next(m for m in strategy.model.modules() if isinstance(m, Classifier)).head.fc
        head.register_forward_hook(lambda module, x, y: self.inside.add((torch.is_grad_enabled(), y.dtype)))

    def after_forward(self, strategy: Any, **kwargs: Any) -> None:
        self.scores.add(strategy.mb_output.dtype)

    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        self.gradients.append(torch.cat([p.grad.flatten().clone() for p in strategy.model.parameters()]))


@pytest.fixture
def learn(write_config: Callable[..., Path]) -> Callable[..., tuple[Built, Watch]]:
    """`learn(base, precision, scale=..., **cl_strategy)`: the strategy after its first bucket, and what was watched."""

    def run(base: str, precision: str, scale: float | None = None, **arguments: Any) -> tuple[Built, Watch]:
        file = write_config(base, **arguments)
        settings = fill(open_config(file, overrides=(f"precision={precision}",)))
        seed_everything(0)
        stream, watch = build_stream(settings.scenario, settings.data), Watch()
        model = build_model(settings, stream, ignore)
        built = Built(build_experiment(settings, stream, model, torch.device("cpu"), run=None, plugins=(watch,)), file)
        if scale is not None:
            built.strategy.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        built.strategy.train(built.buckets[0])
        return built, watch

    return run


@pytest.fixture(scope="module")
def wide_matrices() -> dict[str, np.ndarray[Any, Any]]:
    """{strategy: its matrix in float32}, trained once for both other precisions."""
    return {}


@pytest.mark.parametrize(
    ("base", "precision"),
    [(base, name) for base in (*SMALL, *OTHERS) for name in ("bf16", "fp16") if (base, name) not in REFUSED],
)
def test_every_strategy_is_as_accurate_within_a_fiftieth(
    base: str, precision: str, write_config: Callable[..., Path], wide_matrices: dict[str, np.ndarray[Any, Any]]
) -> None:
    name, arguments = strategy_of(base)
    file = write_config(name, **(arguments if base in SMALL else {**arguments, "optimizer": {"lr": 0.5}}))
    if base not in wide_matrices:
        wide_matrices[base] = train(file, device="cpu").matrix
    half = train(file, device="cpu", overrides=[f"precision={precision}"])
    assert np.abs(half.matrix - wide_matrices[base]).max() <= 0.02
    assert half.matrix[2].mean() > 0.8
    assert np.array_equal(evaluate(half.run, device="cpu").matrix, half.matrix)  # in the run's own precision


@pytest.mark.parametrize(
    ("precision", "dtype", "error"), [("bf16", torch.bfloat16, 0.01), ("fp16", torch.float16, 0.001)]
)
def test_weights_move_as_in_float32(
    precision: str, dtype: torch.dtype, error: float, learn: Callable[..., tuple[Built, Watch]]
) -> None:
    wide, _ = learn("naive", "fp32")
    half, watch = learn("naive", precision)
    assert watch.inside == {(True, dtype)}
    assert watch.scores == {torch.float32}
    difference = (half.head() - wide.head()).norm() / wide.head().norm()
    assert 0 < difference < error


def test_plugins_see_gradients_unscaled(learn: Callable[..., tuple[Built, Watch]]) -> None:
    _, wide = learn("naive", "fp32")
    _, half = learn("naive", "fp16")
    assert torch.allclose(half.gradients[0], wide.gradients[0], atol=1e-4, rtol=1e-2)


def test_scaling_keeps_gradients_that_float16_alone_would_lose(learn: Callable[..., tuple[Built, Watch]]) -> None:
    _, wide = learn("naive", "fp32", loss=dict(type="CrossEntropyLoss", loss_weight=1e-8))
    _, half = learn("naive", "fp16", loss=dict(type="CrossEntropyLoss", loss_weight=1e-8))
    _, lost = learn("naive", "fp16", scale=1.0, loss=dict(type="CrossEntropyLoss", loss_weight=1e-8))
    assert torch.allclose(half.gradients[0], wide.gradients[0], atol=1e-12, rtol=1e-1)
    assert not lost.gradients[0].any()


def test_a_step_that_overflows_is_left_out_and_the_scale_lowered(learn: Callable[..., tuple[Built, Watch]]) -> None:
    start = learn("naive", "fp16", train_epochs=1, scale=2.0**100)
    built, watch = start
    before, _ = learn("naive", "fp16", train_epochs=1, scale=2.0**100, optimizer={"lr": 0.0})
    assert len(watch.gradients) == 3
    assert not any(gradient.any() for gradient in watch.gradients)  # 0, not infinite
    assert torch.equal(built.head(), before.head())  # and no momentum either
    assert built.strategy.scaler.get_scale() == 2.0**97
    built.strategy.scaler.update(2.0**10)
    built.strategy.train(built.buckets[1])
    assert not torch.equal(built.head(), before.head())
    assert built.strategy.scaler.get_scale() == 2.0**10


@pytest.mark.parametrize("base", ["gem", "synaptic_intelligence", "agem", "ewc", "mas", "lwf"])
def test_plugins_that_work_on_gradients_survive_overflows(base: str, learn: Callable[..., tuple[Built, Watch]]) -> None:
    built, _ = learn(base, "fp16", **SMALL[base])
    for bucket in built.buckets[1:]:
        built.strategy.scaler.update(2.0**100)
        built.strategy.train(bucket)
    assert flat(built.strategy.model).isfinite().all()
    built.strategy.scaler.update(2.0**10)
    kept = built.head()
    built.strategy.train(built.buckets[0])
    assert flat(built.strategy.model).isfinite().all()
    assert not torch.equal(built.head(), kept)


def test_own_passes_of_plugins_are_in_float32_and_those_without_gradients_in_float16(
    learn: Callable[..., tuple[Built, Watch]],
) -> None:
    _, ewc = learn("ewc", "fp16")
    assert ewc.inside == {(True, torch.float16), (True, torch.float32)}  # the step's, and the importances'
    _, naive = learn("naive", "fp16")
    assert naive.inside == {(True, torch.float16)}
    built, lwf = learn("lwf", "fp16")
    old: set[torch.dtype] = set()
    teacher = built.plugin("LwFPlugin").lwf.prev_model
    assert teacher is not built.strategy.model
    teacher.head.fc.register_forward_hook(lambda module, x, y: old.add(y.dtype))
    built.strategy.train(built.buckets[1])
    assert old == {torch.float16}


def test_a_network_too_narrow_for_float16_is_reported_once(
    learn: Callable[..., tuple[Built, Watch]], caplog: pytest.LogCaptureFixture
) -> None:
    learn("naive", "fp16", scale=4.0, train_epochs=4, loss=dict(type="CrossEntropyLoss", loss_weight=1e38))
    reported = [record.getMessage() for record in caplog.records if "fp16 overflows" in record.getMessage()]
    assert len(reported) == 1


def test_strategies_with_a_step_of_their_own_are_refused_in_float16() -> None:
    """What scale_loss replaces is called by every training step but those of the refused."""
    own = set()
    for name, factory in STRATEGIES.classes.items():
        kind = getattr(factory, "strategy", factory)
        if not isinstance(kind, type) or "optimizer" not in parameters(factory)[0]:  # without a backward step
            continue
        steps = {"backward", "optimizer_step"} <= set(kind.training_epoch.__code__.co_names)
        if not steps or kind.backward is not BaseSGDTemplate.backward:
            own.add(name)
    assert own == {"MER"}  # MIR's plugin differentiates the loss before backward
    assert set(FP16) == {"MER", "MIR", "KLDA"}  # KLDA has no step at all
