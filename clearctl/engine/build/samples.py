"""How a run gets its samples: features on the device, images decoded once, or both as Avalanche's loaders read them."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from clearctl.config.load import Config
from clearctl.data.cache.files import CachedImages, list_files
from clearctl.data.cache.stores import open_stores
from clearctl.data.cache.transform import CachedTransform
from clearctl.data.samples import ImageSamples
from clearctl.data.stream import Bucket, Stream
from clearctl.data.transforms import split_steps
from clearctl.distributed import world
from clearctl.engine.build.transforms import NAMES, build_steps, build_transforms
from clearctl.progress import Listener, Message


def loader_arguments(config: Config, stream: Stream) -> dict[str, Any]:
    """What Avalanche's loaders are made with: `data.workers` processes, by default and for resident features none."""
    if keeps_resident(config, stream):
        return {"num_workers": 0, "pin_memory": False}
    return {"num_workers": _data(config, "workers", 0)}


def keeps_resident(config: Config, stream: Stream) -> bool:
    """Whether the samples are features that stay on the device, as `data.loader` has it."""
    return stream.feature_dim is not None and _data(config, "loader", "auto") != "workers"


@dataclass(frozen=True)
class BuiltSamples:
    """The `stream` as a run reads it, with the transforms of its images.

    `gathered` says whether whole batches can be taken from it, instead of sample by sample.
    """

    stream: Stream
    train_transform: Any | None
    eval_transform: Any | None
    gathered: bool


def build_samples(
    config: Config, stream: Stream, device: torch.device, listener: Listener, *, training: bool = True
) -> BuiltSamples:
    """Features go to `device`; images are decoded into stores, as `data.cache` says, which may take a while.

    Without `training` only the images that are tested on are stored. Raises what `open_stores` raises.
    """
    if keeps_resident(config, stream):
        if _data(config, "workers", 0):
            listener(Message("data.workers plays no part: the features stay on the device"))
        return BuiltSamples(stream.to(device), None, None, gathered=True)
    cache = _data(config, "cache", "auto")
    if stream.feature_dim is not None or cache == "off" or _data(config, "loader", "auto") == "workers":
        if stream.feature_dim is None and world.size() > 1:
            text = "each process reads every image of a batch: it reads only its part with data.cache"
            listener(Message(text, warning=True))
        return BuiltSamples(stream, *build_transforms(config), gathered=False)
    learned, tested = ([_images(bucket, name) for bucket in stream.buckets] for name in ("train", "test"))
    files = list_files([*learned, *tested])
    number = files.numbers()
    splits = {name: split_steps(build_steps(config, name)) for name in NAMES}
    stores = open_stores(
        files,
        splits,
        wanted={
            name: {number[path] for part in parts for path in part.paths}
            for name, parts in zip(NAMES, (learned if training else [], tested), strict=True)
        },
        cache=cache,
        cache_dir=_data(config, "cache_dir", None),
        listener=listener,
    )
    buckets = [
        Bucket(bucket.name, CachedImages.of(train, number), CachedImages.of(test, number))
        for bucket, train, test in zip(stream.buckets, learned, tested, strict=True)
    ]
    shared = {name: world.size() > 1 for name in NAMES}
    if (config.values["model"].get("train_cfg") or {}).get("augments"):
        shared["train_transform"] = False  # samples are mixed with any others of their batch
    train_transform, eval_transform = (CachedTransform(stores[name], splits[name], shared[name]) for name in NAMES)
    return BuiltSamples(replace(stream, buckets=tuple(buckets)), train_transform, eval_transform, gathered=True)


def _images(bucket: Bucket, part: str) -> ImageSamples:
    samples = getattr(bucket, part)
    assert isinstance(samples, ImageSamples)
    return samples


def _data(config: Config, key: str, default: Any) -> Any:
    value = (config.values.get("data") or {}).get(key)
    return default if value is None else value
