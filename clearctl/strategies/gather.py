"""Batches gathered at once, where Avalanche fetches sample by sample: rows of resident features, stored images.

The datasets are resolved once to row numbers of one source (`rows`). The permutations are drawn as torch's sampler
draws them, at the same moments, and so are the random numbers of the transforms, so that every batch, and with it every
weight, is bit-identical to what Avalanche's own loaders give.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.benchmarks.utils.data_loader import MultiDatasetDataLoader, SingleDatasetDataLoader
from avalanche.training.plugins import AGEMPlugin, SupervisedPlugin
from torch.utils.data import DataLoader, default_collate
from torch.utils.data._utils.collate import default_collate_fn_map

from clearctl.data.cache.transform import CachedTransform
from clearctl.data.pixels import fresh
from clearctl.strategies.rows import Columns, Rows, joined, resolve

ALIGNMENT_BYTES = 64  # of torch's allocations: a batch that starts elsewhere may be summed up in another order


class GatheringLoader:
    """The batches of one of Avalanche's loaders, gathered from the source of its `samples`.

    Images come as bytes to `device`, from worker processes where the loader has any, and are made floats there.
    """

    def __init__(self, loader: Any, samples: Sequence[Rows], device: torch.device) -> None:
        self.loader = loader
        self.samples = list(samples)
        self.source = samples[0].source
        self.device = device
        self.shuffle = bool(loader.loader_kwargs.get("shuffle"))
        self.drop_last = bool(loader.loader_kwargs.get("drop_last"))

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[list[torch.Tensor]]:
        workers = self.loader.loader_kwargs.get("num_workers") or 0
        if workers and isinstance(self.source, CachedTransform):
            for pixels, *others in self._from_workers(self.source, workers):
                yield [self._finish(pixels), *others]
            return
        torch.empty((), dtype=torch.int64).random_()  # a DataLoader draws the seed of its workers, even without any
        if isinstance(self.source, CachedTransform):
            for rows, *others in self._columns():
                yield [self._finish(self.source.pixels(rows.tolist())), *others]
        elif len(self.samples) == 1 and not self.shuffle and not self.loader.never_ending:
            yield from _in_order(self.source, self.samples[0].rows, self._columns())
        else:
            for rows, *others in self._columns():
                yield [_take(self.source, rows), *others]

    def _finish(self, pixels: torch.Tensor) -> torch.Tensor:
        assert isinstance(self.source, CachedTransform)
        return self.source.finish(pixels.to(self.device, non_blocking=True))

    def _from_workers(self, transform: CachedTransform, workers: int) -> Iterator[list[torch.Tensor]]:
        loader: Any = DataLoader(
            _Pixels(transform),  # type: ignore[arg-type]
            batch_sampler=self._columns(),
            num_workers=workers,
            collate_fn=_first,
            pin_memory=self.device.type == "cuda",
        )
        return iter(loader)

    def _columns(self) -> Iterator[Columns]:
        """[rows, y, *extras] of each batch, the random numbers drawn when the batch is asked for."""
        if len(self.samples) > 1 or self.loader.never_ending:
            return self._side_by_side()
        return self._once(0) if self._has_batches(0) else iter(())

    def _has_batches(self, number: int) -> bool:
        return len(self.samples[number]) >= (self.loader.batch_sizes[number] if self.drop_last else 1)

    def _once(self, number: int) -> Iterator[Columns]:
        """Batches of one dataset, once through, in the order of torch's RandomSampler or SequentialSampler."""
        samples, size = self.samples[number], self.loader.batch_sizes[number]
        columns = samples.columns
        if self.shuffle:
            generator = torch.Generator()
            generator.manual_seed(int(torch.empty((), dtype=torch.int64).random_().item()))
            order = torch.randperm(len(samples), generator=generator).to(samples.rows.device)
            columns = [column[order] for column in columns]
        for batch in zip(*(torch.split(column, size) for column in columns), strict=True):
            if self.drop_last and len(batch[0]) < size:
                return
            yield list(batch)

    def _side_by_side(self) -> Iterator[Columns]:
        """A batch of each dataset side by side, until the one that ends the epoch is through.

        The others start again or stay away from then on, as Avalanche's MultiDatasetSampler has it.
        """
        loader, count = self.loader, len(self.samples)
        last = -1 if loader.never_ending else loader.termination_dataset
        turns = [last, *(n for n in range(count) if n != last)] if last >= 0 else list(range(count))
        passes: list[Iterator[Columns] | None] = [
            self._once(number) if self._has_batches(number) else None for number in range(count)
        ]
        while last < 0 or passes[last] is not None:
            taken: list[Columns | None] = [None] * count
            for number in turns:
                current = passes[number]
                if current is None:
                    continue
                batch = next(current, None)
                if batch is None and number == last:
                    return
                if batch is None and loader.oversample_small_datasets:
                    passes[number] = again = self._once(number)
                    batch = next(again, None)
                if batch is None:
                    passes[number] = None
                taken[number] = batch
            there = [batch for batch in taken if batch is not None]
            yield [joined(parts) for parts in zip(*there, strict=True)]


