"""The backbones, necks, heads, losses, batch augmentations and torch modules that a config may name."""

import inspect

from clearctl.config.registry import Factory, Registry

_MULTI_LABEL = "it predicts several labels an image, and CLEAR has one"


def _mmcls(package: str) -> dict[str, Factory]:
    """What mmcls registers from one package: its registries of backbones, necks, heads and losses are one object."""
    from mmcls.models import builder

    start = f"mmcls.models.{package}."
    return {name: cls for name, cls in builder.MODELS.module_dict.items() if cls.__module__.startswith(start)}


def _heads() -> dict[str, Factory]:
    from clearctl.models.heads import CosineDistanceHead

    return {**_mmcls("heads"), "CosineDistanceHead": CosineDistanceHead}


def _augments() -> dict[str, Factory]:
    from mmcls.models.utils.augment.builder import AUGMENT

    return dict(AUGMENT.module_dict)


def _torch_models() -> dict[str, Factory]:
    from torch import nn

    return {name: value for name, value in vars(nn).items() if inspect.isclass(value) and issubclass(value, nn.Module)}


BACKBONES = Registry("backbone", lambda: _mmcls("backbones"))
NECKS = Registry("neck", lambda: _mmcls("necks"))
HEADS = Registry(
    "head",
    _heads,
    refused=dict.fromkeys(("MultiLabelClsHead", "MultiLabelLinearClsHead", "CSRAClsHead"), _MULTI_LABEL),
)
LOSSES = Registry("loss", lambda: _mmcls("losses"))
AUGMENTS = Registry("batch augmentation", _augments)
TORCH_MODELS = Registry("torch module", _torch_models)
