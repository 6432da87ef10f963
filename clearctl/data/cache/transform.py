"""From an image's number to the network's input: stored bytes, random transforms, then floats."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torchvision.transforms import CenterCrop, PILToTensor, RandomCrop, RandomHorizontalFlip, RandomVerticalFlip

from clearctl.data.cache.store import ImageStore, to_image
from clearctl.data.pixels import ToFloat, fresh
from clearctl.data.transforms import TransformStages


class CachedTransform:
    """A whole pipeline over the images of `store`, by number; `split` is how it was cut, its leading part stored.

    Called as the pipeline itself would be, sample after sample, it draws the same random numbers in the same order,
    from torch's and Python's global generators, and on a CPU gives the same bits. Raises what the pipeline raises.

    `shares_reading` says that of a batch each process of a run is to read its own part alone.
    """

    def __init__(self, store: ImageStore, split: TransformStages, shares_reading: bool = False) -> None:
        self.store = store
        self.split = split
        self.shares_reading = shares_reading
        self.finish = split.finish
        count = 0
        while count < len(split.per_sample) and _same_on_planes(split.per_sample[count]):
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

    def sample(self, number: int) -> torch.Tensor:
        """Image `number` before `finish`: may be a view of the store, read-only."""
        if self.split.refusal or not self.store.has(number):
            return self._through_image(self.store.decode(number), self.split.per_sample)
        planes = self.store.pixels(number)
        for step in self._on_planes:
            planes = step(planes)
        return self._through_image(to_image(planes), self._on_image) if self._on_image else planes

    def _through_image(self, sample: Any, steps: Sequence[Any]) -> torch.Tensor:
        for step in steps:
            sample = step(sample)
        return PILToTensor()(sample) if isinstance(self.finish, ToFloat) else sample


def _same_on_planes(step: Any) -> bool:
    """Whether `step` draws and does the same to planes of bytes as to an image: it only picks pixels, or adds black."""
    if type(step) is RandomCrop:
        return step.padding is None and not step.pad_if_needed
    return type(step) in (CenterCrop, RandomHorizontalFlip, RandomVerticalFlip)
