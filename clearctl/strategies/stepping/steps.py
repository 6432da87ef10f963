"""The steps of an epoch without unused callbacks: Avalanche's loop, in its order and with its arithmetic."""

from functools import partial

import torch
from avalanche.training.templates import BaseSGDTemplate
from avalanche.training.templates.problem_type.supervised_problem import SupervisedProblem
from avalanche.training.templates.update_type.sgd_update import SGDUpdate
from torch import nn

from clearctl.strategies.loading.gather import GatheringLoader
from clearctl.strategies.stepping.empty_loss import EmptyLoss
from clearctl.strategies.stepping.optimizer import clear_gradients, update_weights
from clearctl.strategies.strategy import Strategy
from clearctl.strategies.watching.hooks import is_idle

# Where nothing may act in the loop below. At "before_backward" the penalties of LwF and EWC are added, which it calls.
_IDLE = (
    "before_training_iteration",
    "before_forward",
    "after_forward",
    "after_backward",
    "before_update",
    "after_update",
)
# (method, the class whose it is) that a step calls, or does without.
_OF_AVALANCHE = (
    ("training_epoch", SGDUpdate),
    ("_make_empty_loss", BaseSGDTemplate),
    ("_unpack_minibatch", SupervisedProblem),
    ("criterion", SupervisedProblem),
    ("optimizer_step", BaseSGDTemplate),
)


def skip_idle_steps(strategy: Strategy) -> None:
    """Replace the epochs of `strategy` by the loop below, if its class has Avalanche's own."""
    kind = type(strategy)
    if all(getattr(kind, name) is getattr(base, name) for name, base in _OF_AVALANCHE):
        strategy.training_epoch = partial(_training_epoch, strategy)


def _training_epoch(strategy: Strategy, **kwargs: object) -> None:
    """An epoch, step by step as Avalanche's `training_epoch`; plugins that are added within it act in the next."""
    if not all(is_idle(strategy, event) for event in _IDLE):
        type(strategy).training_epoch(strategy, **kwargs)
        return
    has_penalties = not is_idle(strategy, "before_backward")
    # These are lists already, and the tensors that Avalanche moves to a CPU are on it.
    counted = getattr(strategy.dataloader, "loader", None)  # see `Epochs`
    unpacked = strategy.device.type == "cpu" and isinstance(counted, GatheringLoader)
    scales = "optimizer_step" in vars(strategy)  # see `precision`
    is_new = _gives_new_losses(strategy._criterion)
    for batch in strategy.dataloader:
        strategy.mbatch = batch
        if strategy._stop_training:
            break
        if not unpacked:
            strategy._unpack_minibatch()
        clear_gradients(strategy.optimizer)
        strategy.mb_output = strategy.forward()
        loss = strategy.criterion()
        as_it_is = loss.ndim == 0 and loss.dtype is torch.float32 and not has_penalties
        strategy.loss = loss if as_it_is else EmptyLoss(strategy.device).__iadd__(loss)
        if has_penalties:
            strategy._before_backward(**kwargs)
        strategy.backward()
        if as_it_is:
            loss = loss.detach().reshape(1)  # as in Avalanche, who adds it to zeros
            strategy.loss = loss if is_new else loss + 0.0
        if scales:
            strategy.optimizer_step()
        else:
            update_weights(strategy.optimizer)
        strategy._after_training_iteration(**kwargs)


def _gives_new_losses(criterion: object) -> bool:
    """Whether no loss that it has given changes later: a user's loss might keep the tensor, and add to it."""
    modules = criterion.modules() if isinstance(criterion, nn.Module) else (criterion,)
    return {type(module).__module__.partition(".")[0] for module in modules} <= {"torch", "mmcls", "clearctl"}