def _take(x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """x[rows], in memory that nobody else holds: on a CPU that of an earlier batch, whose pages are there already."""
    if x.device.type != "cpu":
        return x.index_select(0, rows)
    return torch.index_select(x, 0, rows, out=fresh((len(rows), *x.shape[1:]), x.dtype))


def _in_order(x: torch.Tensor, rows: torch.Tensor, batches: Iterator[Columns]) -> Iterator[list[torch.Tensor]]:
    """`batches` of the samples `rows` in their own order; rows that lie one after another as views of the matrix.

    A network that writes into its input (an in-place activation at the front) would write into the matrix: it shows
    on the first batch, which is a copy, and then all are copies.
    """
    row_bytes = x.stride(0) * x.element_size()
    first = int(rows[0])
    views = bool((rows.diff() == 1).all())
    start = 0
    for wanted, *others in batches:
        end = start + len(wanted)
        aligned = (first + start) * row_bytes % ALIGNMENT_BYTES == 0
        own = start == 0 or not views or not aligned
        batch = _take(x, wanted) if own else x[first + start : first + end]
        version = batch._version
        yield [batch, *(column.clone() for column in others)]
        if batch._version != version:
            assert own, "a batch of the features' own matrix was written into"
            views = False
        start = end


class _Pixels:
    """What a worker process is asked for: the bytes of a batch, beside what else is known of it."""

    def __init__(self, transform: CachedTransform) -> None:
        self.transform = transform

    def __getitems__(self, columns: Columns) -> list[list[torch.Tensor]]:
        rows, *others = columns
        return [[self.transform.pixels(rows.tolist()), *others]]


def _first(batches: list[list[torch.Tensor]]) -> list[torch.Tensor]:
    return batches[0]


def gathering(loader: Any, device: torch.device) -> Any:
    """`loader` of Avalanche with its batches gathered, where its samples are rows; else `loader` itself."""
    if not isinstance(loader, MultiDatasetDataLoader) or loader.distributed_sampling:
        return loader
    known = {"num_workers", "shuffle", "pin_memory", "drop_last", "persistent_workers", "collate_fn", "batch_size"}
    arguments = {name for name, value in loader.loader_kwargs.items() if value is not None}
    samples = [resolve(dataset) for dataset in loader.datasets]
    found = [part for part in samples if part is not None]
    alike = len({id(part.source) for part in found}) == 1
    if len(found) < len(samples) or not alike or not arguments <= known:
        return loader
    return GatheringLoader(loader, found, device)


def in_order(dataset: Any, batch_size: int, workers: int, device: torch.device) -> Any:
    """The batches of a dataset in its own order, gathered where its samples are rows."""
    return gathering(SingleDatasetDataLoader(dataset, batch_size=batch_size, num_workers=workers), device)


class GatherBatches(SupervisedPlugin):
    """Makes the loaders that a strategy learns and is tested with gather, after whichever plugin has set them.

    `say` is told, once, of a loader that stays as it is.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self.say: Callable[[str], None] | None = say
        _install()

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """A-GEM draws from an endless loader of its own."""
        for plugin in strategy.plugins:
            if isinstance(plugin, AGEMPlugin) and isinstance(plugin.buffer_dataloader, MultiDatasetDataLoader):
                plugin.buffer_dataloader = self._gathering(plugin.buffer_dataloader, strategy)
                plugin.buffer_dliter = iter(plugin.buffer_dataloader)

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """The loader that is learned from."""
        strategy.dataloader = self._gathering(strategy.dataloader, strategy)

    def before_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        """The loader that is tested with."""
        strategy.dataloader = self._gathering(strategy.dataloader, strategy)

    def _gathering(self, loader: Any, strategy: Any) -> Any:
        if isinstance(loader, GatheringLoader):
            return loader
        found = gathering(loader, strategy.device)
        if found is loader and self.say is not None:
            name, kind = type(strategy).__name__, type(loader).__name__
            self.say(f"{name} loads sample by sample: the {kind} it made has samples of more than one source")
            self.say = None
        return found


def collated(dataset: Any, indices: Sequence[int]) -> Any:
    """The batch of a dataset's samples at `indices`: gathered where they are rows, else collated one by one."""
    found = _resolved(dataset)
    if found is None:
        return default_collate([dataset[index] for index in indices])
    positions = torch.as_tensor(indices, dtype=torch.int64, device=found.rows.device)
    rows, *others = (column[positions] for column in found.columns)
    source = found.source
    return [_take(source, rows) if isinstance(source, torch.Tensor) else source.batch(rows.tolist()), *others]


def _resolved(dataset: Any) -> Rows | None:
    """What `resolve` finds, kept with the dataset for as long as it is over the same data."""
    over, found = dataset.__dict__.get("_clearctl_rows", (None, None))
    if over is not dataset._flat_data:
        found = resolve(dataset)
        dataset.__dict__["_clearctl_rows"] = (dataset._flat_data, found)
    return found


class _Gathered:
    """A batch that has been put together already, on its way through a DataLoader's collate function."""

    def __init__(self, batch: list[torch.Tensor]) -> None:
        self.batch = batch


def _getitems(self: Any, indices: Sequence[int]) -> list[Any]:
    if self.collate_fn is not default_collate or _resolved(self) is None:
        return [self[index] for index in indices]
    return [_Gathered(collated(self, indices))]


def _install() -> None:
    """Let every torch DataLoader over an Avalanche dataset gather whole batches.

    Plugins make such loaders themselves (EWC's importances, GEM's memory, DER's replay). torch asks a dataset for
    `__getitems__`, which Avalanche's lacks; the batches are the same. A loader with a collate function of its own,
    which no strategy or plugin of Avalanche makes, would be given a batch in place of its samples.
    """
    AvalancheDataset.__getitems__ = _getitems
    default_collate_fn_map[_Gathered] = lambda batch, *, collate_fn_map=None: batch[0].batch
