"""Schedulers: the curve of the learning rate in every bucket, and going back to the best epoch."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from blobs import PER_BUCKET, Built, flat

from clearctl.config.check import check
from clearctl.config.load import load
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.errors import ConfigError

pytest_plugins = ("blobs",)

STEPS = PER_BUCKET // 8  # training steps an epoch


class Rates(SupervisedPlugin):
    """(lr, momentum) of each training step, bucket by bucket."""

    def __init__(self) -> None:
        super().__init__()
        self.buckets: list[list[tuple[float, float]]] = []

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self.buckets.append([])

    def before_update(self, strategy: Any, **kwargs: Any) -> None:
        (group,) = strategy.optimizer.param_groups
        self.buckets[-1].append((group["lr"], group["momentum"]))


@pytest.fixture
def rates(build: Callable[..., Built]) -> Callable[..., list[list[float]]]:
    """`rates(scheduler, epochs=4)`: the learning rate of each epoch (or step) of each bucket."""

    def run(scheduler: dict[str, Any], epochs: int = 4, each: int = STEPS) -> list[list[tuple[float, float]]]:
        watch = Rates()
        built = build(
            "naive",
            watching=(watch,),
            train_epochs=epochs,
            optimizer=dict(lr=1.0, momentum=0.9),
            scheduler={"_delete_": True, **scheduler},
        )
        for bucket in built.buckets:
            built.strategy.train(bucket)
        return [bucket[::each] for bucket in watch.buckets]

    return run


SEQUENTIAL = dict(
    type="SequentialLR",
    schedulers=[
        dict(type="LinearLR", start_factor=0.25, total_iters=2),
        dict(type="CosineAnnealingLR", T_max=4),
    ],
    milestones=[2],
)
CHAINED = dict(
    type="ChainedScheduler", schedulers=[dict(type="ConstantLR", factor=0.5), dict(type="ExponentialLR", gamma=0.9)]
)


@pytest.mark.parametrize(
    "scheduler",
    [
        dict(type="StepLR", step_size=2, gamma=0.1),
        dict(type="MultiStepLR", milestones=[1, 3]),
        dict(type="CosineAnnealingLR", T_max=6),
        dict(type="CosineAnnealingWarmRestarts", T_0=2, T_mult=2),
        dict(type="LinearLR", total_iters=3),
        dict(type="OneCycleLR", max_lr=2.0, total_steps=6),
        dict(type="ReduceLROnPlateau", patience=0, threshold=10.0, mode="min"),
        SEQUENTIAL,
        CHAINED,
    ],
    ids=lambda scheduler: scheduler["type"],
)
def test_every_bucket_has_the_curve_of_torch_itself(scheduler: dict[str, Any], rates: Callable[..., Any]) -> None:
    first, second, third = rates(scheduler)
    assert first == second == third
    assert len(set(first)) > 1
    if scheduler["type"] == "ReduceLROnPlateau":
        return
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    expected = []
    built = make(scheduler, optimizer)
    for _ in range(4):
        expected.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        built.step()
    assert first == expected


def make(section: dict[str, Any], optimizer: torch.optim.Optimizer) -> Any:
    arguments = {name: value for name, value in section.items() if name != "type"}
    if "schedulers" in arguments:
        arguments["schedulers"] = [make(inner, optimizer) for inner in arguments["schedulers"]]
    return getattr(torch.optim.lr_scheduler, section["type"])(optimizer=optimizer, **arguments)


def lr(curves: list[list[tuple[float, float]]]) -> list[list[float]]:
    return [[rate for rate, _ in bucket] for bucket in curves]


def test_by_step_and_by_bucket(rates: Callable[..., Any]) -> None:
    halving = dict(type="ExponentialLR", gamma=0.5)
    assert lr(rates({**halving, "by": "step"}, epochs=1, each=1)) == [[1.0, 0.5, 0.25]] * 3
    assert lr(rates({**halving, "by": "bucket"}, epochs=2)) == [[1.0, 1.0], [0.5, 0.5], [0.25, 0.25]]
    assert lr(rates({**halving, "reset": False}, epochs=2)) == [[1.0, 0.5], [0.25, 0.125], [0.0625, 0.03125]]


def test_step_lr_is_as_with_avalanches_plugin(rates: Callable[..., Any]) -> None:
    assert lr(rates(dict(type="StepLR", step_size=1, gamma=0.5), epochs=2)) == [[1.0, 0.5]] * 3


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        (
            dict(type="StepLR", step_size=1, by="epochs"),
            {"by": "found 'epochs', expected 'epoch' or 'step' or 'bucket'"},
        ),
        (dict(type="StepLR", step_size=1, reset=1), {"reset": "found 1, expected a bool"}),
        (
            dict(type="StepLR", step_size=1, by="bucket", reset=True),
            {"reset": "with by='bucket', reset=True would undo every step: give False"},
        ),
        (
            dict(type="SequentialLR", milestones=[1], schedulers=[dict(type="StepLr", step_size=1)]),
            {"schedulers.0.type": "no scheduler is called 'StepLr'"},
        ),
        (
            dict(type="SequentialLR", milestones=[], schedulers=[dict(type="StepLR", step_size=1, by="step")]),
            {"schedulers.0.by": "StepLR has no argument 'by'"},
        ),
    ],
)
def test_faults(scheduler: dict[str, Any], expected: dict[str, str], write_config: Callable[..., Path]) -> None:
    config = write_config("naive", scheduler={"_delete_": True, **scheduler})
    found = {fault.key: fault.message for fault in check(load(config), CATALOGUE)}
    assert {key.removeprefix("cl_strategy.scheduler."): text.partition("; did")[0] for key, text in found.items()} == {
        key: text.partition("; did")[0] for key, text in expected.items()
    }


def test_milestones_that_do_not_fit_are_a_config_fault(build: Callable[..., Built]) -> None:
    with pytest.raises(ConfigError, match=r"cl_strategy.scheduler: SequentialLR rejects its arguments: .*milestone"):
        build("naive", scheduler={"_delete_": True, **SEQUENTIAL, "milestones": [1, 2]})


# RestoreBestEpoch


class Epochs(SupervisedPlugin):
    """The weights after each epoch of the latest bucket, and its mean loss and accuracy."""

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self.weights: list[torch.Tensor] = []
        self.losses: list[float] = []
        self.accuracies: list[float] = []

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        self.sums = [0.0, 0.0]

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        self.sums[0] += float(strategy.loss) * len(strategy.mb_y) / PER_BUCKET
        self.sums[1] += float((strategy.mb_output.argmax(1) == strategy.mb_y).sum()) / PER_BUCKET

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        self.weights.append(flat(strategy.model))
        self.losses.append(self.sums[0])
        self.accuracies.append(self.sums[1])


@pytest.mark.parametrize("metric", ["train_loss", "train_accuracy"])
def test_best_epoch_is_restored_and_reported(
    metric: str, build: Callable[..., Built], caplog: pytest.LogCaptureFixture
) -> None:
    watch = Epochs()
    # The learning rate grows until the weights are thrown far off: the last epoch is not the best.
    built = build(
        "lwf",
        watching=(watch,),
        train_epochs=5,
        optimizer=dict(lr=0.1),
        scheduler=dict(_delete_=True, type="ExponentialLR", gamma=12.0),
        plugins=[dict(type="RestoreBestEpoch", metric=metric)],
    )
    with caplog.at_level(logging.INFO):
        built.strategy.train(built.buckets[0])
    best = (
        min(range(5), key=watch.losses.__getitem__)
        if metric == "train_loss"
        else max(range(5), key=watch.accuracies.__getitem__)
    )
    assert best < 4
    assert built.plugin("RestoreBestEpoch").restored == best + 1
    assert torch.equal(built.head(), watch.weights[best])
    assert not torch.equal(built.head(), watch.weights[-1])
    assert torch.equal(flat(built.plugin("LwFPlugin").lwf.prev_model), watch.weights[best])  # the strategy saw it too
    assert f"bucket number 1 ends with the weights of epoch {best + 1} of 5 ({metric} " in caplog.text


def test_unknown_metric(build: Callable[..., Built]) -> None:
    with pytest.raises(ConfigError, match=r"plugins.0.metric: found 'loss', expected 'train_loss' or"):
        build("lwf", plugins=[dict(type="RestoreBestEpoch", metric="loss")])
