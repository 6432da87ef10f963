"""Frozen backbones of torchvision and mmcls: what they give, and what is refused."""

import copy
import logging
import random
from typing import Any

import numpy as np
import pytest
import torch
from mmcls.models import build_classifier as build_with_mmcls
from torch import nn
from torchvision import models

from clearctl.errors import UsageError
from clearctl.models.extractor import FeatureExtractor, feature_dimension
from clearctl.models.folding import folded
from clearctl.models.registry import BACKBONES
from clearctl.models.zoo.build import build_extractor


def images(side_px: int, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, side_px, side_px, generator=torch.Generator().manual_seed(3))


# A member of every family of torchvision: (name, arguments, side of the image in px, dimension, what was cut off).
TORCHVISION = [
    ("alexnet", {}, 64, 4096, "classifier.6"),
    ("convnext_tiny", {}, 32, 768, "classifier.2"),
    ("densenet121", {}, 32, 1024, "classifier"),
    ("efficientnet_b0", {}, 32, 1280, "classifier.1"),
    ("googlenet", {}, 32, 1024, "fc"),
    ("inception_v3", {}, 75, 2048, "fc"),
    ("maxvit_t", {}, 224, 512, "classifier.5"),
    ("mnasnet0_5", {}, 32, 1280, "classifier.1"),
    ("mobilenet_v2", {}, 32, 1280, "classifier.1"),
    ("mobilenet_v3_large", {}, 32, 1280, "classifier.3"),
    ("mobilenet_v3_small", {}, 32, 1024, "classifier.3"),
    ("regnet_x_400mf", {}, 32, 400, "fc"),
    ("regnet_y_400mf", {}, 32, 440, "fc"),
    ("resnet18", {}, 32, 512, "fc"),
    ("resnet50", {}, 32, 2048, "fc"),
    ("shufflenet_v2_x0_5", {}, 32, 1024, "fc"),
    ("squeezenet1_1", {}, 32, 512, "classifier.1"),
    ("swin_t", {}, 32, 768, "head"),
    ("swin_v2_t", {}, 32, 768, "head"),
    ("vgg11", {}, 32, 4096, "classifier.6"),
    ("vit_b_32", {"image_size": 64}, 64, 768, "heads.head"),
]
_SLOW = ("alexnet", "maxvit_t", "vgg11", "vit_b_32")


def family(name: str) -> str:
    """The file of torchvision.models that the model comes from."""
    return models.get_model_builder(name).__module__


def test_every_family_of_torchvision_has_a_case() -> None:
    names = models.list_models(module=models)
    assert {family(name) for name in names} == {family(name) for name, *_ in TORCHVISION}
    assert len(names) >= 80


@pytest.mark.parametrize(
    ("name", "arguments", "side_px", "dimension", "classifier"),
    [pytest.param(*case, id=case[0], marks=pytest.mark.slow if case[0] in _SLOW else ()) for case in TORCHVISION],
)
def test_features_are_what_torchvision_classifies(
    name: str, arguments: dict[str, Any], side_px: int, dimension: int, classifier: str
) -> None:
    extractor = build_extractor(name, arguments)
    with_moved_norms(extractor)
    assert extractor.classifier == (classifier,)
    x = images(side_px)
    features = extractor(x)
    assert (features.shape, features.dtype) == ((2, dimension), torch.float32)
    assert features.std() > 0

    original = unfilled(name, arguments)
    last = original.get_submodule(classifier)
    generator = torch.Generator().manual_seed(7)
    scorer = {
        f"{classifier}.{name}": torch.randn(value.shape, generator=generator) for name, value in last.named_parameters()
    }
    weights = extractor.backbone.state_dict()  # not an ordinary dict: MNASNet takes that for its first version
    weights.update(scorer)
    original.load_state_dict(weights, assign=True)
    taken: list[torch.Tensor] = []
    last.register_forward_pre_hook(lambda module, inputs: taken.append(inputs[0]))
    with torch.no_grad():
        logits = original(x)
        if isinstance(last, nn.Conv2d):  # SqueezeNet's classifier runs before the pooling
            assert torch.equal(features, nn.functional.adaptive_avg_pool2d(taken[0], 1).flatten(1))
            assert torch.equal(nn.functional.adaptive_avg_pool2d(last(taken[0]).relu(), 1).flatten(1), logits)
        else:
            assert torch.equal(last(features), logits)


