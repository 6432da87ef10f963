"""Importances of samples, against a plain loop over them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from blobs import CLASSES, DIM, PER_BUCKET, Built, strategy_settings
from torch.nn import functional

from clearctl.errors import ConfigError
from clearctl.strategies.build import check_against_model

pytest_plugins = ("blobs",)
NETWORK = dict(head=dict(type="StackedLinearClsHead", num_classes=CLASSES, in_channels=DIM, mid_channels=[6]))


def trained(build: Callable[..., Built], **arguments: Any) -> Built:
    built = build("ewc", plugins=[], **{"model": NETWORK, "optimizer": dict(lr=0.1), **arguments})
    built.strategy.train(built.buckets[0])
    return built


def importances(built: Built) -> dict[str, torch.Tensor]:
    plugin = next(plugin for plugin in built.strategy.plugins if hasattr(plugin, "importances"))
    return {name: value.data for name, value in plugin.importances[0].items()}


def looped(built: Built) -> dict[str, torch.Tensor]:
    """The mean over samples of the squared gradient of each sample's loss, one after another, in float64."""
    network = built.strategy.model.double().eval()
    x, y = built.data(0)
    sums = {name: torch.zeros_like(weight) for name, weight in network.named_parameters()}
    for sample, label in zip(x.double(), y, strict=True):
        network.zero_grad()
        functional.cross_entropy(network(sample[None]), label[None]).backward()
        for name, weight in network.named_parameters():
            if weight.grad is not None:
                sums[name] += weight.grad**2 / PER_BUCKET
    return sums


@pytest.mark.parametrize("kind", ["EWC", "EWCPlugin"])
def test_they_are_those_of_a_plain_loop(kind: str, build: Callable[..., Built]) -> None:
    if kind == "EWC":
        built = trained(build, importance="sample")
    else:
        plugins = [dict(type="EWCPlugin", ewc_lambda=0.4, importance="sample")]
        built = build("naive", model=NETWORK, optimizer=dict(lr=0.1), plugins=plugins)
        built.strategy.train(built.buckets[0])
    found, expected = importances(built), looped(built)
    assert list(found) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name].double(), value, rtol=1e-4, atol=1e-9)


def test_they_do_not_depend_on_the_batch_size_and_those_of_batches_do(build: Callable[..., Built]) -> None:
    def total(importance: str, size: int) -> float:
        built = trained(build, importance=importance, train_epochs=1, optimizer=dict(lr=1e-9), train_mb_size=size)
        return float(sum(value.sum() for value in importances(built).values()))

    assert total("sample", 4) == pytest.approx(total("sample", 24), rel=1e-3)
    assert total("batch", 4) > 2 * total("batch", 24)


def test_a_frozen_part_has_none(build: Callable[..., Built]) -> None:
    built = build("ewc", model=NETWORK, importance="sample", plugins=[], optimizer=dict(lr=0.1))
    first = next(iter(dict(built.strategy.model.named_parameters())))
    built.strategy.model.get_parameter(first).requires_grad = False
    built.strategy.train(built.buckets[0])
    found = importances(built)
    assert not found[first].any()
    assert all(value.any() for name, value in found.items() if name != first)


def test_another_kind_of_importance_is_refused(build: Callable[..., Built]) -> None:
    with pytest.raises(ConfigError, match=r"cl_strategy.importance: found 'fisher', expected 'batch' or 'sample'"):
        build("ewc", importance="fisher")


def test_a_network_that_cannot_be_batched_is_refused_before_the_run() -> None:
    class Looking(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.layer(x)
            return y if float(y.sum()) > 0 else -y

    by_sample = strategy_settings(dict(type="EWC", importance="sample"))
    (fault,) = check_against_model(by_sample, Looking(), lambda: torch.ones(2, 2))
    expected = ("cl_strategy.importance", "'sample' cannot be computed for this network")
    assert (fault.key, fault.message.split(":")[0]) == expected
    assert check_against_model(by_sample, torch.nn.Linear(2, 2), lambda: torch.ones(2, 2)) == []
    assert check_against_model(strategy_settings(dict(type="EWC")), Looking(), lambda: torch.ones(2, 2)) == []
