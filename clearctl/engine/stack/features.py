"""The features on which all runs of a stack are trained and tested, on the device."""

from collections.abc import Sequence

import torch
from torch.nn import functional

from clearctl.data.pixels import without_waiting
from clearctl.data.samples import FeatureSamples
from clearctl.data.stream import Stream


class Features:
    """`x [M, D]` and `y [M]` of a stream on `device`; for cosine heads the rows of x are normalized, once."""

    def __init__(self, stream: Stream, device: torch.device, *, cosine: bool) -> None:
        part = stream.buckets[0].train
        assert isinstance(part, FeatureSamples)
        assert isinstance(part.x, torch.Tensor), "features that stay in their files are not stacked"
        x = part.x.to(device)
        self.x = functional.normalize(x, dim=-1) if cosine else x
        self.y = part.y.to(device)
        self._memory = torch.empty(0)

    def batches(self, orders: Sequence[Sequence[torch.Tensor]]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """(rows, y) of each batch, both `[G, B]` and contiguous; `orders[g]` are the row numbers `[B]` of batches g.

        All rows are copied to the device in one piece, and all labels gathered in one. There is no synchronization.
        """
        parts = [torch.stack(rows) for rows in zip(*orders, strict=True)]
        sizes = [part.numel() for part in parts]
        rows = without_waiting(torch.cat([part.flatten() for part in parts]), self.y.device)
        found = zip(torch.split(rows, sizes), torch.split(self.y[rows], sizes), parts, strict=True)
        return [(some.view(part.shape), y.view(part.shape)) for some, y, part in found]

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """The x `[G, B, D]` of the `rows` `[G, B]`. On a CPU each call uses the memory of the call before.

        On a GPU the allocator reuses memory, and a CUDA graph has its own.
        """
        count, width = rows.numel(), self.x.shape[1]
        if self.x.is_cuda:
            return self.x.index_select(0, rows.flatten()).view(*rows.shape, width)
        if count * width > self._memory.numel():
            self._memory = torch.empty(count * width)
        x = self._memory[: count * width].view(count, width)
        torch.index_select(self.x, 0, rows.flatten(), out=x)
        return x.view(*rows.shape, width)
