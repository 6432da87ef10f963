"""Features in several parts instead of one matrix: those that stay in their files, mapped, and memories of outputs."""

import itertools
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from clearctl.data.pixels import fresh
from clearctl.regular import open_regular
from clearctl.tensor_files import place_of_only_tensor

_BLOCK_BYTES = 1 << 22


class FeatureParts:
    """x [M, D] float32 of several tensors on the CPU, one after another, in place of one matrix.

    `parts` are `[N, D]` of any kind of real number. If they are mapped from files, rows come into memory as they are
    taken. They are copies: a process that wrote into a read-only mapping would end.
    """

    def __init__(self, parts: Sequence[torch.Tensor]) -> None:
        self.parts = tuple(parts)
        self.first_rows = [0, *itertools.accumulate(len(part) for part in parts)]
        self._ends = torch.tensor(self.first_rows[1:])
        self.shape = torch.Size((self.first_rows[-1], parts[0].shape[1]))
        self.device = torch.device("cpu")

    def take(self, rows: torch.Tensor, *, pinned: bool = False) -> torch.Tensor:
        """The rows `rows` [B] int64, on the CPU, as x [B, D] of its own; in `pinned` memory for a GPU."""
        shape = (len(rows), self.shape[1])
        x = torch.empty(shape, pin_memory=True) if pinned else fresh(shape, torch.float32)
        part_of_row = torch.bucketize(rows, self._ends, right=True)
        if bool((part_of_row.diff() >= 0).all()):
            return self._take_part_by_part(rows, part_of_row, x)
        order = torch.argsort(part_of_row, stable=True)
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order))
        sorted_x = self._take_part_by_part(rows[order], part_of_row, fresh(shape, torch.float32))
        return torch.index_select(sorted_x, 0, place, out=x)

    def _take_part_by_part(self, rows: torch.Tensor, part_of_row: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Fill `x` with `rows` that are sorted by part; `part_of_row` is in any order."""
        start = 0
        for number, count in enumerate(torch.bincount(part_of_row).tolist()):
            if count:
                part, stop = self.parts[number], start + count
                own = rows[start:stop] - self.first_rows[number]
                if part.dtype is x.dtype:
                    torch.index_select(part, 0, own, out=x[start:stop])
                else:
                    x[start:stop] = part.index_select(0, own)
                start = stop
        return x

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        """x[rows] of one row, or of several."""
        return self.take(rows) if rows.ndim else self.take(rows.unsqueeze(0))[0]

    def blocks(self) -> Iterator[torch.Tensor]:
        """All rows in order, a few MB of them at a time, contiguous."""
        size = max(1, _BLOCK_BYTES // (4 * self.shape[1] or 1))
        for part in self.parts:
            for block in torch.split(part, size):
                yield block.to(torch.float32).contiguous()


FeatureSource = torch.Tensor | FeatureParts


def blocks_of(x: FeatureSource) -> Iterator[torch.Tensor]:
    """All rows of `x` in order, on the CPU and contiguous: at once if they are in memory anyway."""
    if isinstance(x, FeatureParts):
        yield from x.blocks()
    else:
        yield x.cpu().contiguous()


def map_read_only(file: Path, x: torch.Tensor) -> torch.Tensor:
    """`x`, which torch.load has mapped from `file`, mapped so that it does not count as this process's own memory.

    torch's mapping can be written to, for which a limit on memory (RLIMIT_DATA, vm.overcommit_memory=2) sets aside all
    of it. Where the file's format leaves open which bytes those of `x` are, it is `x` itself. Raises OSError.
    """
    start = _start_of(file, x)
    if start is None:
        return x
    numbers = np.memmap(file, np.uint8, "r", start, x.untyped_storage().nbytes())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        mapped = torch.from_numpy(numbers).view(x.dtype)
    return mapped.as_strided(x.shape, x.stride(), x.storage_offset())


def copy_stored(file: Path, x: torch.Tensor, matrix: torch.Tensor) -> None:
    """Write into `matrix` [N, D] float32 the `x` that torch.load has mapped from `file`.

    It is read from the file if it has the same form there: pages of a mapping would count as this process's
    memory beside the matrix, until the last of them is copied. Raises OSError.
    """
    start = _start_of(file, x) if x.dtype is matrix.dtype and x.is_contiguous() and not x.storage_offset() else None
    if start is not None and x.untyped_storage().nbytes() == matrix.nbytes:
        with open_regular(file) as stream:
            stream.seek(start)
            if stream.readinto(memoryview(matrix.numpy()).cast("B")) == matrix.nbytes:  # type: ignore[arg-type]
                return
    matrix.copy_(x)


def _start_of(file: Path, x: torch.Tensor) -> int | None:
    """The offset in `file` at which the storage of `x` begins; None if that cannot be known."""
    place = place_of_only_tensor(file)
    return place[0] if place is not None and place[1] == x.untyped_storage().nbytes() else None
