"""Riemannian walk on networks whose train mode is another than their eval mode."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from avalanche.training.plugins import RWalkPlugin as AvalancheRWalkPlugin
from avalanche.training.plugins import SupervisedPlugin
from blobs import CLASSES, DIM, Built, flat

from clearctl.strategies.registry import PLUGINS

pytest_plugins = ("blobs",)
RWALK = dict(type="RWalkPlugin", delta_t=2)
LAYERS = dict(in_channels=DIM, mid_channels=[6], num_classes=CLASSES, act_cfg=dict(type="ReLU"))
STACKED = dict(head=dict(type="StackedLinearClsHead", norm_cfg=dict(type="BN1d"), **LAYERS))


class Modes(SupervisedPlugin):
    """Whether the network is in train mode at each forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[bool] = set()

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        self.found |= {module.training for module in strategy.model.modules()}


def learned(build: Callable[..., Built], *watching: Any, **arguments: Any) -> Built:
    built = build("naive", watching=watching, plugins=[RWALK], **arguments)
    for bucket in built.buckets:
        built.strategy.train(bucket, eval_streams=[])
    return built


def test_it_learns_in_train_mode(build: Callable[..., Built], monkeypatch: pytest.MonkeyPatch) -> None:
    modes = Modes()
    built = learned(build, modes, model=STACKED)
    assert modes.found == {True}
    means = [value for name, value in built.strategy.model.named_buffers() if name.endswith("running_mean")]
    assert means
    assert all(bool(mean.any()) for mean in means)
    monkeypatch.setitem(PLUGINS.classes, "RWalkPlugin", AvalancheRWalkPlugin)  # type: ignore[arg-type]
    theirs = Modes()
    learned(build, theirs, model=STACKED)
    assert False in theirs.found  # when this fails, clearctl's is no longer needed


def test_without_such_layers_it_is_avalanches(build: Callable[..., Built], monkeypatch: pytest.MonkeyPatch) -> None:
    ours = flat(learned(build).strategy.model)
    monkeypatch.setitem(PLUGINS.classes, "RWalkPlugin", AvalancheRWalkPlugin)  # type: ignore[arg-type]
    assert torch.equal(ours, flat(learned(build).strategy.model))