def unfilled(name: str, arguments: dict[str, Any]) -> nn.Module:
    """The library's whole model, where possible without the time that drawing its weights takes."""
    own = {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        return models.get_model(name, **own, **arguments).eval()


def with_moved_norms(module: nn.Module) -> nn.Module:
    """Fresh batch norms do next to nothing; after this each of them moves and scales its channels otherwise."""
    generator = torch.Generator().manual_seed(5)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for value, low, high in (
                (norm.weight, 0.5, 1.5),
                (norm.bias, -0.2, 0.2),
                (norm.running_mean, -0.2, 0.2),
                (norm.running_var, 0.5, 2.0),
            ):
                value.data.uniform_(low, high, generator=generator)
    return module


VIT = dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8)
SHALLOW = dict(num_stages=1, strides=(1,), dilations=(1,), out_indices=(0,), stem_channels=4, base_channels=4)
WIDER = {**SHALLOW, "base_channels": 32}
CSP = dict(depth=50, out_indices=(0,))
HRNET = {
    "stage1": dict(num_modules=1, num_branches=1, block="BOTTLENECK", num_blocks=(1,), num_channels=(8,)),
    "stage2": dict(num_modules=1, num_branches=2, block="BASIC", num_blocks=(1, 1), num_channels=(4, 8)),
    "stage3": dict(num_modules=1, num_branches=3, block="BASIC", num_blocks=(1,) * 3, num_channels=(4, 8, 16)),
    "stage4": dict(num_modules=1, num_branches=4, block="BASIC", num_blocks=(1,) * 4, num_channels=(4, 8, 16, 32)),
}
SWIN_ARCH = dict(embed_dims=4, depths=[1, 1], num_heads=[1, 2])
SWIN = dict(arch=SWIN_ARCH, img_size=32, window_size=4, out_indices=(1,))
REPVGG = dict(num_blocks=[1] * 4, width_factor=[1.0] * 4, group_layer_map=None, se_cfg=None)
REPMLP = dict(channels=[8, 16], depths=[1, 1], sharesets_nums=[1, 4])
HORNET = dict(base_dim=8, depths=[1] * 4, orders=[2] * 4, dw_cfg=[dict(type="DW", kernel_size=7)] * 4)
MVIT = dict(embed_dims=8, num_layers=2, num_heads=1, downscale_indices=[1])
TNT = dict(embed_dims_outer=16, embed_dims_inner=4, num_layers=1, num_heads_outer=2, num_heads_inner=2)
TWINS = dict(
    embed_dims=[4, 8, 16, 32],
    depths=[1] * 4,
    num_heads=[1] * 4,
    patch_sizes=[4, 2, 2, 2],
    strides=[4, 2, 2, 2],
    mlp_ratios=[2] * 4,
    sr_ratios=[1] * 4,
)
MIXER = dict(embed_dims=8, num_layers=1, tokens_mlp_dims=4, channels_mlp_dims=8)
CONFORMER = dict(embed_dims=12, channel_ratio=1, num_heads=2, depths=6)

