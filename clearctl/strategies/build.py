"""A strategy of Avalanche from its parts."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from avalanche.training.plugins import EvaluationPlugin, LRSchedulerPlugin
from torch import nn

from clearctl.strategies.registry import STRATEGIES


def build_strategy(
    name: str,
    arguments: Mapping[str, Any],
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: Any | None,
    loss: Any | None,
    metrics: Sequence[Any],
    loggers: Sequence[Any],
    plugins: Sequence[Any],
    device: torch.device,
) -> Any:
    """The strategy called `name`, with `arguments` its own ones (`train_mb_size`, `ewc_lambda`, ...).

    `scheduler` is stepped as Avalanche's LRSchedulerPlugin does by default: after each epoch, reset at each bucket.
    """
    if scheduler is not None:
        plugins = [LRSchedulerPlugin(scheduler), *plugins]
    given: dict[str, Any] = {**arguments}
    if loss is not None:
        given["criterion"] = loss
    return STRATEGIES[name](
        model=model,
        optimizer=optimizer,
        device=device,
        plugins=list(plugins),
        evaluator=EvaluationPlugin(*metrics, loggers=list(loggers)),
        **given,
    )
