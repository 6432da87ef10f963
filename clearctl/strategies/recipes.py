"""Builds strategies that take more than plain values, so that a config can describe them.

A recipe is called like a strategy's class. Its signature, which configs are checked against, has only what a config
may give: what is filled from the model is optional there, or absent if it is an object.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from avalanche.core import BasePlugin
from avalanche.training import plugins as avalanche_plugins
from avalanche.training import supervised
from avalanche.training.storage_policy import ExemplarsBuffer
from avalanche.training.templates import SupervisedTemplate
from torch import nn

from clearctl.config.registry import Parameter, parameters
from clearctl.strategies.methods.agem import AGEMPlugin
from clearctl.strategies.methods.bic import BiCPlugin
from clearctl.strategies.methods.buffers import memory_size
from clearctl.strategies.methods.ewc import ewc_plugin
from clearctl.strategies.methods.feature_replay import FeatureReplay
from clearctl.strategies.methods.from_scratch import FromScratchTrainingPlugin
from clearctl.strategies.methods.gdumb import GDumbPlugin
from clearctl.strategies.methods.head import Embedding, last_layer
from clearctl.strategies.methods.mir import MIR
from clearctl.strategies.methods.synaptic import SynapticIntelligencePlugin
from clearctl.strategies.strategy import Strategy


@dataclass(frozen=True)
class WithPlugin:
    """Plain training with one plugin, which takes the arguments of its own; it comes after those of the config."""

    make_plugin: Callable[..., BasePlugin]

    @property
    def __signature__(self) -> inspect.Signature:
        return _signature(parameters(SupervisedTemplate)[0], parameters(self.make_plugin)[0])

    def __call__(self, *, plugins: list[BasePlugin], **arguments: object) -> Strategy:
        """The strategy."""
        names = parameters(self.make_plugin)[0]
        plugin = self.make_plugin(**{name: value for name, value in arguments.items() if name in names})
        rest = {name: value for name, value in arguments.items() if name not in names}
        return SupervisedTemplate(plugins=[*plugins, plugin], **rest)


@dataclass(frozen=True)
class Filled:
    """A strategy of Avalanche with arguments made of the model.

    `optional` are made only where the config gives none; `hidden` cannot be given.
    """

    strategy: Callable[..., Strategy]
    optional: Mapping[str, Callable[[nn.Module], object]]
    hidden: Mapping[str, Callable[[nn.Module], object]]

    @property
    def __signature__(self) -> inspect.Signature:
        accepted = parameters(self.strategy)[0]
        own = {name: parameter for name, parameter in accepted.items() if name not in (*self.optional, *self.hidden)}
        signature = _signature(own)
        added = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in self.optional]
        if "model" in self.hidden:
            added.append(inspect.Parameter("model", inspect.Parameter.KEYWORD_ONLY))
        return signature.replace(parameters=[*signature.parameters.values(), *added])

    def __call__(self, *, model: nn.Module, **arguments: object) -> Strategy:
        """The strategy."""
        for name, make in self.optional.items():
            if arguments.get(name) is None:
                arguments[name] = make(model)
        made = {name: make(model) for name, make in self.hidden.items()}
        return self.strategy(**{"model": model, **arguments, **made})


def _signature(*groups: Mapping[str, Parameter]) -> inspect.Signature:
    joined = {name: parameter for group in groups for name, parameter in group.items()}
    return inspect.Signature(
        [
            inspect.Parameter(p.name, inspect.Parameter.KEYWORD_ONLY, default=p.default, annotation=p.annotation)
            for p in joined.values()
        ]
    )


class SplitNetwork(nn.Module):
    """A network as `embedding` and `classifier`, its last layer; the names under which Avalanche takes them apart."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.embedding = Embedding(network)
        self.classifier = last_layer(network)[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores `[B, num_classes]`."""
        return self.classifier(self.embedding(x))


def _replay(
    mem_size: int | None = None,
    batch_size_mem: int | None = None,
    task_balanced_dataloader: bool = False,
    buffer: ExemplarsBuffer | None = None,
) -> avalanche_plugins.ReplayPlugin:
    """Experience replay: each mini-batch is joined by one from a memory of earlier buckets."""
    return avalanche_plugins.ReplayPlugin(
        mem_size=memory_size(mem_size, buffer),
        batch_size_mem=batch_size_mem,
        task_balanced_dataloader=task_balanced_dataloader,
        storage_policy=buffer,
    )


def _agem(
    patterns_per_exp: int | None = None,
    sample_size: int = 64,
    reservoir: bool = False,
    buffer: ExemplarsBuffer | None = None,
) -> AGEMPlugin:
    """A-GEM (Chaudhry et al., ICLR 2019): no step may raise the mean loss of a batch from the memory."""
    return AGEMPlugin(patterns_per_exp, sample_size, reservoir, buffer)


def _layer_name(model: nn.Module) -> str:
    name, _ = last_layer(model)
    if not name:
        raise ValueError("the model is a single layer, so nothing can be frozen")
    return name


def _loss_by_sample(model: nn.Module) -> nn.Module:
    """MIR switches the loss's `reduction` to rank samples, and differentiates by every weight."""
    if not all(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("it needs the gradient of every weight of the model: leave `freeze` out")
    return nn.CrossEntropyLoss()


RECIPES: dict[str, Callable[..., Strategy]] = {
    "Replay": WithPlugin(_replay),
    "GDumb": WithPlugin(GDumbPlugin),
    "AGEM": WithPlugin(_agem),
    "BiC": WithPlugin(BiCPlugin),
    "EWC": WithPlugin(ewc_plugin),
    "FromScratchTraining": WithPlugin(FromScratchTrainingPlugin),
    "SynapticIntelligence": WithPlugin(SynapticIntelligencePlugin),
    "CWRStar": Filled(supervised.CWRStar, optional={"cwr_layer_name": _layer_name}, hidden={}),
    "MIR": Filled(MIR, optional={}, hidden={"criterion": _loss_by_sample}),
    "FeatureReplay": Filled(
        FeatureReplay, optional={}, hidden={"model": SplitNetwork, "last_layer_name": lambda model: "classifier"}
    ),
}
