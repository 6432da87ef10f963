"""The backbones, necks, heads, losses and torch modules that a config may name."""

import inspect

from clearctl.config.registry import Factory, Registry

_MULTI_LABEL = "it predicts several labels an image, and CLEAR has one"


def _mmcls(registry: str) -> dict[str, Factory]:
    from mmcls.models import builder

    return dict(getattr(builder, registry).module_dict)


def _losses() -> dict[str, Factory]:
    from mmcls.models import losses

    found = {name: value for name, value in vars(losses).items() if inspect.isclass(value)}
    return {name: cls for name, cls in found.items() if name != "Accuracy"}


def _torch_models() -> dict[str, Factory]:
    from torch import nn

    return {name: value for name, value in vars(nn).items() if inspect.isclass(value) and issubclass(value, nn.Module)}


BACKBONES = Registry("backbone", lambda: _mmcls("BACKBONES"))
NECKS = Registry("neck", lambda: _mmcls("NECKS"))
HEADS = Registry(
    "head",
    lambda: _mmcls("HEADS"),
    refused=dict.fromkeys(("MultiLabelClsHead", "MultiLabelLinearClsHead", "CSRAClsHead"), _MULTI_LABEL),
)
LOSSES = Registry("loss", _losses)
TORCH_MODELS = Registry("torch module", _torch_models)
