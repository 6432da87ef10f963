"""The registries that a config's names are looked up in. `engine.build.catalogue` fills it, from packages above."""

from dataclasses import dataclass

from clearctl.config.plugins import TestMetrics
from clearctl.config.registry import Registry
from clearctl.config.speed import RefusedWith
from clearctl.config.traits import TraitsOf


@dataclass(frozen=True)
class Catalogue:
    """The registries that a config's `type=` names are looked up in.

    `traits_of` gives the traits of a strategy or plugin by its name; `refused_with` has those that cannot be used with
    a value of the top level, and why. `test_metrics` names the metrics of a config's list that give numbers in a test.
    """

    transforms: Registry
    backbones: Registry
    necks: Registry
    heads: Registry
    losses: Registry
    augments: Registry
    torch_models: Registry
    optimizers: Registry
    schedulers: Registry
    strategies: Registry
    buffers: Registry
    plugins: Registry
    metrics: Registry
    loggers: Registry
    traits_of: TraitsOf
    refused_with: RefusedWith
    test_metrics: TestMetrics
