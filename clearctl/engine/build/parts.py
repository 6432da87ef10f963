"""The parts of a strategy: optimizer, schedule, loss, plugins, the augmentation of its batches."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from clearctl.config.registry import parameters
from clearctl.config.settings import Call, ModelSettings, SchedulerSettings, Settings
from clearctl.distributed import world
from clearctl.engine.build.calls import build, building
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.engine.build.sharing import with_global_batch_sizes
from clearctl.models.augments import build_augments
from clearctl.models.losses import build_criterion
from clearctl.strategies.stepping.augment import BatchAugment, SoftLabelLoss
from clearctl.strategies.stepping.schedule import SchedulerPlugin


@dataclass(frozen=True)
class StrategyParts:
    """The parts of a strategy besides the network; `arguments` are its own, such as `train_mb_size`, `buffer`."""

    arguments: dict[str, Any]
    optimizer: torch.optim.Optimizer | None
    scheduler: SchedulerPlugin | None
    loss: nn.Module | None
    plugins: list[Any]


def build_parts(settings: Settings, model: nn.Module, device: torch.device) -> StrategyParts:
    """Build what the config gives the strategy. Raises ConfigError, with the key, for arguments refused by a class."""
    strategy = settings.strategy
    if world.size() > 1 and settings.data.batch_per_rank:
        strategy = with_global_batch_sizes(strategy)
    optimizer = None
    if strategy.optimizer is not None:
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = build(strategy.optimizer, CATALOGUE.optimizers, params=trained)
    scheduler = None if strategy.scheduler is None else build_schedule(strategy.scheduler, optimizer)
    arguments = dict(strategy.call.arguments)
    if strategy.buffer is not None:
        arguments["buffer"] = build(strategy.buffer, CATALOGUE.buffers)
    loss = build_loss(settings, model, device)
    plugins = [build(call, CATALOGUE.plugins) for call in strategy.plugins]
    augment = build_augment(settings)
    if augment is not None and takes_loss(strategy.call):
        loss = SoftLabelLoss(nn.CrossEntropyLoss() if loss is None else loss)
        plugins = [BatchAugment(augment, loss), *plugins]
    return StrategyParts(arguments, optimizer, scheduler, loss, plugins)


def build_loss(settings: Settings, model: nn.Module, device: torch.device) -> nn.Module | None:
    """The loss: `cl_strategy.loss`, else the `loss` that the config gives `model.head`, else None, for the strategy's.

    Raises ConfigError for a loss that cannot score the head's classes.
    """
    given, of_head = settings.strategy.loss, settings.model.head_loss
    key = "cl_strategy.loss" if given is not None else "model.head.loss"
    if not takes_loss(settings.strategy.call):
        if of_head is not None:
            raise settings.error(key, f"{settings.strategy.call.type} has its own loss: leave it out")
        return None
    loss = build(given, CATALOGUE.losses) if given is not None else None
    name = given.type if given is not None else (of_head or {"type": "the loss"})["type"]
    with building(name, partial(settings.error, key)):
        criterion = build_criterion(model, loss, head_has_one=of_head is not None)
        num_classes = _num_classes(settings.model)
        if criterion is not None and num_classes:
            criterion.try_on(num_classes, soft=bool(settings.model.augments))
    return None if criterion is None else criterion.to(device)


def takes_loss(strategy: Call) -> bool:
    """Whether the strategy can be given a loss."""
    return "criterion" in parameters(CATALOGUE.strategies[strategy.type])[0]


def _num_classes(model: ModelSettings) -> int | None:
    return model.head.arguments.get("num_classes") if model.head is not None else None


def build_augment(settings: Settings) -> Any | None:
    """The augmentation of a batch by `model.train_cfg.augments`; None if there is none."""
    augments = settings.model.augments
    if not augments:
        return None
    key = "model.train_cfg.augments"
    for call in augments:
        if settings.scenario.feature_type and call.type not in ("BatchMixup", "Identity"):
            raise settings.error(key, f"{call.type} needs images: use BatchMixup for features")
    with building("Augments", partial(settings.error, key)):
        return build_augments([call.entry for call in augments])


def build_schedule(scheduler: SchedulerSettings, optimizer: torch.optim.Optimizer | None) -> SchedulerPlugin:
    """The scheduler, with those inside it, and when it steps."""

    def built(call: Call) -> Any:
        inner = call.arguments.get("schedulers")
        if inner is not None:
            call = call.having(schedulers=[built(each) for each in inner])
        return build(call, CATALOGUE.schedulers, optimizer=optimizer)

    with building(scheduler.call.type, scheduler.call.error):
        return SchedulerPlugin(built(scheduler.call), scheduler.by, scheduler.reset, scheduler.watch)
