"""How a run gets its samples: features on the device or mapped, images decoded once, or as Avalanche's loaders read."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from clearctl.config.settings import DataSettings, Settings
from clearctl.data.cache.files import CachedImages, list_files
from clearctl.data.cache.stores import open_stores
from clearctl.data.cache.transform import CachedTransform
from clearctl.data.samples import ImageSamples
from clearctl.data.stream import Samples, Stream
from clearctl.data.transforms import split_steps
from clearctl.distributed import world
from clearctl.engine.build.resident import keep_images_resident
from clearctl.engine.build.transforms import build_steps, build_transforms
from clearctl.engine.machine import require_worker_processes
from clearctl.progress import Listener, Message
from clearctl.strategies.traits import traits_of

NAMES = ("train_transform", "eval_transform")


def loader_arguments(data: DataSettings, stream: Stream) -> dict[str, Any]:
    """What Avalanche's loaders are made with: `data.workers` processes, by default and for gathered features none."""
    if gathers_features(data, stream):
        return {"num_workers": 0, "pin_memory": False}
    return {"num_workers": data.workers}


def gathers_features(data: DataSettings, stream: Stream) -> bool:
    """Whether batches are gathered from features, on the device or mapped, as in `data.loader`."""
    return stream.feature_dim is not None and data.loader != "workers"


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
    settings: Settings, stream: Stream, device: torch.device, listener: Listener, *, training: bool = True
) -> BuiltSamples:
    """Features go to `device` unless they are mapped; images are decoded into stores, as `data.cache` says.

    That may take a while. On a GPU they stay there once they are used, as `data.loader` says.
    Without `training` only the images that are tested on are stored. For a strategy that looks at what it learns under
    the transform of tests too, these images are stored after both. Raises what `open_stores` raises, and
    CapabilityError if there can be no worker processes.
    """
    data = settings.data
    if gathers_features(data, stream):
        if stream.is_mapped and data.loader == "auto":
            text = "the features do not fit in memory: batches are read from their files"
            listener(Message(f"{text} (data.loader='mapped')"))
        if data.workers:
            place = "are read from their files" if stream.is_mapped else "stay on the device"
            listener(Message(f"data.workers has no effect: the features {place}"))
        return BuiltSamples(stream.to(device), None, None, gathered=True)
    require_worker_processes(data.workers)
    if stream.feature_dim is not None or data.cache == "off" or data.loader == "workers":
        if stream.feature_dim is None and world.size() > 1:
            text = "each process reads all images of a batch: with data.cache it reads only its part"
            listener(Message(text, warning=True))
        return BuiltSamples(stream, *build_transforms(settings), gathered=False)
    learned = [_images(bucket.train) for bucket in stream.buckets]
    tested = [_images(part) for bucket in stream.buckets for part in bucket.parts[1:]]
    files = list_files([*learned, *tested])
    after_train = learned if training else []
    as_tested = any(traits_of(call.type).sees_learned_as_tested for call in settings.strategy.calls)
    after_eval = [*tested, *after_train] if as_tested else tested
    number = files.numbers()
    calls = dict(zip(NAMES, (settings.scenario.train_transform, settings.scenario.eval_transform), strict=True))
    splits = {name: split_steps(build_steps(listed)) for name, listed in calls.items()}
    stores = open_stores(
        files,
        splits,
        wanted={
            name: {number[path] for part in parts for path in part.paths}
            for name, parts in zip(NAMES, (after_train, after_eval), strict=True)
        },
        cache=data.cache,
        cache_dir=data.cache_dir,
        listener=listener,
    )
    buckets = [bucket.map(lambda part: CachedImages.of(_images(part), number)) for bucket in stream.buckets]
    shared = {name: world.size() > 1 for name in NAMES}
    if settings.model.augments:
        shared["train_transform"] = False  # samples are mixed with any others of their batch
    transforms = {name: CachedTransform(stores[name], splits[name], shared[name]) for name in NAMES}
    keep_images_resident(transforms, data.loader, device, listener)
    return BuiltSamples(replace(stream, buckets=tuple(buckets)), **transforms, gathered=True)


def _images(samples: Samples) -> ImageSamples:
    assert isinstance(samples, ImageSamples)
    return samples
