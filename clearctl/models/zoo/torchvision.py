"""torchvision's classifiers without their last layer, with their weights and transforms."""

import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clearctl.config.registry import parameters
from clearctl.digest import file_sha256
from clearctl.errors import RunError, UsageError
from clearctl.models.extractor import FeatureExtractor
from clearctl.models.zoo.fetch import fetching, timeout
from clearctl.models.zoo.names import MMCLS, OPEN_CLIP, TIMM, cannot_build, near, require_known
from clearctl.models.zoo.transforms import Steps, normalized
from clearctl.progress import Listener, Message

# Arguments that torchvision's function for an architecture takes itself, and does not pass to the class.
_OF_THE_FUNCTION = {"MobileNetV3": ("width_mult", "reduced_tail", "dilated")}


def build(arch: str, arguments: dict[str, Any]) -> FeatureExtractor:
    """The classification model called `arch`, its weights random, without its last layer. Raises UsageError."""
    from torchvision import models

    known = models.list_models(module=models)
    if arch not in known:
        raise UsageError(
            f"no classification model of torchvision is called {arch!r}{near(arch, known)}\n"
            f"for other libraries use {TIMM}NAME, {OPEN_CLIP}NAME/PRETRAINED and {MMCLS}TYPE, such as {TIMM}resnet50"
        )
    # These two have classifiers inside, for training, and would warn if not told how to draw their weights.
    own = {"aux_logits": False, "init_weights": True} if arch in ("googlenet", "inception_v3") else {}
    try:
        model = models.get_model(arch, weights=None, **own, **arguments)
    except Exception as error:
        if isinstance(error, TypeError):
            require_known(arch, arguments, _accepted(models.get_model(arch, weights=None, **own)))
        raise cannot_build(arch, arguments, error) from None
    require_known(arch, arguments, _accepted(model))  # some classes swallow what they do not know
    return FeatureExtractor(arch, arguments, model, _cut_classifier(arch, model))


def default_weights(extractor: FeatureExtractor, listener: Listener) -> tuple[Path, str]:
    """(file, name) of torchvision's default weights, say `ResNet50_Weights.IMAGENET1K_V2`.

    The file is taken from torch.hub's folder if it exists and its hash is right, else fetched into it; `listener`
    is reported before that.

    Raises UsageError for a backbone built for images of another size than theirs; CapabilityError if they cannot be
    fetched; RunError if the file is damaged.
    """
    weights = _default(extractor.arch)
    _check_image_size(extractor, weights)
    return _file_of(weights, listener), str(weights)


def transform_steps(extractor: FeatureExtractor) -> Steps:
    """The transform that torchvision's default weights for the architecture state."""
    preset = _default(extractor.arch).transforms()
    resize, crop = (size[0] if len(size) == 1 else list(size) for size in (preset.resize_size, preset.crop_size))
    return [
        {"type": "Resize", "size": resize, "interpolation": preset.interpolation.value},
        {"type": "CenterCrop", "size": crop},
        *normalized(preset.mean, preset.std),
    ]


def _default(arch: str) -> Any:
    from torchvision.models import get_model_weights

    weights: Any = get_model_weights(arch)
    return weights.DEFAULT


def _accepted(model: nn.Module) -> list[str]:
    """The arguments that a model of torchvision can be built with."""
    return [*parameters(type(model))[0], *_OF_THE_FUNCTION.get(type(model).__name__, ())]


def _cut_classifier(arch: str, model: nn.Module) -> str:
    """Put an Identity for the layer that scores the classes, and return its name.

    In every classifier of torchvision that is the last linear layer or convolution. Behind SqueezeNet's convolution
    come a ReLU, which changes nothing since its input is never negative, and the pooling.
    """
    name, layer = [pair for pair in model.named_modules() if isinstance(pair[1], nn.Linear | nn.Conv2d)][-1]
    if layer.weight.shape[0] != 1000:
        raise UsageError(f"{arch}: the last layer, {name}, does not score ImageNet's 1000 classes")
    model.set_submodule(name, nn.Identity())
    return name


def _check_image_size(extractor: FeatureExtractor, weights: Any) -> None:
    """Raise UsageError if the backbone has position embeddings for another image size than `weights`."""
    found, expected = getattr(extractor.backbone, "image_size", None), weights.meta["min_size"][0]
    if found not in (None, expected):
        raise UsageError(
            f"{extractor.arch} is built for images of {found} px, but {weights} is for {expected} px\n"
            f"give --arch-arg image_size={expected}, or a file with --checkpoint FILE"
        )


def _file_of(weights: Any, listener: Listener) -> Path:
    """The file of torchvision's `weights` in torch.hub's folder, downloaded if it is missing."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[1]
    digest = re.search(r"-([0-9a-f]{8,})\.", file.name)
    expected = digest[1] if digest else ""
    if file.exists():
        if not file_sha256(file).startswith(expected):
            raise RunError(f"{file} is damaged: its sha256 does not begin with {expected}\ndelete it and try again")
        return file
    listener(Message(f"downloading {weights} ({weights.meta['_file_size']:.0f} MB) into {file.parent}"))
    with fetching(str(weights), f"put {weights.url} into {file.parent}, or give it with --checkpoint FILE"), timeout():
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(weights.url, str(file), expected or None, progress=False)
    return file
