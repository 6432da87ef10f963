"""Whether a strategy and its plugins fit the stream and the network."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from clearctl.config.load import Config
from clearctl.data.stream import Stream
from clearctl.engine.build.calls import fault
from clearctl.engine.build.transforms import build_transforms
from clearctl.errors import ConfigError
from clearctl.progress import Listener, Message
from clearctl.strategies.bucket_sizes import check_against_samples, sample_notices
from clearctl.strategies.build import check_against_model, check_against_stream


def require_strategy_fit(config: Config, stream: Stream, model: nn.Module, listener: Listener) -> None:
    """Raise ConfigError where the strategy and its plugins do not fit the stream or the network; nothing is built.

    `listener` is notified of settings that have no effect on so many samples.
    """
    _require_fits_stream(config, stream)
    section = config.values["cl_strategy"]
    labels = [bucket.train.targets for bucket in stream.buckets]

    def samples() -> torch.Tensor:
        transform, _ = build_transforms(config)
        x: Any = stream.buckets[0].train[0][0]
        x = transform(x) if transform else x
        return torch.stack([x, x]).to(next(model.parameters()).device)

    _raise_all(
        config,
        [
            *check_against_samples(section, labels, stream.bucket_names),
            *check_against_model(section, model, samples),
        ],
    )
    for text in sample_notices(section, labels, stream.bucket_names):
        listener(Message(text, warning=True))


def _require_fits_stream(config: Config, stream: Stream) -> None:
    task_labels = config.values["scenario"].get("task_labels", "single")
    _raise_all(config, check_against_stream(config.values["cl_strategy"], len(stream.buckets), task_labels))


def _raise_all(config: Config, faults: Sequence[tuple[str, str]]) -> None:
    if faults:
        raise ConfigError("\n".join(str(fault(config, f"cl_strategy.{key}", text)) for key, text in faults))
