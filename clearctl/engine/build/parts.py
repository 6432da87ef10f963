"""What a strategy is built of: its loss, its schedule, the augmentation of its batches."""

from functools import partial
from typing import Any

import torch
from torch import nn

from clearctl.config.registry import parameters
from clearctl.config.settings import Call, ModelSettings, SchedulerSettings, Settings
from clearctl.data.stream import Stream
from clearctl.engine.build.calls import build, building
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.models.augments import build_augments
from clearctl.models.losses import build_criterion
from clearctl.strategies.stepping.schedule import SchedulerPlugin


def build_loss(settings: Settings, model: nn.Module, device: torch.device) -> nn.Module | None:
    """The loss: `cl_strategy.loss`, else the `loss` that the config gives `model.head`, else None, for the strategy's.

    Raises ConfigError for a loss that cannot score the head's classes.
    """
    given, of_head = settings.strategy.loss, settings.model.head_loss
    key = "cl_strategy.loss" if given is not None else "model.head.loss"
    if not takes_loss(settings.strategy.call):
        if of_head is not None:
            raise settings.error(key, f"{settings.strategy.call.type} has a loss of its own: leave it out")
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


def build_augment(settings: Settings, stream: Stream) -> Any | None:
    """What `model.train_cfg.augments` does to a batch; None if there is none."""
    augments = settings.model.augments
    if not augments:
        return None
    key = "model.train_cfg.augments"
    for call in augments:
        if stream.feature_dim is not None and call.type not in ("BatchMixup", "Identity"):
            raise settings.error(key, f"{call.type} needs images: for features there is BatchMixup")
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
        return SchedulerPlugin(built(scheduler.call), scheduler.by, scheduler.reset)