# TYPE: (arguments, side of the image in px, dimension).
MMCLS: dict[str, tuple[dict[str, Any], int, int]] = {
    "AlexNet": ({}, 64, 256),
    "CSPDarkNet": (dict(depth=53, out_indices=(0,)), 16, 64),
    "CSPResNeXt": (CSP, 16, 256),
    "CSPResNet": (CSP, 16, 128),
    "Conformer": (dict(arch=CONFORMER, base_channels=4, patch_size=16), 32, 16 + 12),
    "ConvMixer": (dict(arch=dict(embed_dims=8, depth=1, patch_size=4, kernel_size=3)), 16, 8),
    "ConvNeXt": (dict(arch=dict(depths=[1, 1], channels=[4, 8]), out_indices=(1,)), 32, 8),
    "DenseNet": (dict(arch=dict(growth_rate=4, depths=[1, 1], init_channels=8)), 32, 10),
    "DistilledVisionTransformer": (dict(arch=VIT, img_size=16, patch_size=8), 16, 8),
    "EfficientFormer": ({}, 224, 448),
    "EfficientNet": (dict(arch="b0"), 32, 1280),
    "HRNet": (dict(extra=HRNET), 32, 32),
    "HorNet": (dict(arch=HORNET), 32, 64),
    "MViT": (dict(arch=MVIT, img_size=32), 32, 16),
    "MlpMixer": (dict(arch=MIXER, img_size=16, patch_size=8), 16, 8),
    "MobileNetV2": (dict(widen_factor=0.1), 32, 1280),
    "MobileNetV3": (dict(arch="small"), 32, 576),
    "PCPVT": (dict(arch=TWINS), 32, 32),
    "PoolFormer": ({}, 32, 512),
    "RegNet": (dict(arch="regnetx_400mf"), 32, 384),
    "RepMLPNet": (dict(arch=REPMLP, img_size=32, out_indices=(1,)), 32, 16),
    "RepVGG": (dict(arch=REPVGG, base_channels=8), 32, 64),
    "Res2Net": (dict(depth=50, **WIDER), 16, 128),
    "ResNeSt": (dict(depth=50, **WIDER), 16, 128),
    "ResNeXt": (dict(depth=50, **WIDER), 16, 128),
    "ResNet": (dict(depth=18, **SHALLOW), 16, 4),
    "ResNetV1c": (dict(depth=18, **SHALLOW), 16, 4),
    "ResNetV1d": (dict(depth=18, **SHALLOW), 16, 4),
    "ResNet_CIFAR": (dict(depth=18, base_channels=4, stem_channels=4), 16, 32),
    "SEResNeXt": (dict(depth=50, se_ratio=4, **WIDER), 16, 128),
    "SEResNet": (dict(depth=50, se_ratio=4, **SHALLOW), 16, 16),
    "SVT": (dict(arch={**TWINS, "window_sizes": [7] * 4}), 32, 32),
    "ShuffleNetV1": (dict(groups=3), 32, 960),
    "ShuffleNetV2": (dict(widen_factor=0.5), 32, 1024),
    "SwinTransformer": (SWIN, 32, 8),
    "SwinTransformerV2": ({**SWIN, "arch": {**SWIN_ARCH, "extra_norm_every_n_blocks": 0}}, 32, 8),
    "T2T_ViT": (dict(img_size=32), 32, 384),
    "TNT": (dict(arch=TNT, img_size=32), 32, 16),
    "VAN": ({}, 32, 256),
    "VGG": (dict(depth=11), 32, 512),
    "VisionTransformer": (dict(arch=VIT, img_size=16, patch_size=8), 16, 8),
}


def test_every_backbone_of_mmcls_has_a_case() -> None:
    assert set(BACKBONES.classes) == set(MMCLS) | {"LeNet5", "TIMMBackbone"}


@pytest.mark.parametrize("name", MMCLS)
def test_backbone_of_mmcls_gives_vectors(name: str) -> None:
    arguments, side_px, dimension = MMCLS[name]
    given = copy.deepcopy(arguments)
    extractor = build_extractor(f"mmcls:{name}", arguments)
    assert arguments == given
    with_moved_norms(extractor)
    x = images(side_px)
    features = extractor(x)
    assert features.shape == (2, dimension)
    assert feature_dimension(extractor, x) == dimension
    assert torch.isfinite(features).all()
    assert features.std() > 0
    # A vector is its own image's, whatever else is in the batch.
    assert torch.allclose(extractor(x[1:]), features[1:], rtol=1e-3, atol=1e-4 * features.std().item())
    assert type(extractor.backbone) is BACKBONES[name]  # so the weights have mmcls's names


