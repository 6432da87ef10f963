"""Every backbone, neck and head of mmcls takes a training step and predicts, as a Classifier."""

import logging
from typing import Any

import pytest
import torch
from mmcls.models import build_classifier as build_with_mmcls

from clearctl.models.classifier import Classifier, build_classifier, head_outputs
from clearctl.models.fit import find_mismatch
from clearctl.models.losses import build_criterion

CLASSES = 3
POOL = dict(type="GlobalAveragePooling")
SHALLOW = dict(num_stages=1, strides=(1,), dilations=(1,), out_indices=(0,), stem_channels=4, base_channels=4)
VIT = dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8)
HRNET = {
    "stage1": dict(num_modules=1, num_branches=1, block="BOTTLENECK", num_blocks=(1,), num_channels=(8,)),
    "stage2": dict(num_modules=1, num_branches=2, block="BASIC", num_blocks=(1, 1), num_channels=(4, 8)),
    "stage3": dict(num_modules=1, num_branches=3, block="BASIC", num_blocks=(1,) * 3, num_channels=(4, 8, 16)),
    "stage4": dict(num_modules=1, num_branches=4, block="BASIC", num_blocks=(1,) * 4, num_channels=(4, 8, 16, 32)),
}
REPVGG = dict(num_blocks=[1] * 4, width_factor=[1.0] * 4, group_layer_map=None, se_cfg=None)


def linear(in_channels: int) -> dict[str, Any]:
    return dict(type="LinearClsHead", num_classes=CLASSES, in_channels=in_channels)


def token(in_channels: int, kind: str = "VisionTransformerClsHead") -> dict[str, Any]:
    return dict(type=kind, num_classes=CLASSES, in_channels=in_channels)


# name: (side of the image in px, backbone, neck, head)
FAMILIES: dict[str, tuple[int, dict[str, Any], dict[str, Any] | None, dict[str, Any]]] = {
    "ResNet": (16, dict(depth=18, **SHALLOW), POOL, linear(4)),
    "ResNet_CIFAR": (16, dict(depth=18, base_channels=4, stem_channels=4), POOL, linear(32)),
    "ResNetV1d": (16, dict(depth=18, **SHALLOW), POOL, linear(4)),
    "ResNeXt": (16, dict(depth=50, **{**SHALLOW, "base_channels": 32}), POOL, linear(128)),
    "Res2Net": (16, dict(depth=50, **{**SHALLOW, "base_channels": 32}), POOL, linear(128)),
    "ResNeSt": (16, dict(depth=50, **{**SHALLOW, "base_channels": 32}), POOL, linear(128)),
    "SEResNet": (16, dict(depth=50, se_ratio=4, **SHALLOW), POOL, linear(16)),
    "RegNet": (32, dict(arch="regnetx_400mf"), POOL, linear(384)),
    "RepVGG": (32, dict(arch=REPVGG, base_channels=8), POOL, linear(64)),
    "HRNet": (32, dict(extra=HRNET), [dict(type="HRFuseScales", in_channels=(4, 8, 16, 32)), POOL], linear(2048)),
    "DenseNet": (32, dict(arch=dict(growth_rate=4, depths=[1, 1], init_channels=8)), POOL, linear(10)),
    "VGG": (32, dict(depth=11), POOL, linear(512)),
    "LeNet5": (32, dict(num_classes=CLASSES), None, dict(type="ClsHead")),
    "MobileNetV2": (32, dict(widen_factor=0.1), POOL, linear(1280)),
    "MobileNetV3": (32, dict(arch="small"), POOL, linear(576)),
    "ShuffleNetV1": (32, dict(groups=3, widen_factor=1.0), POOL, linear(960)),
    "ShuffleNetV2": (32, dict(widen_factor=0.5), POOL, linear(1024)),
    "EfficientNet": (32, dict(arch="b0"), POOL, linear(1280)),
    "ConvNeXt": (32, dict(arch=dict(depths=[1, 1], channels=[4, 8]), out_indices=(1,)), None, linear(8)),
    "ConvMixer": (16, dict(arch=dict(embed_dims=8, depth=1, patch_size=4, kernel_size=3)), POOL, linear(8)),
    "VisionTransformer": (16, dict(arch=VIT, img_size=16, patch_size=8), None, token(8)),
    "DistilledVisionTransformer": (16, dict(arch=VIT, img_size=16, patch_size=8), None, token(8, "DeiTClsHead")),
    "SwinTransformer": (
        32,
        dict(arch=dict(embed_dims=4, depths=[1, 1], num_heads=[1, 2]), img_size=32, window_size=4, out_indices=(1,)),
        POOL,
        linear(8),
    ),
    "MlpMixer": (
        16,
        dict(arch=dict(embed_dims=8, num_layers=1, tokens_mlp_dims=4, channels_mlp_dims=8), img_size=16, patch_size=8),
        dict(type="GlobalAveragePooling", dim=1),
        linear(8),
    ),
    "Conformer": (
        32,
        dict(arch=dict(embed_dims=12, channel_ratio=1, num_heads=2, depths=6), base_channels=4, patch_size=16),
        None,
        token([16, 12], "ConformerHead"),
    ),
}


