"""What `clearctl.strategies.strategy` lists is there in Avalanche."""

from collections.abc import Callable
from typing import Any

import pytest
from avalanche.training.plugins import SupervisedPlugin
from blobs import Built

from clearctl.strategies import strategy as listed
from clearctl.strategies.stepping.precision import scale_loss

pytest_plugins = ("blobs",)


def names(protocol: type) -> set[str]:
    """The attributes and methods that a Protocol asks for, its bases' included."""
    asked: set[str] = set()
    for cls in protocol.__mro__:
        if cls.__module__ == listed.__name__:
            methods = {name for name, value in vars(cls).items() if callable(value) or isinstance(value, property)}
            asked |= set(cls.__annotations__) | methods
    # What typing itself puts into a Protocol.
    return asked - {"__init__", "__subclasshook__", "__class_getitem__", "_abc_impl"} - set(vars(object))


class Look(SupervisedPlugin):
    """Notes, in a step of training and in a test, what each Protocol asks for and its object lacks."""

    def __init__(self) -> None:
        super().__init__()
        self.lacking: dict[str, set[str]] = {}

    def look(self, strategy: Any) -> None:
        loader = strategy.dataloader
        objects = {
            listed.Strategy: strategy,
            listed.Clock: strategy.clock,
            listed.MetricValues: strategy.evaluator,
            listed.Experience: strategy.experience,
            listed.ClassificationDataset: strategy.experience.dataset,
            listed.Targets: strategy.experience.dataset.targets,
            listed.Loader: loader,
            listed.MultiDatasetLoader: loader.loader,  # of a GatheringLoader
        }
        for protocol, value in objects.items():
            lacking = {name for name in names(protocol) if not hasattr(value, name)}
            self.lacking[protocol.__name__] = self.lacking.get(protocol.__name__, set()) | lacking

    def after_forward(self, strategy: Any, **kwargs: Any) -> None:
        self.look(strategy)

    def after_eval_iteration(self, strategy: Any, **kwargs: Any) -> None:
        self.look(strategy)


@pytest.mark.parametrize("base", ["naive", "replay"])
def test_avalanche_has_all_that_is_listed(base: str, build: Callable[..., Built]) -> None:
    look = Look()
    built = build(base, watching=(look,))
    benchmark = built.experiment.benchmark
    assert not {name for name in names(listed.Benchmark) if not hasattr(benchmark, name)}
    scale_loss(built.strategy)
    for bucket in built.buckets[:2]:
        built.strategy.train(bucket, eval_streams=[])
    built.strategy.eval(built.buckets[:1])
    assert look.lacking == dict.fromkeys(look.lacking, set())
    assert len(look.lacking) == 8
    assert {"model", "mb_x", "train", "_before_training_exp"} <= names(listed.Strategy)
