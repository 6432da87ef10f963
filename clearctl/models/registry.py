"""The backbones, necks, heads, losses, batch augmentations and torch modules that a config may name."""

import inspect
from typing import Any

from clearctl.config.registry import Factory, Registry
from clearctl.models.zoo.backbone import TimmModels
from clearctl.models.zoo.names import TIMM

_MULTI_LABEL = "it predicts several labels per image; CLEAR has one"


def _mmcls(package: str) -> dict[str, Factory]:
    """The classes that mmcls registers from one package: its backbones, necks, heads and losses share one registry."""
    from clearctl.models.openmmlab import builder

    start = f"mmcls.models.{package}."
    return {name: cls for name, cls in builder.MODELS.module_dict.items() if cls.__module__.startswith(start)}


def _heads() -> dict[str, Factory]:
    from clearctl.models.heads import CosineDistanceHead, FeCAMHead, RandomFourierHead, RandomProjectionHead

    own = (CosineDistanceHead, FeCAMHead, RandomFourierHead, RandomProjectionHead)
    return {**_mmcls("heads"), **{head.__name__: head for head in own}}


def _augments() -> dict[str, Factory]:
    from clearctl.models.openmmlab import AUGMENT

    return dict(AUGMENT.module_dict)


def _torch_models() -> dict[str, Factory]:
    from torch import nn

    return {name: value for name, value in vars(nn).items() if inspect.isclass(value) and issubclass(value, nn.Module)}


def _module() -> type:
    from torch import nn

    return nn.Module


def _registered() -> dict[str, Factory]:
    from clearctl.models.openmmlab import builder

    return dict(builder.MODELS.module_dict)


def registered_optimizers() -> dict[str, Factory]:
    """The classes in mmcv's registry of optimizers."""
    from clearctl.models.openmmlab import OPTIMIZERS

    return dict(OPTIMIZERS.module_dict)


_OWN: dict[str, Any] = {"base": _module, "registered": _registered}

BACKBONES = Registry("backbone", lambda: _mmcls("backbones"), libraries={TIMM: TimmModels()}, **_OWN)
NECKS = Registry("neck", lambda: _mmcls("necks"), **_OWN)
HEADS = Registry(
    "head",
    _heads,
    refused=dict.fromkeys(("MultiLabelClsHead", "MultiLabelLinearClsHead", "CSRAClsHead"), _MULTI_LABEL),
    **_OWN,
)
LOSSES = Registry("loss", lambda: _mmcls("losses"), **_OWN)
AUGMENTS = Registry("batch augmentation", _augments, registered=_augments)
_NETWORK = "it takes a network, which a config cannot contain; use your own class: type='module:Class'"
TORCH_MODELS = Registry(
    "torch module",
    _torch_models,
    refused=dict.fromkeys(("DataParallel", "TransformerDecoder", "TransformerEncoder"), _NETWORK),
    base=_module,
)
