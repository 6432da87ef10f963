"""A network built of mmcls's backbone, neck and head that maps a batch to class scores."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn

Part = Mapping[str, Any]


class Classifier(nn.Module):
    """backbone → neck → head, each of which may be absent but the head.

    forward: `x [B, 3, H, W] float32` (or `[B, D]` features where there is no backbone) → scores `[B, num_classes]`.
    """

    backbone: nn.Module | None
    neck: nn.Module | None
    head: Any  # mmcls's heads have methods of their own

    def __init__(self, backbone: nn.Module | None, neck: nn.Module | None, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.head = head

    def features(self, x: torch.Tensor) -> Any:
        """What the head takes: the output of backbone and neck, a tensor or mmcls's tuple of stages."""
        if self.backbone is not None:
            x = self.backbone(x)
        if self.neck is not None:
            x = self.neck(x)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores `[B, num_classes]`."""
        scores: torch.Tensor = self.head.simple_test(self.features(x), softmax=False, post_process=False)
        return scores


def build_classifier(
    backbone: Part | None = None,
    neck: Part | None = None,
    head: Part | None = None,
    torchmodel: Part | None = None,
    init_cfg: Part | None = None,
    freeze: Sequence[str] = (),
) -> nn.Module:
    """The network that the model section of a config describes, its weights initialised as `init_cfg` says.

    Each part is dict(type=..., **arguments) as mmcls takes it; `torchmodel` is a module of torch.nn that stands
    alone. The parameters of the parts named in `freeze` are not trained.
    """
    if torchmodel is not None:
        return _torch_module(torchmodel)
    from mmcls.models import build_backbone, build_head, build_neck

    assert head is not None
    network = Classifier(
        build_backbone(dict(backbone)) if backbone else None,
        build_neck(dict(neck)) if neck else None,
        build_head(dict(head)),
    )
    _initialise(network, init_cfg)
    for part in freeze:
        for parameter in getattr(network, part).parameters():
            parameter.requires_grad = False
    return network


def _torch_module(part: Part) -> nn.Module:
    arguments = {name: value for name, value in part.items() if name != "type"}
    module: nn.Module = getattr(nn, part["type"])(**arguments)
    return module


def _initialise(network: Classifier, init_cfg: Part | None) -> None:
    """mmcv's own initialisation; its report of every layer goes to a logger that stays silent."""
    from mmcv.cnn import initialize
    from mmcv.utils import get_logger

    get_logger("mmcv").setLevel(logging.ERROR)
    for part in (network.backbone, network.neck, network.head):
        if part is not None and hasattr(part, "init_weights"):
            cast(Any, part).init_weights()
    if init_cfg is not None:
        initialize(network, dict(init_cfg))
