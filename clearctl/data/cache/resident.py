"""Decoded images in the memory of a GPU, which gathers batches of their pixels itself."""

from collections.abc import Sequence

import numpy as np
import torch

from clearctl.data.cache.store import ImageStore
from clearctl.data.cache.windows import Window
from clearctl.data.pixels import without_waiting
from clearctl.errors import DatasetError

_PIXELS_AT_ONCE = 1 << 24  # whose places, int64, take 128 MB


class ResidentImages:
    """The images that `store` holds, each copied to `device` when it is first used.

    Memory for all of them is taken at once; raises torch.OutOfMemoryError if there is too little.
    """

    def __init__(self, store: ImageStore, device: torch.device) -> None:
        self.store = store
        self.sizes = store.sizes()
        self.pixels = torch.empty(store.num_bytes, dtype=torch.uint8, device=device)
        self._starts = np.full(len(store), -1)  # of each image in `pixels`, once it is there
        self._used = 0
        self._axes: dict[tuple[int, int], list[torch.Tensor]] = {}

    def has_room_for(self, numbers: Sequence[int]) -> bool:
        """Whether all images `numbers` were in the store when this was made."""
        return bool(self.sizes[list(numbers), 0].all())

    def batch(self, numbers: Sequence[int], windows: Sequence[Window]) -> torch.Tensor:
        """`[B, 3, height, width] uint8` on the device: the pixels of each image that its window says.

        The windows have one size. Raises DatasetError for an image that is damaged in the store, and whose file has
        changed since.
        """
        self._copy(numbers)
        top, left, row_step, column_step = np.array([window[2:] for window in windows]).T
        height, width = self.sizes[list(numbers)].T
        start = self._starts[list(numbers)] + top * width + left
        places = torch.from_numpy(np.stack([start, height * width, row_step * width, column_step]))
        return self._take(without_waiting(places, self.pixels.device), *windows[0][:2])

    def _copy(self, numbers: Sequence[int]) -> None:
        """Copy those images to the device that it does not have yet, in one piece."""
        missing = [number for number in dict.fromkeys(numbers) if self._starts[number] < 0]
        if not missing:
            return
        counts = 3 * self.sizes[missing].prod(1)
        on_cpu = torch.empty(int(counts.sum()), dtype=torch.uint8, pin_memory=self.pixels.device.type == "cuda")
        for number, part in zip(missing, torch.split(on_cpu, counts.tolist()), strict=True):
            planes = self.store.pixels(number)
            if planes.shape[1:] != tuple(self.sizes[number]):
                raise DatasetError(
                    f"{self.store.files.place(number)} changed while the run used it\n"
                    "run this again when nothing else changes the dataset"
                )
            part.view(planes.shape).copy_(planes)
        self.pixels[self._used : self._used + len(on_cpu)].copy_(on_cpu, non_blocking=True)
        self._starts[missing] = self._used + np.cumsum(counts) - counts
        self._used += len(on_cpu)

    def _take(self, places: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """`places [4, B]`: where the first pixel of an image is, and how far the next plane, row and column."""
        device = self.pixels.device
        if (height, width) not in self._axes:  # the numbers of planes, rows and columns
            planes, rows, columns = (torch.arange(count, device=device) for count in (3, height, width))
            self._axes[height, width] = [planes.view(-1, 1, 1), rows.view(-1, 1), columns]
        batch = torch.empty((places.shape[1], 3, height, width), dtype=torch.uint8, device=device)
        at_once = max(1, _PIXELS_AT_ONCE // (3 * height * width))
        for part, given in zip(torch.split(batch, at_once), torch.split(places, at_once, 1), strict=True):
            start, *steps = (each.view(-1, 1, 1, 1) for each in given)
            for step, axis in zip(steps, self._axes[height, width], strict=True):
                start = torch.addcmul(start, step, axis)
            torch.take(self.pixels, start, out=part)
        return batch
