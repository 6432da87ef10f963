"""Whether a strategy and its plugins fit the stream and the network."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from clearctl.config.findings import Fault
from clearctl.config.settings import Settings
from clearctl.data.stream import Stream
from clearctl.engine.build.transforms import build_transforms
from clearctl.errors import ConfigError
from clearctl.progress import Listener, Message
from clearctl.strategies.bucket_sizes import check_against_samples, sample_notices
from clearctl.strategies.build import check_against_model, check_against_stream


def require_strategy_fit(settings: Settings, stream: Stream, model: nn.Module, listener: Listener) -> None:
    """Raise ConfigError if the strategy and its plugins do not fit the stream or the network; nothing is built.

    `listener` is notified of settings that have no effect on that number of samples.
    """
    require_fits_stream(settings, stream)
    labels = [bucket.train.targets for bucket in stream.buckets]

    def samples() -> torch.Tensor:
        transform, _ = build_transforms(settings)
        x: Any = stream.buckets[0].train[0][0]
        x = transform(x) if transform else x
        return torch.stack([x, x]).to(next(model.parameters()).device)

    strategy = settings.strategy
    _raise_all(
        [
            *check_against_samples(strategy, labels, stream.bucket_names),
            *check_against_model(strategy, model, samples),
        ],
    )
    for text in sample_notices(strategy, labels, stream.bucket_names):
        listener(Message(text, warning=True))


def require_fits_stream(settings: Settings, stream: Stream) -> None:
    """Raise ConfigError if the strategy or a plugin would fail on the buckets of the stream, or do nothing."""
    _raise_all(check_against_stream(settings.strategy, len(stream.buckets), settings.scenario.task_labels))


def _raise_all(faults: Sequence[Fault]) -> None:
    if faults:
        raise ConfigError("\n".join(map(str, faults)))
