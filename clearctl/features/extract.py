"""Write the features of a frozen network for every image of a prepared folder, bucket after bucket.

    training_folder/features/<name>/<bucket>/all.pth   (float32 [N, D], N class indices), row i is line i of all.txt
    training_folder/features/<name>/extraction.json    how they were made (`record`)

A bucket is whole or not there. The same command after a kill continues from the last whole bucket and ends in the same
bytes. The images are not changed, so rows never shift: one that cannot be read ends the extraction.

Under torchrun all processes call `extract`. Each computes its share of the batches; the first gets the rows of all,
bucket after bucket, and is the only one that reads and writes what is here.
"""

import os
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clearctl import layout
from clearctl.data.cache.existing import ExistingImages
from clearctl.data.features import save_features
from clearctl.data.stream import require_images
from clearctl.data.transforms import TransformStages
from clearctl.distributed import world
from clearctl.distributed.world import broadcast, gather_to_first
from clearctl.errors import DatasetError, RunError
from clearctl.features.batches import BucketImages, list_images, owners, read_batches
from clearctl.features.forward import Forward
from clearctl.features.record import ExtractionRecord, resume_or_start, sha256
from clearctl.progress import Counted, Listener, Message
from clearctl.threads import keep_threads
from clearctl.wording import all_of

WORK = "extract features"


@dataclass(frozen=True)
class Extracted:
    """The result of `extract`: the buckets written, images read, how many of them were decoded in a cache, and seconds.

    `waiting_s` of the `seconds` the network waited for images, `compiling_s` it was compiled. Of several processes
    these two are each one's own, the others are of all.
    """

    written: tuple[str, ...]
    images: int
    cached: int
    seconds: float
    waiting_s: float
    compiling_s: float


def extract(
    wanted: ExtractionRecord,
    buckets: Sequence[str],
    network: nn.Module,
    stages: TransformStages,
    *,
    caches: Sequence[Path],
    device: torch.device,
    precision: str,
    compile: bool,
    channels_last: bool,
    batch_size: int,
    workers: int,
    force: bool,
    listener: Listener,
) -> Extracted:
    """Write the missing ones of the `wanted` features of `buckets`.

    `network` maps `[B, 3, H, W] float32` to `[B, D]`. The `stages` before `finish` transform each image; `finish` turns
    a stacked batch, on the device, into the network's input; with `channels_last` in that memory format, which is
    faster, but rounds differently. Images that are already decoded in one of the cache folders `caches` are read from
    there, which leaves the rows bit-identical.

    Raises DatasetError for features of that name that were extracted differently, an image that is missing or cannot be
    decoded, and files that cannot be written; RunError for features that are not finite, and in a process that has
    another network or dataset than the first; CapabilityError if memory is too small for one image, and for a
    network that cannot be compiled. If one process raises, the others raise an error that it was lost.
    """
    record, digests, done, todo = _begin(wanted, buckets, force)
    started = time.perf_counter()
    if not todo:
        return Extracted((), 0, 0, 0.0, 0.0, 0.0)
    if done:
        listener(Message(f"features of bucket {', '.join(done)} already exist"))
    total = sum(len(images.listed) for images in todo)
    images = ExistingImages(list_images(wanted.root, todo), stages, caches, listener)
    stored = _count_stored(images, todo, caches, listener)
    forward = Forward(
        network,
        stages.finish,
        device,
        precision,
        listener,
        compile_for=batch_size if compile else None,
        channels_last=channels_last,
    )
    batches = read_batches(images, todo, batch_size=batch_size, workers=workers, pin_memory=device.type == "cuda")
    clock = _Clock(batches)
    target = record.file
    threads_before = torch.get_num_threads()
    try:
        threads = broadcast(record.threads)
        if threads is not None:
            keep_threads(threads, "when the extraction began", listener)
        if world.is_first():
            if not record.buckets:
                _remove_others(record)
            record.write()  # the settings first: what is written after them belongs to them
        for bucket, x in _features_of(todo, clock, forward, batch_size, listener):
            if x is None:
                continue
            _require_finite(x, bucket)
            target = layout.features_file(record.root, record.name, bucket.bucket)
            save_features(target, x, [label for _, label in bucket.listed])
            target = record.file
            record.add(bucket.bucket, len(x), digests[bucket.bucket], stored[bucket.bucket])
    except OSError as error:
        raise DatasetError(f"{target} cannot be written: {error.strerror}") from None
    finally:
        batches.close()  # ends the workers at once
        torch.set_num_threads(threads_before)
    return Extracted(
        tuple(stored),
        total,
        sum(stored.values()),
        time.perf_counter() - started,
        clock.waiting_s,
        forward.compiling_s,
    )