POOL = dict(type="GlobalAveragePooling")


@pytest.mark.parametrize(
    ("name", "neck", "head"),
    [
        ("ResNet", POOL, "LinearClsHead"),
        ("ConvNeXt", None, "LinearClsHead"),
        ("MlpMixer", dict(type="GlobalAveragePooling", dim=1), "LinearClsHead"),
        ("SwinTransformer", POOL, "LinearClsHead"),
        ("VisionTransformer", None, "VisionTransformerClsHead"),
        ("Conformer", None, "ConformerHead"),
        ("DistilledVisionTransformer", None, "DeiTClsHead"),
    ],
)
def test_features_are_what_mmcls_classifies(name: str, neck: dict[str, Any] | None, head: str) -> None:
    arguments, side_px, dimension = MMCLS[name]
    extractor = build_extractor(f"mmcls:{name}", arguments)
    width: Any = [16, 12] if name == "Conformer" else dimension
    sections = dict(backbone=dict(type=name, **arguments), neck=neck)
    reference = build_with_mmcls(
        dict(type="ImageClassifier", **sections, head=dict(type=head, num_classes=3, in_channels=width))
    ).eval()
    reference.backbone.load_state_dict(extractor.backbone.state_dict())
    x = images(side_px)
    features = extractor(x)
    with torch.no_grad():
        taken = reference.head.pre_logits(reference.extract_feat(x))
    if head == "DeiTClsHead":
        taken = taken[0]  # the class token; beside it there is the distillation token
    if head == "ConformerHead":
        taken = torch.cat(taken, 1)
    torch.testing.assert_close(features, taken, rtol=1e-6, atol=1e-6)  # the mean over positions is torch's or ours


def test_last_of_several_stages_counts() -> None:
    stages = dict(num_stages=2, strides=(1, 2), dilations=(1, 1), stem_channels=4, base_channels=4)
    both = build_extractor("mmcls:ResNet", dict(depth=18, **stages, out_indices=(0, 1)))
    assert torch.equal(both(images(16)), both.backbone(images(16))[1].mean((2, 3)))


def test_patches_alone_are_averaged() -> None:
    arguments = dict(arch=VIT, img_size=16, patch_size=8, output_cls_token=False)
    extractor = build_extractor("mmcls:VisionTransformer", arguments)
    assert torch.equal(extractor(images(16)), extractor.backbone(images(16))[0].mean((2, 3)))


def test_same_random_weights_at_every_call_and_no_trace() -> None:
    def state() -> tuple[Any, ...]:
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    for arch, arguments in (("shufflenet_v2_x0_5", {}), ("mmcls:ResNet", MMCLS["ResNet"][0])):
        torch.manual_seed(1)
        before = state()
        one = build_extractor(arch, arguments)
        feature_dimension(one, images(32))
        assert state() == before
        torch.manual_seed(2)
        other = build_extractor(arch, arguments)
        weights = other.backbone.state_dict()
        assert all(torch.equal(value, weights[name]) for name, value in one.backbone.state_dict().items())


def test_weights_of_mmcls_are_drawn_as_it_draws_them() -> None:
    extractor = build_extractor("mmcls:VisionTransformer", MMCLS["VisionTransformer"][0])
    assert extractor.backbone.pos_embed.std() > 0.01  # zeros before init_weights()


def test_extractor_stays_frozen() -> None:
    extractor = build_extractor("shufflenet_v2_x0_5")
    before = copy.deepcopy(extractor.backbone.state_dict())
    assert extractor.train() is extractor
    assert not any(module.training for module in extractor.modules())
    assert not extractor(images(32)).requires_grad
    assert all(torch.equal(value, before[name]) for name, value in extractor.backbone.state_dict().items())


