"""mmcls's backbones, called `mmcls:TYPE`. They have no weights and no published transform."""

from pathlib import Path
from typing import Any

import torch

from clearctl.config.registry import parameters
from clearctl.errors import UsageError
from clearctl.models.extractor import FeatureExtractor
from clearctl.models.registry import BACKBONES
from clearctl.models.zoo.names import MMCLS, TIMM, cannot_build, near, require_known
from clearctl.models.zoo.transforms import Steps
from clearctl.progress import Listener

TIMM_BACKBONE = f"{MMCLS}TIMMBackbone"


def build(arch: str, arguments: dict[str, Any]) -> FeatureExtractor:
    """The backbone called `arch`, its weights random. Raises UsageError."""
    name = arch.removeprefix(MMCLS)
    if name not in BACKBONES.classes:
        raise UsageError(f"no backbone of mmcls is called {name!r}{near(name, BACKBONES.classes)}")
    accepted, open_ended = parameters(BACKBONES[name])
    if not open_ended:
        require_known(arch, arguments, accepted)
    missing = [parameter.name for parameter in accepted.values() if parameter.required]
    missing = [parameter for parameter in missing if parameter not in arguments]
    if missing:
        raise UsageError(f"{arch} needs the argument {missing[0]!r}: --arch-arg {missing[0]}=VALUE")
    from clearctl.models.openmmlab import quiet

    try:
        with quiet():
            backbone = BACKBONES[name](**arguments)
            backbone.init_weights()
    except Exception as error:
        raise cannot_build(arch, arguments, error) from None
    return FeatureExtractor(arch, arguments, backbone, pool=_Pool(arch))


def default_weights(extractor: FeatureExtractor, listener: Listener) -> tuple[Path, str]:
    """Raises UsageError: there are none."""
    raise UsageError(
        f"{extractor.arch} has no default weights\n"
        "give a file with --checkpoint FILE, or use random ones with --weights none"
    )


def transform_steps(extractor: FeatureExtractor) -> Steps | None:
    """None: mmcls keeps transforms in the configs of its experiments."""
    return None


def as_timm(arch: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """`arch` and `arguments`, with timm's own name instead of mmcls's wrapper of timm's models.

    The wrapper takes the last feature map behind the head's norm, which for ConvNeXt, EdgeNeXt, PoolFormer, DaViT,
    TinyViT, HGNetV2, MobileNetV3 and others gives other features than timm's. Raises UsageError for arguments that only
    the wrapper has.
    """
    if arch != TIMM_BACKBONE:
        return arch, arguments
    left = {name: value for name, value in arguments.items() if name not in ("model_name", "in_channels")}
    name = arguments.get("model_name")
    if not isinstance(name, str):
        raise UsageError(f"{arch} needs the argument 'model_name'\nuse --arch {TIMM}NAME, such as {TIMM}resnet50")
    if left.pop("features_only", False) or "out_indices" in left:
        raise UsageError(f"{arch}: feature maps of stages cannot be extracted\nuse --arch {TIMM}{name}")
    return f"{TIMM}{name}", left


class _Pool:
    """One vector an image of what a backbone of mmcls gives.

    That is the last stage of a tuple, and of that the mean over the positions of a feature map `[B, D, H, W]` or
    `[B, D, N]`, or the class token beside the patches; of Conformer's two vectors (convolution, transformer) it is
    both, one after the other.
    """

    def __init__(self, arch: str) -> None:
        self.arch = arch

    def __call__(self, output: Any) -> torch.Tensor:
        """`[B, D]`. Raises UsageError if the backbone's arguments leave no output."""
        if isinstance(output, tuple):
            if not output:
                raise UsageError(f"{self.arch} has no output: its out_indices contain no existing stage")
            output = output[-1]
        if isinstance(output, list | tuple):
            first, second = output[:2]
            # [patches [B, D, H, W], class token [B, D]], and in a distilled net a third: or Conformer's two vectors.
            output = second if first.ndim > 2 else torch.cat((first, second), 1)
        features: torch.Tensor = output
        return features.mean(tuple(range(2, features.ndim))) if features.ndim > 2 else features
