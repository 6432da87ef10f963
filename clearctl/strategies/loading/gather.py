"""Batches gathered at once, where Avalanche fetches sample by sample: rows of features, stored images.

The datasets are resolved once to row numbers of one source (`rows`). The permutations are drawn as torch's sampler
draws them, at the same moments, and so are the random numbers of the transforms, so that every batch, and with it every
weight, is bit-identical to what Avalanche's own loaders give.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, TypeGuard

import torch
from avalanche.benchmarks.utils.data_loader import MultiDatasetDataLoader, SingleDatasetDataLoader
from avalanche.training.plugins import SupervisedPlugin
from torch.utils.data import ConcatDataset, DataLoader, default_collate, get_worker_info

from clearctl.data.cache.transform import CachedTransform
from clearctl.data.feature_parts import FeatureParts
from clearctl.data.pixels import without_waiting
from clearctl.distributed.randomness import rank_random_numbers, seed_worker
from clearctl.distributed.split import Shard, own_rows
from clearctl.strategies.loading.as_workers import as_workers
from clearctl.strategies.loading.in_order import InOrder, take
from clearctl.strategies.loading.positions import BatchIterator, SideBySide
from clearctl.strategies.loading.rows import Columns, Rows, resolve
from clearctl.strategies.strategy import ClassificationDataset, Loader, MultiDatasetLoader, Strategy, TensorBatch

CPU = torch.device("cpu")


class GatheringLoader:
    """The batches of one of Avalanche's loaders, gathered from the source of its `samples`.

    Images come as bytes to `device`, from worker processes where the loader has any, and are made floats there; those
    that are resident are gathered there. Rows of features in parts are copied on the CPU, and come to `device` as
    batches.
    """

    def __init__(self, loader: MultiDatasetLoader, samples: Sequence[Rows], device: torch.device) -> None:
        self.loader = loader
        self.samples = list(samples)
        self.source = samples[0].source
        self.device = device
        self.shuffle = bool(loader.loader_kwargs.get("shuffle"))

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[TensorBatch]:
        """An iterator that has a position, unless worker processes read ahead."""
        columns = SideBySide([samples.columns for samples in self.samples], self.loader)
        if isinstance(self.source, CachedTransform):
            workers = self.loader.loader_kwargs.get("num_workers") or 0
            if workers and self.source.resident is None:
                return self._from_workers(self.source, columns, workers)
            with_labels = SideBySide(self._with_labels_there(), self.loader)
            if not workers:
                return BatchIterator(with_labels, self._pixels)
            make = partial(self._pixels, in_worker=True)
            return as_workers(with_labels, workers, make, seeded=self.source.shares_reading)
        if isinstance(self.source, FeatureParts):
            return BatchIterator(SideBySide(self._with_labels_there(), self.loader), self._from_parts)
        if len(self.samples) == 1 and not self.shuffle and not self.loader.never_ending:
            # The labels are views too, of copies: one that writes into them writes into no dataset.
            own = [column.clone() for column in self.samples[0].columns]
            return InOrder(SideBySide([own], self.loader), self.source, self.samples[0].rows)
        return BatchIterator(columns, self._taken)

    def _with_labels_there(self) -> list[Columns]:
        """The columns, all but the row numbers on the device: copied once an epoch, not at each batch."""
        parts = [samples.columns for samples in self.samples]
        return [[rows, *(without_waiting(column, self.device) for column in others)] for rows, *others in parts]

    def _taken(self, columns: Columns) -> TensorBatch:
        rows, *others = columns
        assert isinstance(self.source, torch.Tensor)
        return [take(self.source, rows), *others]

    def _from_parts(self, columns: Columns) -> TensorBatch:
        rows, *others = columns
        assert isinstance(self.source, FeatureParts)
        return [without_waiting(self.source.take(rows, pinned=self.device.type == "cuda"), self.device), *others]

    def _pixels(self, columns: Columns, *, in_worker: bool = False) -> TensorBatch:
        rows, *others = columns
        assert isinstance(self.source, CachedTransform)
        x = self._finished(_own_pixels(self.source, rows, self.device, in_worker=in_worker), len(rows))
        return [x, *(without_waiting(column, self.device) for column in others)]

    def _finished(self, pixels: torch.Tensor, size: int) -> torch.Tensor:
        """The floats of a batch of `size` images, or of this process's part of it."""
        assert isinstance(self.source, CachedTransform)
        x = self.source.finish(without_waiting(pixels, self.device))
        return Shard.of(x, size) if self.source.shares_reading else x

    def _from_workers(self, transform: CachedTransform, columns: SideBySide, workers: int) -> Iterator[TensorBatch]:
        loader: DataLoader[list[torch.Tensor]] = DataLoader(
            _TransformedRows(transform),  # type: ignore[arg-type]
            batch_sampler=columns,
            num_workers=workers,
            collate_fn=_first,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=seed_worker if transform.shares_reading else None,
        )
        for pixels, *others in loader:
            yield [self._finished(pixels, len(others[0])), *others]


def _own_pixels(
    source: CachedTransform, rows: torch.Tensor, device: torch.device = CPU, *, in_worker: bool = False
) -> torch.Tensor:
    """The bytes of the images `rows`, or of those that this process is to read.

    For a GPU as `device` they are there, or in pinned memory. `in_worker` says that random numbers are those of
    a worker process, which no other process draws (`seed_worker`).
    """
    own = rows[own_rows(len(rows))] if source.shares_reading else rows
    shared = len(own) == len(rows) or in_worker
    with nullcontext() if shared else rank_random_numbers(CPU, transforms=True):
        if device.type == "cuda" and source.resident is not None:
            return source.on_device(own.tolist())
        return source.pixels(own.tolist(), pinned=device.type == "cuda")


