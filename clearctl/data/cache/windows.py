"""Which pixels of a stored image crops and flips take: their random numbers, without the pixels.

A device that has the images gathers the pixels itself (`resident`).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torchvision.transforms import CenterCrop, RandomCrop, RandomHorizontalFlip, RandomVerticalFlip


class Window(NamedTuple):
    """`height` x `width` pixels of an image: (i, j) is its pixel (top + i * row_step, left + j * column_step)."""

    height: int
    width: int
    top: int = 0
    left: int = 0
    row_step: int = 1
    column_step: int = 1

    def crop(self, top: int, left: int, height: int, width: int) -> "Window":
        """The pixels of this window from its row `top` and its column `left`."""
        first_row, first_column = self.top + top * self.row_step, self.left + left * self.column_step
        return Window(height, width, first_row, first_column, self.row_step, self.column_step)

    def flip_columns(self) -> "Window":
        """The same pixels, left and right exchanged."""
        return self._replace(left=self.left + (self.width - 1) * self.column_step, column_step=-self.column_step)

    def flip_rows(self) -> "Window":
        """The same pixels, upside down."""
        return self._replace(top=self.top + (self.height - 1) * self.row_step, row_step=-self.row_step)


def picks_pixels(step: Any) -> bool:
    """Whether `step` only picks pixels, or adds black ones: then it does the same to planes of bytes as to an image.

    A subclass may do anything, so types are compared.
    """
    if type(step) is RandomCrop:
        return step.padding is None and not step.pad_if_needed
    return type(step) in _WINDOWS


def window_size(steps: Sequence[Any], height: int, width: int) -> tuple[int, int] | None:
    """(height, width) of what `steps` take of an image; None if they add pixels to it.

    `picks_pixels` is true of all of them.
    """
    for step in steps:
        if type(step) is CenterCrop and (step.size[0] > height or step.size[1] > width):
            return None
        if type(step) in (CenterCrop, RandomCrop):
            height, width = step.size
    return height, width


def draw_window(steps: Sequence[Any], height: int, width: int) -> Window:
    """What `steps` take of an image of that size, which they add no pixels to.

    They draw from torch's global generator as they do when they are given the image. Raises what they raise.
    """
    window = Window(height, width)
    for step in steps:
        window = _WINDOWS[type(step)](step, window)
    return window


def _random_crop(step: RandomCrop, window: Window) -> Window:
    return window.crop(*step.get_params(_image_of(window.height, window.width), step.size))


def _center_crop(step: CenterCrop, window: Window) -> Window:
    height, width = step.size
    # torchvision's own rounding, in functional.center_crop
    return window.crop(round((window.height - height) / 2.0), round((window.width - width) / 2.0), height, width)


def _horizontal_flip(step: RandomHorizontalFlip, window: Window) -> Window:
    return window.flip_columns() if torch.rand(1) < step.p else window


def _vertical_flip(step: RandomVerticalFlip, window: Window) -> Window:
    return window.flip_rows() if torch.rand(1) < step.p else window


_WINDOWS: dict[type, Callable[[Any, Window], Window]] = {
    RandomCrop: _random_crop,
    CenterCrop: _center_crop,
    RandomHorizontalFlip: _horizontal_flip,
    RandomVerticalFlip: _vertical_flip,
}


@lru_cache(maxsize=4096)
def _image_of(height: int, width: int) -> torch.Tensor:
    """An image of that size in one byte of memory: `get_params` reads only its size."""
    return torch.empty(1, dtype=torch.uint8).expand(3, height, width)
