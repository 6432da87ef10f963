"""What a long operation reports to its listener: plain events, so that the library draws nothing itself."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

_PERIOD_S = 0.1  # between two events about the same work


@dataclass(frozen=True)
class Message:
    """A line for a person: a decision taken, a place where something lies."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Counted:
    """`done` of `total` units of a named piece of work, say "evaluate, trained to bucket 3" in images."""

    work: str
    done: int
    total: int
    unit: str


@dataclass(frozen=True)
class TrainStep:
    """A training step was made, reported at most 10 times a second.

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

    `ridge_lambda` is what a regression was solved with, by a strategy that does.
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

    `on_training_images` says that of the bucket itself it is on the images that were trained on.
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
    """Listen to nothing: the default of every library call."""


def rate_limited(listener: Listener) -> Listener:
    """A listener that passes on to `listener` ten Counted a second at most, but always the last, and all else."""
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
