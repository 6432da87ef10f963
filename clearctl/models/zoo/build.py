"""Builds an extractor by the name of its architecture, with its library's weights and transform.

resnet50                      torchvision
timm:resnet50.a1_in1k         timm
open_clip:ViT-B-32/openai     open_clip
mmcls:ResNet                  mmcls
"""

import random
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from clearctl.distributed.randomness import preserve_random_states
from clearctl.models.extractor import FeatureExtractor
from clearctl.models.fitting import LoadReport
from clearctl.models.weights import load_checkpoint
from clearctl.models.zoo import mmcls, open_clip, timm, torchvision
from clearctl.models.zoo.hub import weights_in
from clearctl.models.zoo.names import MMCLS, OPEN_CLIP, TIMM, require_arguments_of_networks
from clearctl.models.zoo.transforms import Steps
from clearctl.progress import Listener, ignore

_SEED = 0
_LIBRARIES: Mapping[str, ModuleType] = {MMCLS: mmcls, TIMM: timm, OPEN_CLIP: open_clip}


def build_extractor(arch: str, arguments: Mapping[str, Any] | None = None) -> FeatureExtractor:
    """The extractor called `arch`, its weights random as the library draws them, the same ones at every call.

    Args:
        arch: a classification model of torchvision.models, say `resnet50`; `timm:NAME`, a model of timm;
            `open_clip:NAME/PRETRAINED`, an image tower of open_clip; or `mmcls:TYPE`, a backbone of mmcls.
        arguments: what the library's constructor takes.

    The states of Python's, NumPy's and torch's generators are restored afterwards.

    Raises UsageError for an unknown name and for arguments that the constructor does not take or that fail,
    CapabilityError for a library that is not installed.
    """
    given = dict(arguments or {})
    require_arguments_of_networks(arch, given)
    with preserve_random_states():
        random.seed(_SEED)
        np.random.seed(_SEED)
        torch.manual_seed(_SEED)
        extractor: FeatureExtractor = _library(arch).build(arch, given)
    return extractor


def load_default_weights(extractor: FeatureExtractor, listener: Listener = ignore) -> str:
    """Fill the backbone with the weights that its library has for it; returns their name.

    Raises UsageError for a backbone without default weights, or built for images of another size than theirs;
    CapabilityError if they cannot be downloaded; RunError if the file is damaged, or does not fit the arguments.
    """
    file, name = _library(extractor.arch).default_weights(extractor, listener)
    load_checkpoint(extractor, file)
    return str(name)


def load_weights(extractor: FeatureExtractor, path: Path, *, allow_partial: bool = False) -> LoadReport:
    """Fill the backbone from a file, or a folder as on Hugging Face's hub (`weights.load_checkpoint`).

    Of timm's models what config.json in that folder states of their input is taken over. Raises RunError.
    """
    file = weights_in(path)
    if extractor.arch.startswith(TIMM):
        timm.apply_published_config(extractor, file)
    return load_checkpoint(extractor, file, allow_partial=allow_partial)


def transform_steps(extractor: FeatureExtractor) -> Steps | None:
    """The transform of evaluation that the library states for the extractor's weights, as a config lists it.

    None if it states none (mmcls).
    """
    steps: Steps | None = _library(extractor.arch).transform_steps(extractor)
    return steps


def _library(arch: str) -> ModuleType:
    return next((library for prefix, library in _LIBRARIES.items() if arch.startswith(prefix)), torchvision)
