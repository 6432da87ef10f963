"""The transforms that a config may name: torchvision.transforms."""

import inspect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from clearctl.config.registry import Factory, Registry
from clearctl.data.pixels import ToFloat


def _torchvision() -> dict[str, Factory]:
    from torchvision import transforms

    found = {name: value for name, value in vars(transforms).items() if inspect.isclass(value)}
    return {name: cls for name, cls in found.items() if name not in ("Compose", "InterpolationMode")}


_SEVERAL = "it makes several images of one, but a sample is one image"
# A user-defined transform may be any callable.
TRANSFORMS = Registry(
    "transform",
    _torchvision,
    refused={
        "Lambda": "it takes a function, which a config cannot contain; use your own class: type='module:Class'",
        "LinearTransformation": "it takes tensors, which a config cannot contain",
        "ConvertImageDtype": "it takes a torch.dtype, which a config cannot contain; ToTensor gives float32",
        "AutoAugmentPolicy": "it is not a transform: write dict(type='AutoAugment', policy='cifar10')",
        "FiveCrop": _SEVERAL,
        "TenCrop": _SEVERAL,
    },
)


def compose(transforms: Sequence[Any]) -> Any:
    """One callable that applies `transforms` in turn to a PIL image."""
    from torchvision.transforms import Compose

    return Compose(transforms)


@dataclass(frozen=True)
class TransformStages:
    """Transforms cut into three: together exactly what they are in one piece.

    `leading` give the same RGB image at every use, so that what they give can be stored; `per_sample` are drawn again
    at every use; `finish` is for a batch, on the device: what ToTensor, or ToTensor and Normalize, at the end do (a
    ToFloat), else nothing (`unchanged`). Where `refusal` says why nothing can be stored, `leading` is empty.
    """

    leading: tuple[Any, ...]
    per_sample: tuple[Any, ...]
    finish: Callable[[torch.Tensor], torch.Tensor]
    refusal: str | None = None


def split_steps(steps: Sequence[Any]) -> TransformStages:
    """Cut `steps`, which begin with an RGB image, into what can be stored, what is random and what a batch can get."""
    from torchvision.transforms import PILToTensor, ToTensor

    before, finish = _before_floats(steps) or (steps, unchanged)
    on_images = itertools.takewhile(lambda step: type(step) not in (ToTensor, PILToTensor), before)
    refusal = next((text for step in on_images if (text := _more_than_pixels(step))), None)
    count = 0
    while not refusal and count < len(before) and _gives_one_rgb_image(before[count]):
        count += 1
    return TransformStages(tuple(before[:count]), tuple(before[count:]), finish, refusal)


def _gives_one_rgb_image(step: Any) -> bool:
    """Whether `step` gives the same RGB image at every use. A subclass may do anything, so types are compared."""
    from torchvision.transforms import CenterCrop, Grayscale, Pad, Resize

    if type(step) is Grayscale:
        return bool(step.num_output_channels == 3)
    return type(step) in (CenterCrop, Pad, Resize)


def _more_than_pixels(step: Any) -> str | None:
    """The reason why `step` may look at more of an image than its pixels (its EXIF data, say), which are not stored."""
    inner = getattr(step, "transforms", None)
    if type(step).__module__.startswith("torchvision.transforms.") and type(step).__name__ != "Lambda":
        return next((text for each in inner or () if (text := _more_than_pixels(each))), None)
    return f"{type(step).__name__} may use more than their pixels"


def _before_floats(steps: Sequence[Any]) -> tuple[Sequence[Any], ToFloat] | None:
    """(the steps before the ToTensor, or ToTensor and Normalize, at the end; those as one); None if there are none."""
    from torchvision.transforms import Normalize, ToTensor

    normalize = steps[-1] if steps and type(steps[-1]) is Normalize else None
    before = steps[:-1] if normalize is not None else steps
    if not before or type(before[-1]) is not ToTensor:
        return None
    return before[:-1], ToFloat(normalize)


def unchanged(batch: torch.Tensor) -> torch.Tensor:
    """`batch` as it is."""
    return batch
