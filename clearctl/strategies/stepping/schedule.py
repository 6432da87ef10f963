"""Steps a learning-rate scheduler, and resets it at the next bucket if configured."""

from copy import deepcopy
from typing import Any

import torch
from avalanche.training.plugins import SupervisedPlugin
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from clearctl.errors import ConfigError
from clearctl.strategies.strategy import Strategy
from clearctl.strategies.watching.validation import validate

UNITS = ("epoch", "step", "bucket")
WATCHED = ("train_loss", "validation_loss")


class SchedulerPlugin(SupervisedPlugin):
    """Steps `scheduler` after each epoch, training step or bucket (`by`).

    With `reset` (the default, unless by='bucket') scheduler and learning rate are at the end of a bucket what they
    were at the start of the run, so that every bucket has the same curve. Avalanche's LRSchedulerPlugin sets only
    `last_epoch = 0`, which leaves the schedulers inside a SequentialLR or ChainedScheduler, OneCycleLR's momentum and
    CosineAnnealingWarmRestarts' count where they ended; with the schedulers that it does reset, this one agrees.
    ReduceLROnPlateau is given what it is to `watch`: the mean training loss of the epoch, step or bucket, or the loss
    at the end of the epoch or bucket on what `scenario.validation` holds out of the bucket.
    """

    def __init__(
        self, scheduler: LRScheduler, by: str = "epoch", reset: bool | None = None, watch: str = "train_loss"
    ) -> None:
        super().__init__()
        if by not in UNITS:
            raise ValueError(f"by is {by!r}, expected 'epoch', 'step' or 'bucket'")
        self.scheduler = scheduler
        self.by = by
        self.reset = by != "bucket" if reset is None else reset
        if self.reset and by == "bucket":
            raise ValueError("by='bucket' with reset=True would undo every step")
        if watch not in WATCHED:
            raise ValueError(f"watch is {watch!r}, expected 'train_loss' or 'validation_loss'")
        self.validates = watch == "validation_loss"
        if self.validates and (by == "step" or not isinstance(scheduler, ReduceLROnPlateau)):
            raise ValueError("watch='validation_loss' is for ReduceLROnPlateau, by='epoch' or by='bucket'")
        self._initial_state = deepcopy(scheduler.state_dict())
        # The options that a scheduler may have changed in the optimizer: lr, and momentum or betas with a cyclic one.
        self._initial_options = [_options(group) for group in scheduler.optimizer.param_groups]
        self._losses = _Mean()

    def after_training_iteration(self, strategy: Strategy, **kwargs: object) -> None:
        """Step, if that is the unit."""
        if isinstance(self.scheduler, ReduceLROnPlateau) and not self.validates:
            self._losses.add(strategy.loss.detach().sum(), len(strategy.mb_y))
        if self.by == "step":
            self._step(strategy)

    def after_training_epoch(self, strategy: Strategy, **kwargs: Any) -> None:
        """Step, if that is the unit."""
        if self.by == "epoch":
            self._step(strategy, kwargs.get("num_workers", 0))

    def after_training_exp(self, strategy: Strategy, **kwargs: Any) -> None:
        """Step, if that is the unit; then reset, if asked for."""
        if self.by == "bucket":
            self._step(strategy, kwargs.get("num_workers", 0))
        if self.reset:
            self.scheduler.load_state_dict(deepcopy(self._initial_state))
            for group, options in zip(self.scheduler.optimizer.param_groups, self._initial_options, strict=True):
                group.update(deepcopy(options))

    def _step(self, strategy: Strategy, workers: int = 0) -> None:
        try:
            if isinstance(self.scheduler, ReduceLROnPlateau):
                self.scheduler.step(validate(strategy, workers).loss if self.validates else self._losses.take())
            else:
                self.scheduler.step()
        except ValueError as error:  # OneCycleLR's, after its last step
            raise ConfigError(f"cl_strategy.scheduler: {type(self.scheduler).__name__}: {error}") from error


def _options(group: dict[str, Any]) -> dict[str, Any]:
    return deepcopy({name: value for name, value in group.items() if name != "params"})


class _Mean:
    """A mean over samples, kept on the device until it is taken."""

    def __init__(self) -> None:
        self.sum: torch.Tensor | float = 0.0
        self.count = 0

    def add(self, value: torch.Tensor, count: int) -> None:
        self.sum = self.sum + value * count
        self.count += count

    def take(self) -> float:
        mean = float(self.sum) / max(self.count, 1)
        self.sum, self.count = 0.0, 0
        return mean
