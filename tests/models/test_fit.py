"""Whether a network fits is found by a forward pass that leaves no trace."""

import random
from typing import Any

import numpy as np
import pytest
import torch

from clearctl.models.classifier import build_classifier
from clearctl.models.fit import Mismatch, find_mismatch

BACKBONE = dict(type="ResNet_CIFAR", depth=18, base_channels=4, stem_channels=4)
POOL = dict(type="GlobalAveragePooling")
VIT = dict(
    type="VisionTransformer",
    arch=dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8),
    img_size=16,
    patch_size=8,
)
IMAGES = torch.zeros(2, 3, 16, 16)
FEATURES = torch.zeros(2, 8)


def linear(in_channels: int, num_classes: int = 3) -> dict[str, Any]:
    return dict(type="LinearClsHead", num_classes=num_classes, in_channels=in_channels)


@pytest.mark.parametrize(
    ("section", "x", "key", "text"),
    [
        (
            dict(backbone=BACKBONE, neck=POOL, head=linear(64)),
            IMAGES,
            "head.in_channels",
            "found 64, but backbone and neck give 32 numbers for each sample",
        ),
        (
            dict(backbone=VIT, head=dict(type="VisionTransformerClsHead", num_classes=3, in_channels=768)),
            IMAGES,
            "head.in_channels",
            "found 768, but backbone and neck give 8 numbers for each sample",
        ),
        (
            dict(head=linear(16)),
            FEATURES,
            "head.in_channels",
            "found 16, but the features have 8 numbers for each sample",
        ),
        (
            dict(backbone=BACKBONE, head=linear(32)),
            IMAGES,
            "neck",
            "the head takes a vector for each sample, but gets the shape [32, 2, 2]:"
            " add neck=dict(type='GlobalAveragePooling')",
        ),
        (
            dict(backbone=BACKBONE, neck=POOL, head=linear(32, num_classes=2)),
            IMAGES,
            "head",
            "it gives [2] numbers for each sample, but the dataset has 3 classes",
        ),
        (
            dict(torchmodel=dict(type="Linear", in_features=5, out_features=3)),
            FEATURES,
            "torchmodel.in_features",
            "found 5, but a sample has the shape [8]",
        ),
        (
            dict(torchmodel=dict(type="Linear", in_features=8, out_features=2)),
            FEATURES,
            "torchmodel",
            "it gives [2] numbers for each sample, but the dataset has 3 classes",
        ),
    ],
)
def test_misfit_names_the_key_and_both_values(section: dict[str, Any], x: torch.Tensor, key: str, text: str) -> None:
    assert find_mismatch(build_classifier(**section), x, 3) == Mismatch(key, text)


@pytest.mark.parametrize(
    ("section", "x", "key", "beginning"),
    [
        (dict(backbone=BACKBONE, neck=POOL, head=linear(32)), FEATURES, "backbone", "ResNet_CIFAR rejects a sample of"),
        (
            dict(backbone=BACKBONE, neck=dict(type="HRFuseScales", in_channels=(4, 8)), head=linear(32)),
            IMAGES,
            "neck",
            "HRFuseScales rejects the backbone's output",
        ),
        (
            dict(torchmodel=dict(type="Conv2d", in_channels=3, out_channels=3, kernel_size=3)),
            FEATURES,
            "torchmodel",
            "Conv2d rejects a sample of shape [8]: Expected",
        ),
        (
            dict(
                backbone=dict(type="ConvNeXt", arch=dict(depths=[1, 1], channels=[4, 8]), out_indices=3),
                head=linear(8),
            ),
            IMAGES,
            "backbone",
            "ConvNeXt has no output",
        ),
    ],
)
def test_what_a_part_refuses_is_reported_in_one_line(
    section: dict[str, Any], x: torch.Tensor, key: str, beginning: str
) -> None:
    found = find_mismatch(build_classifier(**section), x, 3)
    assert found is not None
    assert (found.key, found.text[: len(beginning)]) == (key, beginning)
    assert "\n" not in found.text


@pytest.mark.parametrize(
    ("section", "x"),
    [
        (dict(backbone=BACKBONE, neck=POOL, head=linear(32)), IMAGES),
        (dict(backbone=BACKBONE, neck=POOL, head=linear(32, num_classes=1000)), IMAGES),
        (dict(backbone=VIT, head=dict(type="VisionTransformerClsHead", num_classes=3, in_channels=8)), IMAGES),
        (dict(head=linear(8)), FEATURES),
        (dict(head=dict(type="CosineDistanceHead", num_classes=3, in_channels=8)), FEATURES),
        (dict(torchmodel=dict(type="Linear", in_features=8, out_features=3)), FEATURES),
    ],
)
def test_what_fits_has_no_misfit(section: dict[str, Any], x: torch.Tensor) -> None:
    assert find_mismatch(build_classifier(**section), x, 3) is None


def test_looking_leaves_no_trace() -> None:
    backbone = {**VIT, "drop_rate": 0.5}
    sections = (
        dict(backbone=BACKBONE, neck=POOL, head=linear(32)),
        dict(backbone=backbone, head=dict(type="VisionTransformerClsHead", num_classes=3, in_channels=8)),
    )
    for section in sections:
        model = build_classifier(**section, freeze=["backbone"])
        before = {name: value.clone() for name, value in model.state_dict().items()}
        modes = [module.training for module in model.modules()]
        states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
        find_mismatch(model, torch.randn(2, 3, 16, 16, generator=torch.Generator()), 3)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert [module.training for module in model.modules()] == modes
        assert all(parameter.grad is None for parameter in model.parameters())
        assert random.getstate() == states[0]
        assert (np.random.get_state()[1] == states[1]).all()
        assert torch.equal(torch.get_rng_state(), states[2])
