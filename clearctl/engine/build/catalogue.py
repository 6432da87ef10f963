"""The registries of each kind of `type=` in a config: the one place that lists all of them."""

import inspect

from clearctl.config.catalogue import Catalogue
from clearctl.config.registry import Factory, Registry
from clearctl.data.transforms import TRANSFORMS
from clearctl.models.registry import (
    AUGMENTS,
    BACKBONES,
    HEADS,
    LOSSES,
    NECKS,
    TORCH_MODELS,
    registered_optimizers,
)
from clearctl.strategies.registry import BUFFERS, LOGGERS, METRICS, PLUGINS, STRATEGIES
from clearctl.strategies.traits import refused_with, traits_of
from clearctl.strategies.watched import test_metrics


def _optimizers() -> dict[str, Factory]:
    from torch import optim

    found = {name: value for name, value in vars(optim).items() if inspect.isclass(value)}
    return {name: cls for name, cls in found.items() if issubclass(cls, optim.Optimizer) and cls is not optim.Optimizer}


def _schedulers() -> dict[str, Factory]:
    from torch.optim import lr_scheduler

    found = {name: value for name, value in vars(lr_scheduler).items() if inspect.isclass(value)}
    base = lr_scheduler.LRScheduler
    return {name: cls for name, cls in found.items() if issubclass(cls, base) and not name.startswith(("_", "LRSch"))}


def _optimizer_base() -> type:
    from torch import optim

    return optim.Optimizer


def _scheduler_base() -> type:
    from torch.optim import lr_scheduler

    return lr_scheduler.LRScheduler


OPTIMIZERS = Registry(
    "optimizer",
    _optimizers,
    refused={"LBFGS": "it needs a closure, which Avalanche does not pass"},
    base=_optimizer_base,
    registered=registered_optimizers,
)
_FUNCTION = "it takes a function, which a config cannot contain; use your own class: type='module:Class'"
SCHEDULERS = Registry(
    "scheduler", _schedulers, refused={"LambdaLR": _FUNCTION, "MultiplicativeLR": _FUNCTION}, base=_scheduler_base
)

CATALOGUE = Catalogue(
    transforms=TRANSFORMS,
    backbones=BACKBONES,
    necks=NECKS,
    heads=HEADS,
    losses=LOSSES,
    augments=AUGMENTS,
    torch_models=TORCH_MODELS,
    optimizers=OPTIMIZERS,
    schedulers=SCHEDULERS,
    strategies=STRATEGIES,
    buffers=BUFFERS,
    plugins=PLUGINS,
    metrics=METRICS,
    loggers=LOGGERS,
    traits_of=traits_of,
    refused_with=refused_with(),
    test_metrics=test_metrics,
)