def section(family: str) -> dict[str, Any]:
    _, backbone, neck, head = FAMILIES[family]
    return dict(backbone=dict(type=family, **backbone), neck=neck, head=head)


def batch(family: str) -> tuple[torch.Tensor, torch.Tensor]:
    """x [4, 3, side, side] (LeNet5's is grey), class indices [4]."""
    side = FAMILIES[family][0]
    x = torch.randn(4, 1 if family == "LeNet5" else 3, side, side, generator=torch.Generator().manual_seed(1))
    return x, torch.tensor([0, 2, 1, 1])


def with_moved_head(model: Classifier) -> Classifier:
    """Some of mmcls's heads start with weights of 0, which would hide a mistake."""
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_family_predicts_and_learns_as_in_mmcls(family: str, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    model = with_moved_head(build_classifier(**section(family)))
    x, y = batch(family)
    assert find_mismatch(model, x[:2], CLASSES) is None
    with caplog.at_level(logging.ERROR):  # mmcls warns that it does not train a distilled ViT
        reference = build_with_mmcls(dict(type="ImageClassifier", **section(family)))
    reference.load_state_dict(model.state_dict())

    model.eval()
    reference.eval()
    with torch.no_grad():
        scores = model(x)
        expected = reference.simple_test(x, softmax=True, post_process=False)
    assert scores.shape == (4, CLASSES)
    assert torch.allclose(scores.softmax(1), expected, atol=1e-6)

    model.train()
    reference.train()
    criterion = build_criterion(model, None, head_has_one=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    torch.manual_seed(2)
    loss = criterion(model(x), y)
    torch.manual_seed(2)
    assert loss.item() == pytest.approx(reference.forward_train(x, y)["loss"].item(), rel=1e-5)
    loss.backward()
    optimizer.step()
    moved = [name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])]
    assert any(name.startswith("backbone.") for name in moved)
    assert any(name.startswith("head.") for name in moved) or not list(model.head.parameters())
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_conformer_scores_are_the_sum_of_its_outputs_and_its_loss_the_mean_of_theirs() -> None:
    model = with_moved_head(build_classifier(**section("Conformer"))).eval()
    x, y = batch("Conformer")
    convolution, transformer = model.head.simple_test(model.features(x), softmax=False, post_process=False)
    scores = model(x)
    assert torch.allclose(scores, convolution + transformer)
    cross_entropy = torch.nn.functional.cross_entropy
    by_hand = (cross_entropy(convolution, y) + cross_entropy(transformer, y)) / 2
    criterion = build_criterion(model, None, head_has_one=False)  # also where the config gives no loss at all
    assert criterion(scores, y).item() == pytest.approx(by_hand.item())
    assert criterion(scores, y).item() != pytest.approx(cross_entropy(scores, y).item(), rel=1e-3)
    # Of a part of the batch, as replay strategies slice it, only the sum is known.
    assert len(head_outputs(scores)) == 2
    assert criterion(scores[:2], y[:2]).item() == pytest.approx(cross_entropy(scores[:2], y[:2]).item())


def test_distilled_vit_scores_are_the_average_of_its_outputs() -> None:
    model = with_moved_head(build_classifier(**section("DistilledVisionTransformer"))).eval()
    x, _ = batch("DistilledVisionTransformer")
    _, token, distilled = model.features(x)[-1]
    expected = (model.head.layers.head(token) + model.head.layers.head_dist(distilled)) / 2
    assert torch.allclose(model(x), expected)
    assert head_outputs(expected) == (expected,)


@pytest.mark.parametrize(
    ("head", "parameters"),
    [
        (dict(type="LinearClsHead"), 2),
        (dict(type="StackedLinearClsHead", mid_channels=[6], norm_cfg=dict(type="BN1d")), 6),
        (dict(type="CosineDistanceHead", temperature=8.0), 1),
        (dict(type="EfficientFormerClsHead", distillation=False), 2),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_heads_alone_learn_features(head: dict[str, Any], parameters: int) -> None:
    torch.manual_seed(0)
    model = build_classifier(head=dict(**head, num_classes=CLASSES, in_channels=8))
    assert len(list(model.parameters())) == parameters
    y = torch.arange(30) % CLASSES
    x = torch.nn.functional.one_hot(y, 8) + 0.1 * torch.randn(30, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model.eval()(x).argmax(1) == y).all()
