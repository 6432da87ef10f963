"""Splits batches among processes: each computes its rows, and all get the whole result.

A batch is cut into runs of rows, one for each process, that differ by one row at most. One of fewer than two rows for
each process is not cut: every process computes all of it, since there is little to gain, and batch norms need two.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import distributed

from clearctl.distributed import world


def is_cut(size: int, processes: int) -> bool:
    """Whether a batch of `size` samples is cut."""
    return size >= 2 * processes


def own_rows(size: int) -> slice:
    """The rows of a batch of `size` samples that this process reads and computes."""
    processes = world.size()
    return _run(size, world.rank(), processes) if is_cut(size, processes) else slice(0, size)


def _run(size: int, rank: int, processes: int) -> slice:
    return slice(size * rank // processes, size * (rank + 1) // processes)


class Shard(torch.Tensor):
    """The rows `[n, ...]` that this process has read of a batch joined of batches of `sizes` samples."""

    sizes: tuple[int, ...]

    @classmethod
    def of(cls, rows: torch.Tensor, *sizes: int) -> "Shard":
        """`rows` as such a part."""
        part = rows.as_subclass(cls)
        part.sizes = sizes
        return part

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Parts that are moved, or joined, stay parts; of everything else come plain tensors."""
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **(kwargs or {}))
            plain = result.as_subclass(torch.Tensor) if isinstance(result, Shard) else result
        if func in (torch.Tensor.to, torch.Tensor.clone, torch.Tensor.detach, torch.Tensor.contiguous):
            return cls.of(plain, *args[0].sizes)
        if func is torch.cat:
            assert all(isinstance(part, Shard) for part in args[0]), "a part of a batch is joined with a whole one"
            return cls.of(plain, *(size for part in args[0] for size in part.sizes))
        return plain


@dataclass(frozen=True, eq=False)
class BatchSplit:
    """A batch shared among processes, for one of them.

    `own` are the rows of the whole batch that it computes, `[n] int64`, one `run` where the batch is not joined of
    several. Each row is computed by one process: so are those of a short batch, which all have read, beside a longer
    one; `kept` `[n]` are then the places of its own among the rows that it has read. All processes' rows, each filled
    up to `longest`, one after another, have those of the whole batch at `places` `[N] int64`.

    A batch of which nothing `is_cut` is not shared: its rows are all every process's own.
    """

    is_cut: bool
    run: slice | None
    own: torch.Tensor
    kept: torch.Tensor | None
    longest: int
    places: torch.Tensor

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        """This process's rows `[n, ...]` of a batch `x`, whole `[N, ...]` or the Shard that it has read."""
        if not isinstance(x, Shard):
            return x[self.run] if self.run is not None else x.index_select(0, self.own)
        read = x.as_subclass(torch.Tensor)
        rows = read if self.kept is None else read.index_select(0, self.kept)
        assert len(rows) == len(self.own), f"{len(read)} rows are not a part of batches of {x.sizes}"
        return rows

    def gathered(self, rows: torch.Tensor, on_backward: Callable[[], None]) -> torch.Tensor:
        """The whole batch `[N, ...]`, of this process's `rows` `[n, ...]`; gradients flow back to them.

        Of a batch that is cut they are times the number of processes, so that their mean over the processes is the
        whole batch's. `on_backward` is called when they begin to.
        """
        whole: torch.Tensor = _Gather.apply(rows, self, on_backward)
        return whole


def split_of(sizes: tuple[int, ...], device: torch.device) -> BatchSplit:
    """The split among processes of a batch that was joined of batches of `sizes` samples; its rows are on `device`."""
    return _split(sizes, device, world.rank(), world.size())


def whole_batch(rows: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """All processes' `rows` [N, ...] computed from a batch `x`, whole or its Shard: no gradients flow back."""
    sizes = x.sizes if isinstance(x, Shard) else (len(x),)
    return split_of(sizes, rows.device).gathered(rows.detach(), lambda: None)


@lru_cache(maxsize=64)
def _split(sizes: tuple[int, ...], device: torch.device, rank: int, processes: int) -> BatchSplit:
    cut = [is_cut(size, processes) for size in sizes]
    if not any(cut):
        everything = torch.arange(sum(sizes), device=device)
        return BatchSplit(False, slice(0, sum(sizes)), everything, None, sum(sizes), everything)
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    runs = [[_run(size, other, processes) for size in sizes] for other in range(processes)]
    owns = [torch.cat([_within(run, start) for run, start in zip(own, starts, strict=True)]) for own in runs]
    longest = max(map(len, owns))
    places = torch.empty(sum(sizes), dtype=torch.int64)
    for other, own in enumerate(owns):
        places[own] = torch.arange(other * longest, other * longest + len(own))
    kept, read = [], 0
    for run, size, is_part in zip(runs[rank], sizes, cut, strict=True):
        kept.append(_within(slice(0, run.stop - run.start) if is_part else run, read))
        read += run.stop - run.start if is_part else size
    return BatchSplit(
        True,
        runs[rank][0] if len(sizes) == 1 else None,
        owns[rank].to(device),
        None if all(cut) else torch.cat(kept).to(device),
        longest,
        places.to(device),
    )


def _within(run: slice, start: int) -> torch.Tensor:
    return torch.arange(start + run.start, start + run.stop)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, split: BatchSplit, on_backward: Callable[[], None]) -> torch.Tensor:
        ctx.split, ctx.on_backward = split, on_backward
        if not split.is_cut:
            return rows.clone()  # a view could not be changed in place
        filled = rows.new_zeros((split.longest, *rows.shape[1:]))
        filled[: len(rows)] = rows
        everyones = rows.new_empty((world.size() * split.longest, *rows.shape[1:]))
        distributed.all_gather_into_tensor(everyones, filled)
        return everyones.index_select(0, split.places)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        split, (gradient,) = ctx.split, gradients
        ctx.on_backward()
        return (split.rows(gradient) * world.size() if split.is_cut else gradient), None, None
