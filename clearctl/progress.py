"""The events that a long operation reports to its listener; the library itself prints nothing."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

_PERIOD_S = 0.1  # between two events about the same work


@dataclass(frozen=True)
class Message:
    """A line for the user: a decision, or where a file is."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Counted:
    """`done` of `total` units of a named task, for example "evaluate, trained to bucket 3" in images."""

    work: str
    done: int
    total: int
    unit: str


@dataclass(frozen=True)
class TrainStep:
    """A training step ended; reported at most 10 times a second.

    `num_samples`, `seconds`, and the means `loss` and `accuracy` are of the epoch so far.
    """

    bucket: str
    bucket_number: int
    num_buckets: int
    epoch: int
    num_epochs: int
    step: int
    num_steps: int
    num_samples: int
    seconds: float
    loss: float
    accuracy: float


@dataclass(frozen=True)
class EpochDone:
    """An epoch ended; `loss` and `accuracy` are its means, `seconds` its length.

    `ridge_lambda` is the regularisation of strategies that solve a ridge regression.
    """

    bucket: str
    bucket_number: int
    num_buckets: int
    epoch: int
    num_epochs: int
    num_samples: int
    seconds: float
    loss: float
    accuracy: float
    ridge_lambda: float | None = None


@dataclass(frozen=True)
class BucketDone:
    """A bucket was trained on and every bucket tested; `accuracies` are in the order of the stream.

    `on_training_images`: the accuracy on the bucket itself is measured on its training images.
    """

    bucket: str
    bucket_number: int
    num_buckets: int
    accuracies: tuple[float, ...]
    seconds: float
    on_training_images: bool = False


Event: TypeAlias = Message | Counted | TrainStep | EpochDone | BucketDone
Listener: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Ignore all events: the default listener of every library call."""


def rate_limited(listener: Listener) -> Listener:
    """A listener that forwards at most ten Counted a second to `listener`, always the last, and all other events."""
    sent_at = -math.inf

    def forward(event: Event) -> None:
        nonlocal sent_at
        now = time.monotonic()
        if isinstance(event, Counted) and event.done < event.total:
            if now - sent_at < _PERIOD_S:
                return
            sent_at = now
        listener(event)

    return forward
