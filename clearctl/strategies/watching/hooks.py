"""The callbacks of a strategy, called only if a plugin, metric or logger implements them."""

from collections.abc import Callable
from functools import partial

import torch
from avalanche.core import BasePlugin
from avalanche.evaluation import PluginMetric
from avalanche.models.utils import is_multi_task_module
from avalanche.training.plugins import SupervisedPlugin
from avalanche.training.templates import BaseSGDTemplate
from avalanche.training.templates.problem_type.supervised_problem import SupervisedProblem

from clearctl.strategies.strategy import Strategy

EVENTS = tuple(name for name in dir(SupervisedPlugin) if name.startswith(("before_", "after_")))
STEP_EVENTS = tuple(name for name in EVENTS if name.endswith(("_iteration", "_forward", "_backward", "_update")))

# Methods of Avalanche's base classes, which do nothing.
_EMPTY = {getattr(base, name, None) for base in (SupervisedPlugin, PluginMetric) for name in EVENTS}


def handles(watcher: object, event: str) -> bool:
    """Whether a plugin, metric or logger has a callback for `event` that is not an empty one of Avalanche's."""
    method = getattr(watcher, event, None)
    return method is not None and getattr(method, "__func__", method) not in _EMPTY


def skip_idle_callbacks(strategy: Strategy) -> None:
    """Make `strategy` skip, inside a step, the plugins that would do nothing there; Avalanche asks each of them.

    Callbacks that the strategy's own class adds to stay as they are.
    """
    kind = type(strategy)
    for event in STEP_EVENTS:
        if getattr(kind, f"_{event}") is getattr(BaseSGDTemplate, f"_{event}"):
            setattr(strategy, f"_{event}", _Trigger(strategy, event))
    if kind.forward is SupervisedProblem.forward and not is_multi_task_module(strategy.model):
        strategy.forward = partial(_forward, strategy)


def is_idle(strategy: Strategy, event: str) -> bool:
    """Whether nothing acts at an event within a step, after `skip_idle_callbacks`."""
    trigger = getattr(strategy, f"_{event}")
    return isinstance(trigger, _Trigger) and not trigger.acting()


class _Trigger:
    """Calls the plugins that act at an event, in their order."""

    def __init__(self, strategy: Strategy, event: str) -> None:
        self.strategy = strategy
        self.event = event
        self.asked: list[BasePlugin] = []
        self.methods: list[Callable[..., None]] = []

    def __call__(self, **kwargs: object) -> None:
        for method in self.acting():
            method(self.strategy, **kwargs)

    def acting(self) -> list[Callable[..., None]]:
        """The methods that are called."""
        plugins = self.strategy.plugins
        if plugins != self.asked:  # one was added since, or this is the first time
            self.asked = list(plugins)
            self.methods = [getattr(plugin, self.event) for plugin in plugins if handles(plugin, self.event)]
        return self.methods


def _forward(strategy: Strategy) -> torch.Tensor:
    """Avalanche's `forward` for a network that takes no task labels, without asking whether there are any."""
    return strategy.model(strategy.mbatch[0])