class _TransformedRows:
    """What a worker process is asked for: the bytes of a batch, or of its part, beside what else is known of it."""

    def __init__(self, transform: CachedTransform) -> None:
        self.transform = transform

    def __getitems__(self, columns: Columns) -> list[list[torch.Tensor]]:
        rows, *others = columns
        return [[_own_pixels(self.transform, rows, in_worker=True), *others]]


def _first(batches: list[list[torch.Tensor]]) -> list[torch.Tensor]:
    return batches[0]


def gathering(loader: Loader, device: torch.device) -> Loader:
    """`loader` of Avalanche with its batches gathered, where its samples are rows; else `loader` itself."""
    if not _is_known(loader):
        return loader
    samples = [resolve(dataset) for dataset in loader.datasets]
    found = [part for part in samples if part is not None]
    alike = len({id(part.source) for part in found}) == 1
    if len(found) < len(samples) or not alike:
        return loader
    return GatheringLoader(loader, found, device)


def _is_known(loader: Loader) -> TypeGuard[MultiDatasetLoader]:
    """Whether `loader` is one of Avalanche's, with no arguments but those whose meaning is known here."""
    if not isinstance(loader, MultiDatasetDataLoader) or loader.distributed_sampling:
        return False
    known = {"num_workers", "shuffle", "pin_memory", "drop_last", "persistent_workers", "collate_fn", "batch_size"}
    return {name for name, value in loader.loader_kwargs.items() if value is not None} <= known


class CollatingLoader:
    """The batches of one of Avalanche's loaders, collated sample by sample in this process, as torch does it.

    They are copied to `device`.
    """

    def __init__(self, loader: MultiDatasetLoader, device: torch.device) -> None:
        self.loader = loader
        self.device = device
        self.samples: ConcatDataset[Any] = ConcatDataset(loader.datasets)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> BatchIterator:
        """An iterator that has a position."""
        numbers = torch.split(torch.arange(len(self.samples)), [len(dataset) for dataset in self.loader.datasets])
        return BatchIterator(SideBySide([[part] for part in numbers], self.loader), self._collated)

    def _collated(self, columns: Columns) -> TensorBatch:
        batch: TensorBatch = self.loader.loader_kwargs["collate_fn"]([self.samples[i] for i in columns[0].tolist()])
        return [without_waiting(part, self.device) for part in batch]


def collating(loader: Loader, device: torch.device) -> Loader:
    """`loader` of Avalanche with iterators that have a position; itself where worker processes fill it, or unknown."""
    if not _is_known(loader) or loader.loader_kwargs.get("num_workers"):
        return loader
    return CollatingLoader(loader, device)


def positioned(loader: Loader, device: torch.device) -> Loader:
    """`loader` of Avalanche, without worker processes, with iterators that have a position; gathering where it can."""
    found = gathering(loader, device)
    return collating(loader, device) if found is loader else found


def in_order(dataset: ClassificationDataset, batch_size: int, workers: int, device: torch.device) -> Loader:
    """The batches of a dataset in its own order, gathered where its samples are rows."""
    return gathering(SingleDatasetDataLoader(dataset, batch_size=batch_size, num_workers=workers), device)


class GatherBatches(SupervisedPlugin):
    """Makes the loaders that a strategy learns and is tested with gather, after whichever plugin has set them.

    `say` is called once with a text about a loader that stays as it is.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self.say: Callable[[str], None] | None = say

    def before_training_epoch(self, strategy: Strategy, **kwargs: object) -> None:
        """The loader that is learned from."""
        strategy.dataloader = self._gathering(strategy.dataloader, strategy)

    def before_eval_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """The loader that is tested with."""
        strategy.dataloader = self._gathering(strategy.dataloader, strategy)

    def _gathering(self, loader: Loader, strategy: Strategy) -> Loader:
        if isinstance(loader, GatheringLoader):
            return loader
        found = gathering(loader, strategy.device)
        if found is loader and self.say is not None:
            name, kind = type(strategy).__name__, type(loader).__name__
            self.say(f"{name} loads sample by sample: the {kind} it made has samples of more than one source")
            self.say = None
        return found


def collated(dataset: ClassificationDataset, indices: Sequence[int]) -> TensorBatch:
    """The batch of a dataset's samples at `indices`: gathered where they are rows, else collated one by one."""
    found = resolved(dataset)
    if found is None:
        return default_collate([dataset[index] for index in indices])
    positions = without_waiting(torch.as_tensor(indices, dtype=torch.int64), found.rows.device)
    rows, *others = (column[positions] for column in found.columns)
    source = found.source
    if isinstance(source, torch.Tensor):
        return [take(source, rows), *others]
    if isinstance(source, FeatureParts):
        return [source.take(rows), *others]
    if get_worker_info() is not None:  # whose processes draw alike
        return [source.batch(rows.tolist()), *others]
    x = source.finish(_own_pixels(source, rows))
    return [Shard.of(x, len(rows)) if source.shares_reading else x, *others]


def resolved(dataset: ClassificationDataset) -> Rows | None:
    """What `resolve` finds, kept with the dataset for as long as it is over the same data."""
    over, found = dataset.__dict__.get("_clearctl_rows", (None, None))
    if over is not dataset._flat_data:
        found = resolve(dataset)
        dataset.__dict__["_clearctl_rows"] = (dataset._flat_data, found)
    return found
