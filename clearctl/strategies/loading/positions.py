"""Iterators over batches with a position that can be saved, so that another process can continue from there.

The orders are drawn as torch's samplers draw them, at the same moments. A position is plain: numbers, truth values,
None and tensors, in lists and dicts. It is taken, and gone to, between two batches, and its tensors are never written.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch

from clearctl.data.pixels import without_waiting
from clearctl.strategies.loading.rows import Columns, joined
from clearctl.strategies.strategy import Loader, MultiDatasetLoader, TensorBatch

LoaderPosition = dict[str, Any]


@runtime_checkable
class PositionedIterator(Protocol):
    """An iterator over batches that says where it stands."""

    def __iter__(self) -> Iterator[TensorBatch]: ...
    def __next__(self) -> TensorBatch: ...

    def position(self) -> LoaderPosition:
        """Where it stands."""

    def seek(self, position: LoaderPosition) -> None:
        """Let the next batch be the one that would have followed where `position` was taken."""


class Pass:
    """`columns`, each `[N, ...]`, in batches, once through in the order of torch's RandomSampler or SequentialSampler.

    Its position: the drawn `order [N] int64` on the CPU (None before the first batch, or without `shuffle`), and how
    many batches are `taken`, of `count`.
    """

    def __init__(self, columns: Columns, batch_size: int, *, shuffle: bool, drop_last: bool) -> None:
        if batch_size < 1:
            raise ValueError(f"a batch of {batch_size} samples")
        self.columns = columns
        self.batch_size = batch_size
        self.shuffle = shuffle
        size = len(columns[0])
        self.count = size // batch_size if drop_last else -(-size // batch_size)
        self.restart()

    def restart(self) -> None:
        """Go back to before the first batch; another order will be drawn."""
        self.taken = 0
        self.order: torch.Tensor | None = None
        self._batches: list[tuple[torch.Tensor, ...]] | None = None

    def take(self) -> Columns | None:
        """The next batch, views of what already exists; None when all are through."""
        if self.taken == self.count:
            return None
        if self._batches is None:
            if self.shuffle and self.order is None:
                generator = torch.Generator()
                generator.manual_seed(int(torch.empty((), dtype=torch.int64).random_().item()))
                self.order = torch.randperm(len(self.columns[0]), generator=generator)
            self._batches = self._cut()
        self.taken += 1
        return list(self._batches[self.taken - 1])

    def _cut(self) -> list[tuple[torch.Tensor, ...]]:
        columns = self.columns
        if self.order is not None:
            # Row numbers of images are on the CPU, and their labels on a GPU.
            orders = {device: without_waiting(self.order, device) for device in {column.device for column in columns}}
            columns = [column[orders[column.device]] for column in columns]
        return list(zip(*(torch.split(column, self.batch_size) for column in columns), strict=True))

    def position(self) -> LoaderPosition:
        """Where it stands."""
        return {"order": self.order, "taken": self.taken}

    def seek(self, position: LoaderPosition) -> None:
        """Continue from a position, over the same samples."""
        self.restart()
        self.order = None if position["order"] is None else position["order"].cpu()
        self.taken = position["taken"]


class SideBySide:
    """A batch of each of several datasets side by side, until the one that ends the epoch is through.

    The others start again or stay away from then on, as Avalanche's MultiDatasetSampler has it. `parts` are the
    columns of the datasets of `loader`, one of Avalanche's, which says how they are cut and which one ends.
    """

    def __init__(self, parts: Sequence[Columns], loader: MultiDatasetLoader) -> None:
        given = loader.loader_kwargs
        shuffle, drop_last = bool(given.get("shuffle")), bool(given.get("drop_last"))
        self.passes = [
            Pass(columns, size, shuffle=shuffle, drop_last=drop_last)
            for columns, size in zip(parts, loader.batch_sizes, strict=True)
        ]
        self.start_again = bool(loader.oversample_small_datasets)
        self.last = None if loader.never_ending else self.passes[loader.termination_dataset]
        others = [one for one in self.passes if one is not self.last]
        self.turns = others if self.last is None else [self.last, *others]

    def __iter__(self) -> "SideBySide":
        return self

    def __next__(self) -> Columns:
        if self.passes == [self.last]:
            batch = self.passes[0].take()
            if batch is None:
                raise StopIteration
            return batch
        taken: dict[Pass, Columns] = {}
        for one in self.turns:
            batch = one.take()
            if batch is None and one is self.last:
                raise StopIteration  # and again, whenever it is asked
            if batch is None and self.start_again:
                one.restart()
                batch = one.take()
            if batch is not None:
                taken[one] = batch
        there = [taken[one] for one in self.passes if one in taken]
        return there[0] if len(there) == 1 else [joined(parts) for parts in zip(*there, strict=True)]

    def position(self) -> LoaderPosition:
        """Where it stands: where the `passes` of the datasets do."""
        return {"passes": [one.position() for one in self.passes]}

    def seek(self, position: LoaderPosition) -> None:
        """Continue from a position, over the same samples."""
        for one, found in zip(self.passes, position["passes"], strict=True):
            one.seek(found)


class BatchIterator:
    """What `make` makes of the columns of each batch: one time through a loader, in this process."""

    def __init__(self, columns: SideBySide, make: Callable[[Columns], TensorBatch]) -> None:
        self.columns = columns
        self.make = make
        self.begun = False

    def __iter__(self) -> "BatchIterator":
        return self

    def __next__(self) -> TensorBatch:
        return self.make(self.next_columns())

    def next_columns(self) -> Columns:
        """The columns of the next batch, of which nothing is made."""
        if not self.begun:
            torch.empty((), dtype=torch.int64).random_()  # a DataLoader draws its workers' seed, even without any
            self.begun = True
        return next(self.columns)

    def position(self) -> LoaderPosition:
        """Where it stands: whether it has `started`, and the position of its columns."""
        return {"begun": self.begun, **self.columns.position()}

    def seek(self, position: LoaderPosition) -> None:
        """Let the next batch be the one that would have followed where `position` was taken."""
        self.columns.seek(position)
        self.begun = position["begun"]


class Endless:
    """The batches of `loader`, pass after pass, as Avalanche's `cycle` gives those of torch's DataLoader.

    What is left of a pass through another loader may come first: `earlier` is that loader, whose iterator is sent to
    `earlier_position`. The iterators of both have positions, and each pass gives a batch at least.
    """

    def __init__(
        self, loader: Loader, earlier: Loader | None = None, earlier_position: LoaderPosition | None = None
    ) -> None:
        self.loader = loader
        self.earlier = earlier
        self.in_earlier = earlier is not None
        self.current = self._begun()
        if earlier_position is not None:
            self.current.seek(earlier_position)

    def __iter__(self) -> "Endless":
        return self

    def __next__(self) -> TensorBatch:
        batch: TensorBatch | None = next(self.current, None)
        if batch is None:
            self.in_earlier = False
            self.current = self._begun()
            batch = next(self.current)
        return batch

    def position(self) -> LoaderPosition:
        """Where it stands: in which `pass`, and whether that is the one through the `earlier` loader."""
        return {"in_earlier": self.in_earlier, "pass": self.current.position()}

    def seek(self, position: LoaderPosition) -> None:
        """Let the next batch be the one that would have followed where `position` was taken."""
        self.in_earlier = position["in_earlier"]
        self.current = self._begun()
        self.current.seek(position["pass"])

    def _begun(self) -> PositionedIterator:
        """A new pass."""
        loader = self.earlier if self.in_earlier and self.earlier is not None else self.loader
        found = iter(loader)
        assert isinstance(found, PositionedIterator), f"a pass through a {type(loader).__name__} has no position"
        return found
