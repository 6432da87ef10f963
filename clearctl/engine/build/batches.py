"""Checks that the samples of a stream form batches that the network accepts."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from clearctl.config.settings import Settings
from clearctl.data.samples import ImageSamples
from clearctl.data.stream import Stream
from clearctl.distributed.randomness import preserve_random_states
from clearctl.images import open_image
from clearctl.strategies.traits import traits_of


def require_equal_shapes(settings: Settings, stream: Stream, train_transform: Any, eval_transform: Any) -> None:
    """Raise ConfigError if a transform gives images of several shapes, as Resize(224) does of portraits too.

    The images are looked at only if the transform keeps something of an image's shape.
    """
    strategy = settings.strategy
    test_size = strategy.eval_mb_size or strategy.train_mb_size
    for key, transform, size, part in (
        ("scenario.train_transform", train_transform, strategy.train_mb_size, "train"),
        ("scenario.eval_transform", eval_transform, test_size, "test"),
    ):
        parts = [getattr(bucket, part) for bucket in stream.buckets]
        with preserve_random_states():
            if size == 1 or not _keeps_shape(transform, parts[0][0][0]):
                continue
            found: dict[torch.Size, Path] = {}
            for file, image in _of_each_size(parts):
                found.setdefault(transform(image).shape, file)
                if len(found) > 1:
                    (one, first), (other, second) = found.items()
                    raise settings.error(
                        key,
                        f"its images have different shapes: {_shape(one)} for {first}, {_shape(other)} for"
                        f" {second}\ncrop them, or give Resize both sizes: size=({min(one[1:])}, {min(one[1:])})",
                    )


def require_no_batch_of_one(settings: Settings, stream: Stream, model: nn.Module, x: torch.Tensor) -> None:
    """Raise ConfigError if the last batch of a bucket is one sample, and a batch norm of `model` needs two.

    `x [B, ...]` are samples as they are learned. A strategy that learns from a memory too has larger batches once it
    has one, and one that learns from nothing else has none of these. One that sees each sample once does so in eval
    mode.
    """
    size, traits = settings.strategy.train_mb_size, [traits_of(call.type) for call in settings.strategy.calls]
    if any(each.learns != "bucket" or each.sees_samples_once for each in traits):
        return
    buckets = stream.buckets[:1] if any(each.replaces_loader for each in traits) else stream.buckets
    single = next((bucket for bucket in buckets if len(bucket.train) % size == (1 if size > 1 else 0)), None)
    if single is None or not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        return
    with preserve_random_states(), torch.no_grad():
        try:
            deepcopy(model).train()(x[:1])
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise settings.error(
                "cl_strategy.train_mb_size",
                f"found {size}, but bucket {single.name} has {len(single.train)} samples, so its last batch has"
                " one, which the network's batch norms cannot normalise: choose another size",
            ) from None


def _keeps_shape(transform: Any, image: Image.Image) -> bool:
    """Whether images of other shapes come out of `transform` in other shapes, or do not come out at all."""
    width, height = image.size
    others = [image, image.resize((width + width // 2, height)), image.resize((width, height + height // 2))]
    try:
        return len({transform(each).shape for each in others}) > 1
    except Exception:  # of these images, which may be too small: those of the dataset say more
        return True


def _of_each_size(parts: list[ImageSamples]) -> Iterator[tuple[Path, Image.Image]]:
    """The first image of each size, with its file. One that cannot be read is skipped."""
    seen = set()
    for part in parts:
        for index, path in enumerate(part.paths):
            try:
                with open_image(part.root / path) as opened:
                    size = opened.size
            except Exception:  # Pillow raises many kinds; training says it with the image's bucket
                continue
            if size not in seen:
                seen.add(size)
                yield part.root / path, part[index][0]


def _shape(shape: torch.Size) -> str:
    return "x".join(map(str, shape[1:]))
