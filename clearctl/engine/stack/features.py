"""The features that all runs of a stack learn from and are tested on, on the device."""

import torch
from torch.nn import functional

from clearctl.data.samples import FeatureSamples
from clearctl.data.stream import Stream


class Features:
    """`x [M, D]` and `y [M]` of a stream on `device`; for cosine heads x is brought to length 1, once for all."""

    def __init__(self, stream: Stream, device: torch.device, *, cosine: bool) -> None:
        part = stream.buckets[0].train
        assert isinstance(part, FeatureSamples)
        x = part.x.to(device)
        self.x = functional.normalize(x, dim=-1) if cosine else x
        self.y = part.y.to(device)
        self._memory = torch.empty(0, device=device)

    def take(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(x, y) of the `rows` `[R, B]` or `[B]`; x lies where that of the batch before lay."""
        count, width = rows.numel(), self.x.shape[1]
        if count * width > self._memory.numel():
            self._memory = torch.empty(count * width, device=self.x.device)
        x = self._memory[: count * width].view(count, width)
        torch.index_select(self.x, 0, rows.flatten(), out=x)
        return x.view(*rows.shape, width), self.y[rows]
