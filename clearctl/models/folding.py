"""Folds batch norms into the convolutions before them, if that gives the same features."""

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from clearctl.distributed.randomness import preserve_random_states
from clearctl.models.extractor import FeatureExtractor

_TOLERANCE = 1e-4


def folded(extractor: FeatureExtractor, x: torch.Tensor) -> FeatureExtractor:
    """A copy of `extractor` without batch norms, which is faster, or `extractor` itself if that is not safe.

    mmcv folds by the order in which layers were registered, which need not be that in which they run. So the copy is
    taken only if on the images `x [B, 3, H, W]` its features differ by at most 1e-4 of their standard deviation. Both
    are computed in float64 for that: on a GPU the rounding of TF32 would hide or feign a difference.
    """
    if not any(isinstance(module, _BatchNorm) for module in extractor.modules()):
        return extractor
    from clearctl.models.openmmlab import fuse_conv_bn

    copied = copy.deepcopy(extractor)
    try:
        fuse_conv_bn(copied.backbone)
        copied.requires_grad_(False)
        expected, found = _features_in_float64(extractor, x), _features_in_float64(copied, x)
    except Exception:  # the layers do not belong together, say two of different widths
        return extractor
    difference = (found - expected).abs().max()
    return copied if difference <= _TOLERANCE * expected.std() else extractor


def _features_in_float64(extractor: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad(), preserve_random_states():
        features: torch.Tensor = copy.deepcopy(extractor).double()(x.double())
    return features
