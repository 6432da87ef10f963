"""The transforms that a config may name: torchvision.transforms."""

import inspect
from collections.abc import Sequence
from typing import Any

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
