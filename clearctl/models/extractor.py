"""A frozen backbone that turns images into feature vectors: any classifier of torchvision, any backbone of mmcls."""

import difflib
import random
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import nn

from clearctl.config.registry import closest, parameters
from clearctl.distributed.randomness import preserve_random_states
from clearctl.errors import CapabilityError, UsageError
from clearctl.models.registry import BACKBONES
from clearctl.wording import any_of, in_one_line

MMCLS = "mmcls:"
_SEED = 0

_CUT = "the classifier is cut off"
_ELSEWHERE = "--weights and --checkpoint say where the weights come from"
_REFUSED = {
    "num_classes": _CUT,
    "representation_size": _CUT,
    "aux_logits": _CUT,
    "weights": _ELSEWHERE,
    "pretrained": _ELSEWHERE,
    "checkpoint_path": _ELSEWHERE,
    "init_cfg": _ELSEWHERE,
    "init_weights": _ELSEWHERE,
    "progress": _ELSEWHERE,
}
# Arguments that torchvision's function for an architecture takes itself, and does not hand to the class.
_OF_THE_FUNCTION = {"MobileNetV3": ("width_mult", "reduced_tail", "dilated")}


class FeatureExtractor(nn.Module):
    """A backbone without a classifier, always in eval mode and without gradients.

    forward: `x [B, 3, H, W] float32` → `[B, D]`. Of torchvision's models that is what the last layer, which scores
    the classes, would take. Of mmcls's backbones it is the last stage of a tuple, and of that the mean over the
    positions of a feature map `[B, D, H, W]` or `[B, D, N]`, or the class token beside the patches; of Conformer's
    two vectors (convolution, transformer) it is both, one after the other.

    `backbone` is the library's own module, so the names in `backbone.state_dict()` are the library's.
    """

    def __init__(
        self, arch: str, arguments: Mapping[str, Any], backbone: nn.Module, classifier: str | None = None
    ) -> None:
        """`classifier` is the name that the layer which was cut off had in the library's model."""
        super().__init__()
        self.arch = arch
        self.arguments = dict(arguments)
        self.backbone = backbone
        self.classifier = classifier
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "FeatureExtractor":
        """Stay in eval mode, whatever `mode` is: features must not depend on the rest of a batch."""
        return super().train(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The features `[B, D]`. Raises UsageError if the backbone's arguments leave no output."""
        output = self.backbone(x)
        if isinstance(output, tuple):
            if not output:
                raise UsageError(f"{self.arch} gives nothing: its out_indices name no stage that it has")
            output = output[-1]
        if isinstance(output, list | tuple):
            first, second = output[:2]
            # [patches [B, D, H, W], class token [B, D]], and in a distilled net a third: or Conformer's two vectors.
            output = second if first.ndim > 2 else torch.cat((first, second), 1)
        features: torch.Tensor = output
        return features.mean(tuple(range(2, features.ndim))) if features.ndim > 2 else features


def build_extractor(arch: str, arguments: Mapping[str, Any] | None = None) -> FeatureExtractor:
    """The extractor called `arch`, its weights random as the library draws them, the same ones at every call.

    Args:
        arch: a classification model of torchvision.models, say `resnet50`, or `mmcls:TYPE` with a backbone of mmcls.
        arguments: what the library's constructor takes.

    Python's, NumPy's and torch's generators stand afterwards where they stood before.

    Raises UsageError for an unknown name and for arguments that the constructor does not take or that fail,
    CapabilityError for a backbone whose package is not installed.
    """
    given = dict(arguments or {})
    for name in given:
        if name in _REFUSED:
            raise UsageError(f"{arch} takes no argument {name!r} here: {_REFUSED[name]}")
    build = _build_mmcls if arch.startswith(MMCLS) else _build_torchvision
    with preserve_random_states():
        random.seed(_SEED)
        np.random.seed(_SEED)
        torch.manual_seed(_SEED)
        return build(arch, given)


def feature_dimension(extractor: FeatureExtractor, x: torch.Tensor) -> int:
    """D of the features of `x [B, 3, H, W]`, found by one forward pass that leaves no trace.

    Raises UsageError if the backbone takes no images of that size, or gives no vectors (as timm's transformers, whose
    tokens are laid out otherwise than mmcls's).
    """
    height, width = x.shape[2:]
    try:
        with torch.no_grad(), preserve_random_states():
            features = extractor(x)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{extractor.arch} takes no RGB images of {height}x{width} px: {in_one_line(error)}") from None
    if features.shape[:1] != x.shape[:1] or features.ndim != 2:
        raise UsageError(
            f"{extractor.arch} gives {list(features.shape)} for {len(x)} images, expected a vector for each"
        )
    dimension = int(features.shape[1])
    of_timm = getattr(getattr(extractor.backbone, "timm_model", None), "num_features", dimension)
    if dimension != of_timm:
        raise UsageError(f"{extractor.arch}: the network has {of_timm} features, but its output is no map of them")
    return dimension


def _build_torchvision(arch: str, arguments: dict[str, Any]) -> FeatureExtractor:
    from torchvision import models

    known = models.list_models(module=models)
    if arch not in known:
        raise UsageError(
            f"no classification model of torchvision is called {arch!r}{_near(arch, known)}\n"
            f"backbones of mmcls are called {MMCLS}TYPE, say {MMCLS}ResNet"
        )
    # These two have classifiers inside, for training, and would warn if not told how to draw their weights.
    own = {"aux_logits": False, "init_weights": True} if arch in ("googlenet", "inception_v3") else {}
    try:
        model = models.get_model(arch, weights=None, **own, **arguments)
    except Exception as error:
        if isinstance(error, TypeError):
            _require_known(arch, arguments, _accepted(models.get_model(arch, weights=None, **own)))
        raise _cannot_build(arch, arguments, error) from None
    _require_known(arch, arguments, _accepted(model))  # some classes swallow what they do not know
    return FeatureExtractor(arch, arguments, model, _cut_classifier(arch, model))


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


def _build_mmcls(arch: str, arguments: dict[str, Any]) -> FeatureExtractor:
    name = arch.removeprefix(MMCLS)
    if name not in BACKBONES.classes:
        raise UsageError(f"no backbone of mmcls is called {name!r}{_near(name, BACKBONES.classes)}")
    if name == "TIMMBackbone" and find_spec("timm") is None:
        raise CapabilityError(f"{arch} needs the package timm, which is not installed\ninstall it: pip install timm")
    accepted, open_ended = parameters(BACKBONES[name])
    if not open_ended and name != "TIMMBackbone":  # it hands what it does not know to timm
        _require_known(arch, arguments, accepted)
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
        raise _cannot_build(arch, arguments, error) from None
    return FeatureExtractor(arch, arguments, backbone)


def _require_known(arch: str, arguments: Mapping[str, Any], accepted: Iterable[str]) -> None:
    candidates = list(accepted)
    for name in arguments:
        if name not in candidates:
            raise UsageError(f"{arch} takes no argument {name!r}{closest(name, candidates)}")


def _cannot_build(arch: str, arguments: Mapping[str, Any], error: Exception) -> UsageError:
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return UsageError(f"{arch} cannot be built with {given or 'no arguments'}: {in_one_line(error)}")


def _near(name: str, candidates: Iterable[str]) -> str:
    """`; did you mean 'x', 'y' or 'z'?` for the nearest candidates, or an empty string."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    near = [repr(by_lower[match]) for match in difflib.get_close_matches(name.lower(), by_lower, n=3)]
    return f"; did you mean {any_of(near)}?" if near else ""
