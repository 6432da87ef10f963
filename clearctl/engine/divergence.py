"""Detects that a run diverges: a loss or a weight is no longer finite."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from clearctl.errors import RunError
from clearctl.progress import EpochDone, Listener, Message, ignore

WHAT_TO_DO = "lower cl_strategy.optimizer.lr, or clip gradients with the plugin GradientClipping"


class DivergedError(RunError):
    """A run diverged whose config says that it then ends."""


@dataclass
class Divergence:
    """Watches a run whose network is `model`.

    `found` is the first place where the mean loss of an epoch, or a weight, was not finite: {"bucket", "epoch",
    "reason"}; None until then. A warning reports it once and, with `stops`, a DivergedError ends the run there.
    `finite` says whether the weights are, if they are not those of `model`, as in a stack during a bucket.
    """

    model: nn.Module
    listener: Listener = ignore
    stops: bool = False
    finite: bool | None = None
    found: dict[str, Any] | None = None

    def epoch_done(self, done: EpochDone) -> None:
        """Look at the loss of an epoch and at the weights after it. Raises DivergedError."""
        if self.found is not None:
            return
        if not math.isfinite(done.loss):
            self._report(done.bucket, done.epoch, f"the loss is {done.loss}")
        elif not (weights_are_finite(self.model) if self.finite is None else self.finite):
            self._report(done.bucket, done.epoch, "weights are not finite")

    def bucket_done(self, bucket: str) -> None:
        """Look at the weights with which a bucket ends, which may be others than those of its last epoch."""
        self.finite = None
        if self.found is None and not weights_are_finite(self.model):
            self._report(bucket, None, "weights are not finite")

    def _report(self, bucket: str, epoch: int | None, reason: str) -> None:
        self.found = {"bucket": bucket, "epoch": epoch, "reason": reason}
        text = f"the run has diverged: {place(self.found)}"
        if self.stops:
            raise DivergedError(f"{text}\n{WHAT_TO_DO}")
        self.listener(Message(f"{text}; {WHAT_TO_DO}", warning=True))


def place(found: dict[str, Any]) -> str:
    """`bucket 3, epoch 2: the loss is nan`."""
    epoch = f", epoch {found['epoch']}" if found["epoch"] is not None else ""
    return f"bucket {found['bucket']}{epoch}: {found['reason']}"


def weights_are_finite(model: nn.Module) -> bool:
    """Whether all floating weights and buffers of `model` are. This waits for the device once, or twice if not.

    A sum is finite only if all that is summed is, and takes half as many launches; that of finite weights may overflow.
    """
    weights = [value for value in model.state_dict().values() if value.is_floating_point()]
    if not weights:
        return True
    # float16 overflows at 65,504.
    sums = torch.stack([value.sum(dtype=torch.promote_types(value.dtype, torch.float32)) for value in weights])
    return all(map(math.isfinite, sums.tolist())) or bool(torch.stack([v.isfinite().all() for v in weights]).all())
