"""The penalties of LwF, EWC and MAS: Avalanche's arithmetic, without its synchronization in each step.

Each function takes the place of a method of Avalanche's (`strategies.patches`), whose name it has.
"""

from collections.abc import Iterable
from functools import reduce

import torch
from avalanche.training import LearningWithoutForgetting
from avalanche.training.plugins import EWCPlugin, MASPlugin
from torch.nn.functional import kl_div

from clearctl.strategies.methods.head import class_index
from clearctl.strategies.strategy import Strategy


def distillation_loss(
    lwf: LearningWithoutForgetting, out: torch.Tensor, prev_out: torch.Tensor, active_units: Iterable[int]
) -> torch.Tensor:
    """`LearningWithoutForgetting._distillation_loss`, of scores `[B, C]` now and before, for the classes seen before.

    Avalanche indexes the scores by a list, which is copied to the device: twice forward and once backward. Here the
    index is there, and nothing is indexed if all classes were seen, as in CLEAR.
    """
    classes = tuple(active_units)
    if classes != tuple(range(out.shape[1])):
        index = class_index(classes, out.device)
        out, prev_out = out[:, index], prev_out[:, index]
    log_p = torch.log_softmax(out / lwf.temperature, dim=1)
    q = torch.softmax(prev_out / lwf.temperature, dim=1)
    return kl_div(log_p, q, reduction="batchmean")


def ewc_before_backward(plugin: EWCPlugin, strategy: Strategy, **kwargs: object) -> None:
    """`EWCPlugin.before_backward`. Avalanche adds the terms to a zero that it copies to the device."""
    count = strategy.clock.train_exp_counter
    if count == 0:
        return
    terms = []
    for bucket in range(count) if plugin.mode == "separate" else [count - 1]:
        kept, importances = plugin.saved_params[bucket], plugin.importances[bucket]
        for name, weight in strategy.model.named_parameters():
            if name in kept:  # those that came later do not count
                shape = weight.shape
                terms.append((importances[name].expand(shape) * (weight - kept[name].expand(shape)).pow(2)).sum())
    if terms:
        strategy.loss += plugin.ewc_lambda * reduce(torch.add, terms)


def mas_before_backward(plugin: MASPlugin, strategy: Strategy, **kwargs: object) -> None:
    """`MASPlugin.before_backward`. Avalanche reads the loss from the device, and ends a run whose loss is exactly 0."""
    if strategy.clock.train_exp_counter == 0:
        return
    assert plugin.importance is not None
    assert plugin.params is not None
    terms = [
        torch.sum(importance.expand(weight.shape) * (weight - plugin.params[name].expand(weight.shape)).pow(2))
        for name, weight in strategy.model.named_parameters()
        if (importance := plugin.importance.get(name)) is not None
    ]
    if terms:
        strategy.loss += plugin._lambda * reduce(torch.add, terms)