def test_arguments_reach_the_constructor() -> None:
    thin = build_extractor("mobilenet_v3_small", {"width_mult": 0.25})
    assert feature_dimension(thin, images(32)) == 256
    dilated = build_extractor("resnet50", {"replace_stride_with_dilation": [False, False, True]})
    assert dilated.backbone.layer4[0].conv2.stride == (1, 1)


@pytest.mark.parametrize(
    ("arch", "arguments", "message"),
    [
        ("resnet5", {}, "no classification model of torchvision is called 'resnet5'; did you mean 'resnet50', "),
        ("ResNet18", {}, "did you mean 'resnet18', "),
        ("fcn_resnet50", {}, "no classification model of torchvision is called 'fcn_resnet50'"),
        ("VisionTransformer", {}, "timm:NAME, open_clip:NAME/PRETRAINED and mmcls:TYPE"),
        ("mmcls:Resnet", {}, "no backbone of mmcls is called 'Resnet'; did you mean 'ResNet', "),
        ("mmcls:LinearClsHead", {}, "no backbone of mmcls is called 'LinearClsHead'"),
        ("mmcls:", {}, "no backbone of mmcls is called ''"),
        ("mmcls:ResNet", {}, "mmcls:ResNet needs the argument 'depth': --arch-arg depth=VALUE"),
        ("mmcls:ResNet", {"depth": 51}, "mmcls:ResNet cannot be built with depth=51: invalid depth 51 for resnet"),
        ("mmcls:ResNet", {"depth": 18, "num_stage": 3}, "no argument 'num_stage'; did you mean 'num_stages'?"),
        (
            "mmcls:VGG",
            {"depth": 11, "num_classes": 3},
            "accept the argument 'num_classes' here: the classifier is removed",
        ),
        (
            "mmcls:ResNet",
            {"depth": 18, "init_cfg": {}},
            "accept the argument 'init_cfg' here: use --weights or --checkpoint",
        ),
        ("mmcls:VisionTransformer", {"arch": "xs"}, "cannot be built with arch='xs': Arch xs is not in default archs"),
        ("resnet18", {"num_classes": 10}, "accept the argument 'num_classes' here: the classifier is removed"),
        ("resnet18", {"weights": "DEFAULT"}, "accept the argument 'weights' here: use --weights or --checkpoint"),
        ("resnet18", {"zero_init": True}, "has no argument 'zero_init'; did you mean 'zero_init_residual'?"),
        ("convnext_tiny", {"layer_scal": 1.0}, "has no argument 'layer_scal'; did you mean 'layer_scale'?"),
        ("mobilenet_v3_small", {"width": 0.5}, "has no argument 'width'"),
        ("resnet18", {"groups": 3}, "resnet18 cannot be built with groups=3: BasicBlock only supports groups=1"),
        ("vit_b_32", {"image_size": 65}, "vit_b_32 cannot be built with image_size=65: Input shape indivisible"),
    ],
)
def test_what_cannot_be_built_is_refused(arch: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        build_extractor(arch, arguments)
    assert message in str(caught.value)
    assert str(caught.value).count("\n") <= 1


@pytest.mark.parametrize(
    ("arch", "arguments", "side_px", "message"),
    [
        ("mmcls:LeNet5", {}, 32, "mmcls:LeNet5 rejects RGB images of 32x32 px: Given groups=1"),
        ("inception_v3", {}, 32, "inception_v3 rejects RGB images of 32x32 px"),
        (
            "mmcls:VisionTransformer",
            {**MMCLS["VisionTransformer"][0], "out_indices": []},
            16,
            "mmcls:VisionTransformer has no output: its out_indices contain no existing stage",
        ),
    ],
)
def test_images_that_do_not_fit_are_refused(arch: str, arguments: dict[str, Any], side_px: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        feature_dimension(build_extractor(arch, arguments), images(side_px))
    assert message in str(caught.value)


def test_building_reports_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        build_extractor("mmcls:Conformer", MMCLS["Conformer"][0])
    assert caplog.records == []
    assert capfd.readouterr().out == ""


def norms(extractor: FeatureExtractor) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in extractor.modules())


# What is left: of DenseNet the batch norms that stand before their convolution.
@pytest.mark.parametrize(
    ("arch", "arguments", "side_px", "left"),
    [
        ("resnet18", {}, 32, 0),
        ("densenet121", {}, 32, 62),
        ("mobilenet_v2", {}, 32, 0),
        ("efficientnet_b0", {}, 32, 0),
        ("regnet_y_400mf", {}, 32, 0),
        ("mmcls:ResNet", MMCLS["ResNet"][0], 16, 0),
        ("mmcls:EfficientNet", MMCLS["EfficientNet"][0], 32, 0),
        ("mmcls:SEResNet", MMCLS["SEResNet"][0], 16, 0),
    ],
)
def test_folding_keeps_the_features(arch: str, arguments: dict[str, Any], side_px: int, left: int) -> None:
    extractor = build_extractor(arch, arguments)
    with_moved_norms(extractor)
    before = copy.deepcopy(extractor.state_dict())
    x, other = images(side_px), images(side_px, 5)[2:]
    fast = folded(extractor, x)
    assert fast is not extractor
    assert norms(fast) == left < norms(extractor)
    expected, found = extractor(other), fast(other)
    assert (found - expected).abs().max() < 1e-4 * expected.std()
    assert not any(parameter.requires_grad for parameter in fast.parameters())
    assert (fast.arch, fast.arguments, fast.classifier) == (extractor.arch, extractor.arguments, extractor.classifier)
    assert before.keys() == extractor.state_dict().keys()
    assert all(torch.equal(value, before[name]) for name, value in extractor.state_dict().items())


def test_nothing_to_fold() -> None:
    extractor = build_extractor("mmcls:VisionTransformer", MMCLS["VisionTransformer"][0])
    assert folded(extractor, images(16)) is extractor


class Misordered(nn.Module):
    """Its layers run in another order than that in which they are registered."""

    def __init__(self, between: nn.Module, channels: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(channels)
        self.between = between

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.between(self.conv(x))).mean((2, 3))


@pytest.mark.parametrize(
    "between",
    [nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())],
    ids=("relu", "conv", "both"),
)
def test_folding_by_a_wrong_order_is_not_taken(between: nn.Module) -> None:
    torch.manual_seed(0)
    extractor = FeatureExtractor("made up", {}, with_moved_norms(Misordered(between)))
    assert folded(extractor, images(16)) is extractor


@pytest.mark.parametrize("name", ["ConvMixer", "RepMLPNet"])
def test_backbones_that_mmcv_would_fold_wrongly_are_left(name: str) -> None:
    arguments, side_px, _ = MMCLS[name]
    extractor = build_extractor(f"mmcls:{name}", arguments)
    with_moved_norms(extractor)
    assert folded(extractor, images(side_px)) is extractor


def test_layers_that_cannot_be_folded_are_left() -> None:
    torch.manual_seed(0)
    extractor = FeatureExtractor("made up", {}, with_moved_norms(Misordered(nn.Conv2d(4, 6, 1), channels=6)))
    assert folded(extractor, images(16)) is extractor
    plain = FeatureExtractor("made up", {}, nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False)))
    assert folded(plain, images(16)) is plain


def test_right_order_is_folded_in_the_made_up_module_too() -> None:
    torch.manual_seed(0)
    extractor = FeatureExtractor("made up", {}, with_moved_norms(Misordered(nn.Identity())))
    assert norms(folded(extractor, images(16))) == 0
