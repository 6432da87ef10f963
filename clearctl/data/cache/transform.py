"""From an image's number to the network's input: stored bytes, random transforms, then floats."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import PILToTensor

from clearctl.data.cache.resident import ResidentImages
from clearctl.data.cache.store import ImageStore, to_image
from clearctl.data.cache.windows import draw_window, picks_pixels, window_size
from clearctl.data.pixels import ToFloat, fresh, without_waiting
from clearctl.data.transforms import TransformStages


class CachedTransform:
    """A whole pipeline over the images of `store`, by number; `split` is how it was cut, its leading part stored.

    Called as the pipeline itself would be, sample after sample, it draws the same random numbers in the same order,
    from torch's and Python's global generators, and on a CPU gives the same bits. Raises what the pipeline raises.

    `shares_reading` says that of a batch each process of a run is to read its own part alone. `resident` are the
    images on a GPU, where they stay there.
    """

    resident: ResidentImages | None = None

    def __init__(self, store: ImageStore, split: TransformStages, shares_reading: bool = False) -> None:
        self.store = store
        self.split = split
        self.shares_reading = shares_reading
        self.finish = split.finish
        count = 0
        while count < len(split.per_sample) and picks_pixels(split.per_sample[count]):
            count += 1
        self._on_planes, self._on_image = split.per_sample[:count], split.per_sample[count:]

    def __call__(self, image: Image.Image | int) -> torch.Tensor:
        """What the pipeline makes of an RGB image, or of the one with that number: `[3, h, w] float32`."""
        if isinstance(image, int):
            return self.batch([image])[0]
        for step in self.store.leading:
            image = step(image)
        return self.finish(self._through_image(image, self.split.per_sample)[None])[0]

    def batch(self, numbers: Sequence[int]) -> torch.Tensor:
        """What the pipeline makes of the images `numbers`, `[B, 3, h, w] float32`."""
        return self.finish(self.pixels(numbers))

    def pixels(self, numbers: Sequence[int], *, pinned: bool = False) -> torch.Tensor:
        """The images `numbers` as they are before `finish`: `[B, 3, h, w] uint8`, contiguous, not shared.

        A GPU copies them from `pinned` memory while this process continues (`without_waiting`). Raises RuntimeError, as
        `torch.stack` does, for images that come out in different sizes.
        """
        first = self.sample(numbers[0])
        shape = (len(numbers), *first.shape)
        batch = torch.empty(shape, dtype=first.dtype, pin_memory=True) if pinned else fresh(shape, first.dtype)
        batch[0] = first
        for place, number in enumerate(numbers[1:], 1):
            sample = self.sample(number)
            if sample.shape != first.shape:
                torch.stack([first, sample])
            batch[place] = sample
        return batch

    def on_device(self, numbers: Sequence[int]) -> torch.Tensor:
        """What `pixels` gives, of `resident` images, and on their device. Raises what `pixels` raises."""
        resident = self.resident
        assert resident is not None
        if not resident.has_room_for(numbers):
            return without_waiting(self.pixels(numbers, pinned=True), resident.pixels.device)
        windows = [draw_window(self._on_planes, *size) for size in resident.sizes[list(numbers)].tolist()]
        return resident.batch(numbers, windows)

    def why_not_resident(self) -> str | None:
        """Why a GPU cannot gather batches of the images itself; None if it can."""
        if self.split.refusal or self.store.missing():
            return "not all of them are stored"
        if self._on_image:
            return f"{type(self._on_image[0]).__name__} computes new pixels"
        stored = self.store.sizes()
        sizes = {window_size(self._on_planes, *size) for size in np.unique(stored[stored.any(1)], axis=0).tolist()}
        if None in sizes:
            return "some are smaller than the crop"
        return None if len(sizes) == 1 else "they have different sizes"

    def sample(self, number: int) -> torch.Tensor:
        """Image `number` before `finish`: may be a view of the store, read-only."""
        if self.split.refusal or not self.store.has(number):
            return self._through_image(self.store.decode(number), self.split.per_sample)
        planes = self.store.pixels(number)
        for step in self._on_planes:
            planes = step(planes)
        return self._through_image(to_image(planes), self._on_image) if self._on_image else planes

    def __getstate__(self) -> dict[str, Any]:
        """A worker process, and a copy, read from the store."""
        return {name: value for name, value in self.__dict__.items() if name != "resident"}

    def _through_image(self, sample: Any, steps: Sequence[Any]) -> torch.Tensor:
        for step in steps:
            sample = step(sample)
        return PILToTensor()(sample) if isinstance(self.finish, ToFloat) else sample
