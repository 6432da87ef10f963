"""The transforms that a config may name: torchvision.transforms."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch

from clearctl.config.registry import Factory, Registry


def _torchvision() -> dict[str, Factory]:
    from torchvision import transforms

    found = {name: value for name, value in vars(transforms).items() if inspect.isclass(value)}
    return {name: cls for name, cls in found.items() if name not in ("Compose", "InterpolationMode")}


TRANSFORMS = Registry("transform", _torchvision)


def compose(transforms: Sequence[Any]) -> Any:
    """One callable that applies `transforms` in turn to a PIL image."""
    from torchvision.transforms import Compose

    return Compose(transforms)


def split_at_pixels(steps: Sequence[Any]) -> tuple[Any, Callable[[torch.Tensor], torch.Tensor]]:
    """(what is done to each image, what is done to a batch on the device): together exactly what `steps` do.

    Where the steps end in ToTensor, or ToTensor and Normalize, an image stays `[3, H, W] uint8` until it is on the
    device, a quarter of what float32 takes; there the batch `[B, 3, H, W]` gets the same arithmetic, element by
    element. Other steps are all done to the image, and nothing to the batch.
    """
    from torchvision.transforms import Normalize, PILToTensor, ToTensor

    normalize = steps[-1] if steps and type(steps[-1]) is Normalize else None
    leading = steps[:-1] if normalize is not None else steps
    if not leading or type(leading[-1]) is not ToTensor:
        return compose(steps), lambda batch: batch

    def to_float(batch: torch.Tensor) -> torch.Tensor:
        batch = batch.to(torch.float32).div_(255)
        return batch if normalize is None else normalize(batch)

    return compose([*leading[:-1], PILToTensor()]), to_float
