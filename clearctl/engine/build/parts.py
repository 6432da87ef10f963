"""What a strategy is built of: its loss, its schedule, the augmentation of its batches."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from clearctl.config.load import Config
from clearctl.config.registry import parameters
from clearctl.data.stream import Stream
from clearctl.engine.build.calls import building, call, fault
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.models.augments import build_augments
from clearctl.models.losses import build_criterion
from clearctl.strategies.stepping.schedule import SchedulerPlugin


def build_loss(config: Config, model: nn.Module, device: torch.device) -> nn.Module | None:
    """The loss: `cl_strategy.loss`, else the `loss` that the config gives `model.head`, else None, for the strategy's.

    Raises ConfigError for a loss that cannot score the head's classes.
    """
    strategy, head = config.values["cl_strategy"], config.values["model"].get("head") or {}
    given = strategy.get("loss")
    key = "cl_strategy.loss" if given is not None else "model.head.loss"
    if not _takes_loss(config):
        if head.get("loss") is not None:
            raise fault(config, key, f"{strategy['type']} has a loss of its own: leave it out")
        return None
    loss = call(config, key, CATALOGUE.losses, given) if given is not None else None
    with building(config, key, (given or head.get("loss") or {"type": "the loss"})["type"]):
        criterion = build_criterion(model, loss, head_has_one=head.get("loss") is not None)
        if criterion is not None and head.get("num_classes"):
            criterion.try_on(head["num_classes"], soft=bool(config.values["model"].get("train_cfg")))
    return None if criterion is None else criterion.to(device)


def _takes_loss(config: Config) -> bool:
    return "criterion" in parameters(CATALOGUE.strategies[config.values["cl_strategy"]["type"]])[0]


def build_augment(config: Config, stream: Stream) -> Any | None:
    """What `model.train_cfg.augments` does to a batch; None if there is none."""
    entries = (config.values["model"].get("train_cfg") or {}).get("augments")
    if not entries:
        return None
    key = "model.train_cfg.augments"
    for entry in [entries] if isinstance(entries, dict) else entries:
        if stream.feature_dim is not None and entry["type"] not in ("BatchMixup", "Identity"):
            raise fault(config, key, f"{entry['type']} needs images: for features there is BatchMixup")
    with building(config, key, "Augments"):
        return build_augments(entries)


def build_schedule(config: Config, entry: Mapping[str, Any], optimizer: Any) -> SchedulerPlugin:
    """The scheduler, with those inside it, and when it steps."""
    key = "cl_strategy.scheduler"
    own = {name: entry[name] for name in ("by", "reset") if name in entry}

    def build(key: str, entry: Mapping[str, Any]) -> Any:
        arguments = {name: value for name, value in entry.items() if name not in own}
        if "schedulers" in entry:
            inner = [build(f"{key}.schedulers.{index}", child) for index, child in enumerate(entry["schedulers"])]
            arguments["schedulers"] = inner
        return call(config, key, CATALOGUE.schedulers, arguments, optimizer=optimizer)

    with building(config, key, entry["type"]):
        return SchedulerPlugin(build(key, entry), **own)