def _begin(
    wanted: ExtractionRecord, buckets: Sequence[str], force: bool
) -> tuple[ExtractionRecord, dict[str, str | None], tuple[str, ...], list[BucketImages]]:
    """(the record to add to, {bucket: digest of its file list}, the buckets that exist, the others)."""
    classes = len(layout.read_class_names(wanted.root))
    # Before the lists: if one changes in the meantime, its features match neither, and are made again.
    digests = {name: sha256(layout.filelist_file(wanted.root, name)) for name in buckets}
    lists = {name: layout.read_bucket_filelist(wanted.root, name, classes) for name in buckets}
    for name, listed in lists.items():
        require_images(wanted.root, name, [path for path, _ in listed])
    record = resume_or_start(wanted, force=force) if world.is_first() else wanted
    done = broadcast(tuple(name for name in buckets if record.is_done(name)) if world.is_first() else ())
    _require_alike(wanted.settings, digests)
    todo = [BucketImages(name, lists[name]) for name in buckets if name not in done]
    return record, digests, done, todo


def _features_of(
    buckets: Sequence[BucketImages],
    batches: Iterator[torch.Tensor],
    forward: Forward,
    batch_size: int,
    listener: Listener,
) -> Iterator[tuple[BucketImages, torch.Tensor | None]]:
    """Yields each bucket with its features `x [N, D] float32` on the CPU; None except in the first process."""
    total = sum(len(bucket.listed) for bucket in buckets)
    seen = whole = 0
    for bucket, ranks in zip(buckets, owners(buckets, batch_size), strict=True):
        rows: list[torch.Tensor] = []
        for _ in range(ranks.count(world.rank())):
            rows.append(forward(next(batches)))
            seen += len(rows[-1])
            listener(Counted(WORK, seen, total, "images"))
        parts = [iter(of_rank) for of_rank in gather_to_first([batch.cpu() for batch in rows])]
        whole += len(bucket.listed)
        if seen < whole:  # the others' are known only now
            seen = whole
            listener(Counted(WORK, seen, total, "images"))
        yield bucket, torch.cat([next(parts[rank]) for rank in ranks]) if world.is_first() else None


def _count_stored(
    images: ExistingImages, todo: Sequence[BucketImages], caches: Sequence[Path], listener: Listener
) -> dict[str, int]:
    """The number of images of each bucket that are read from a cache; reported if there is one."""
    number = images.files.numbers()
    stored = {of.bucket: images.num_stored(number[path] for path, _ in of.listed) for of in todo}
    count, total = sum(stored.values()), sum(len(of.listed) for of in todo)
    there = [str(folder) for folder in caches if os.path.isdir(folder)]
    if there:
        what = f"{'all' if count == total else f'{count:,} of'} {total:,} images are read from the cache"
        none = "all images are decoded: these transforms have none in the cache"
        listener(Message(f"{what if count else none} {all_of(there)}"))
    return stored


def _require_alike(settings: dict[str, Any], digests: dict[str, str | None]) -> None:
    """Raise RunError unless the first process has the same settings and file lists: on another machine they may differ.

    Otherwise rows of two networks, or of two lists, would silently be mixed in one file.
    """
    first_settings, first_digests = broadcast((settings, digests))
    differing = [key for key, value in first_settings.items() if settings.get(key) != value]
    differing += [f"file list of bucket {name}" for name, value in first_digests.items() if digests.get(name) != value]
    if differing:
        raise RunError(
            f"process {world.rank()}, on {socket.gethostname()}, differs from the first in {', '.join(differing)}\n"
            "use the same dataset, checkpoint, config and versions on all machines"
        )


def _remove_others(record: ExtractionRecord) -> None:
    """Remove what an extraction with other settings left, all of it: buckets are never of different makes.

    The record of it stays until it is replaced: features without one would be refused after a kill.
    """
    for file in layout.features_folder(record.root, record.name).glob("*/all.pth"):
        file.unlink()


def _require_finite(x: torch.Tensor, images: BucketImages) -> None:
    """Raise RunError, naming the first image, unless all of x `[N, D]` is finite."""
    bad = (~x.isfinite().all(dim=1)).nonzero()
    if len(bad):
        path, _ = images.listed[int(bad[0])]
        raise RunError(
            f"the features of {path} (bucket {images.bucket}) are not finite, in {len(bad)} rows in all\n"
            "half precision may be too narrow for this network (--precision fp32), or its checkpoint is damaged"
        )


class _Clock:
    """Passes batches on and adds up how long each was waited for."""

    def __init__(self, batches: Iterator[torch.Tensor]) -> None:
        self.waiting_s = 0.0
        self._batches = batches

    def __iter__(self) -> "_Clock":
        return self

    def __next__(self) -> torch.Tensor:
        started = time.perf_counter()
        try:
            return next(self._batches)
        finally:
            self.waiting_s += time.perf_counter() - started
