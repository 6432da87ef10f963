"""The network that a config's model section describes."""

import copy
import logging

import pytest
import torch

from clearctl.models.classifier import PASSES_BEFORE_COMPILING, Classifier, build_classifier, loss_scaled
from clearctl.models.registry import AUGMENTS, BACKBONES, HEADS, LOSSES, NECKS, TORCH_MODELS

BACKBONE = dict(
    type="ResNet",
    depth=18,
    num_stages=2,
    strides=(1, 2),
    dilations=(1, 1),
    out_indices=(1,),
    stem_channels=4,
    base_channels=4,
)
NECK = dict(type="GlobalAveragePooling")
HEAD = dict(type="LinearClsHead", num_classes=5, in_channels=8)


def small(**arguments: object) -> Classifier:
    torch.manual_seed(0)
    return build_classifier(**{"backbone": BACKBONE, "neck": NECK, "head": HEAD, **arguments})


def test_images_become_scores() -> None:
    model = small().eval()
    x = torch.randn(2, 3, 16, 16)
    scores = model(x)
    assert scores.shape == (2, 5)
    assert scores.dtype == torch.float32
    pooled = model.backbone(x)[0].mean((2, 3))
    assert torch.allclose(scores, pooled @ model.head.fc.weight.T + model.head.fc.bias, atol=1e-6)
    assert not torch.allclose(scores.sum(1), torch.ones(2))  # scores, not probabilities


def test_features_become_scores_without_a_backbone() -> None:
    model = build_classifier(head=HEAD)
    x = torch.randn(3, 8)
    assert torch.equal(model(x), model.head.fc(x))
    assert set(model.state_dict()) == {"head.fc.weight", "head.fc.bias"}


def test_torch_module_stands_alone() -> None:
    model = build_classifier(torchmodel=dict(type="Linear", in_features=4, out_features=2, bias=False))
    assert isinstance(model, torch.nn.Linear)
    assert (model.weight.shape, model.bias) == ((2, 4), None)


def test_sections_are_not_changed_by_building() -> None:
    before = copy.deepcopy((BACKBONE, NECK, HEAD))
    small()
    assert before == (BACKBONE, NECK, HEAD)


def test_same_seed_gives_the_same_weights() -> None:
    one, other = small().state_dict(), small().state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert len(one) > 20


def test_init_cfg_is_applied() -> None:
    model = small(init_cfg=dict(type="Constant", layer="Linear", val=0.25, bias=0.5))
    assert torch.equal(model.head.fc.weight, torch.full((5, 8), 0.25))
    assert torch.equal(model.head.fc.bias, torch.full((5,), 0.5))
    assert model.backbone.conv1.weight.unique().numel() > 10  # other layers are as they were


def test_init_cfg_of_a_part_is_applied() -> None:
    model = small(head=dict(**HEAD, init_cfg=dict(type="Constant", layer="Linear", val=0.125)))
    assert torch.equal(model.head.fc.weight, torch.full((5, 8), 0.125))


def test_building_reports_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        small(init_cfg=dict(type="Normal", layer="Linear", std=0.1))
    assert capfd.readouterr().out == ""
    assert caplog.records == []


@pytest.mark.parametrize("freeze", [(), ("backbone",), ("backbone", "neck"), ("head",)])
def test_frozen_parts_have_no_gradient_and_stay_in_eval_mode(freeze: tuple[str, ...]) -> None:
    model = small(freeze=freeze)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, _ in model.named_parameters() if not name.startswith(freeze or ("none",))}
    for _ in range(2):
        modes = {name: part.training for name, part in model.named_children()}
        assert modes == {name: name not in freeze for name in ("backbone", "neck", "head")}
        model.eval()
        assert not any(module.training for module in model.modules())
        model.train()


def test_frozen_parts_do_not_move_in_a_step() -> None:
    model = small(freeze=["backbone"])
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    model(torch.randn(4, 3, 16, 16)).sum().backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.fc.weight", "head.fc.bias"}


def test_copy_of_a_frozen_network_is_frozen() -> None:
    copied = copy.deepcopy(small(freeze=["backbone"])).train()  # as Avalanche's LwF copies its teacher
    assert not copied.backbone.training
    assert copied.head.training


def test_registries_have_the_usual_names() -> None:
    for name in ("ResNet", "VisionTransformer", "SwinTransformer", "ConvNeXt", "MobileNetV2"):
        assert BACKBONES.fault(name) is None
    assert TORCH_MODELS.fault("Linear") is None
    assert TORCH_MODELS.fault("functional").startswith("no torch module is called 'functional'")
    assert set(NECKS.classes) == {"GlobalAveragePooling", "GeneralizedMeanPooling", "HRFuseScales"}
    assert {"BatchMixup", "BatchCutMix", "BatchResizeMix"} <= set(AUGMENTS.classes)
    assert set(LOSSES.classes) == {
        "AsymmetricLoss",
        "CrossEntropyLoss",
        "FocalLoss",
        "LabelSmoothLoss",
        "SeesawLoss",
    }


def test_a_part_is_not_taken_for_another_though_mmcls_has_one_registry_for_all() -> None:
    assert BACKBONES.fault("LinearClsHead") == "no backbone is called 'LinearClsHead'"
    assert HEADS.fault("ResNet").startswith("no head is called 'ResNet'")


def test_own_head_is_not_in_the_registry_of_mmcls() -> None:
    from mmcls.models import builder

    assert HEADS.fault("CosineDistanceHead") is None
    assert builder.HEADS.get("CosineDistanceHead") is None


@pytest.mark.parametrize("name", ["MultiLabelClsHead", "MultiLabelLinearClsHead", "CSRAClsHead"])
def test_heads_of_several_labels_are_refused(name: str) -> None:
    reason = "it predicts several labels per image; CLEAR has one"
    assert HEADS.fault(name) == f"head {name!r} cannot be used: {reason}"


def test_a_neck_may_be_a_list() -> None:
    model = small(neck=[NECK])
    assert torch.equal(model.eval()(torch.ones(2, 3, 16, 16)), small().eval()(torch.ones(2, 3, 16, 16)))


def test_a_head_takes_its_loss_and_what_mmcls_reports_with_it() -> None:
    head = dict(**HEAD, loss=dict(type="LabelSmoothLoss", label_smooth_val=0.1), cal_acc=True)
    for topk in ((1, 5), [1, 5], 1):
        model = small(head=dict(**head, topk=topk))
        assert type(model.head.compute_loss).__name__ == "LabelSmoothLoss"
        assert model(torch.ones(2, 3, 16, 16)).shape == (2, 5)


# Precision, memory format, compilation


def dtypes_inside(model: Classifier, x: torch.Tensor) -> tuple[torch.dtype, torch.dtype, torch.dtype]:
    """Of the backbone's output, of the head's layer's and of the scores."""
    seen = {}
    watches = [
        model.backbone.register_forward_hook(lambda module, inputs, stages: seen.update(backbone=stages[-1].dtype)),
        model.head.fc.register_forward_hook(lambda module, inputs, scores: seen.update(head=scores.dtype)),
    ]
    scores = model(x)
    for watch in watches:
        watch.remove()
    return seen["backbone"], seen["head"], scores.dtype


IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_precision_reaches_the_network_and_its_copies_and_leaves_scores_and_gradients_wide() -> None:
    model = small()
    model.autocast = torch.bfloat16
    for network in (model, copy.deepcopy(model)):
        assert dtypes_inside(network, IMAGES) == (torch.bfloat16, torch.bfloat16, torch.float32)
    model(IMAGES).sum().backward()
    assert {p.grad.dtype for p in model.parameters()} == {torch.float32}
    near, exact = model.eval()(IMAGES), small().eval()(IMAGES)
    assert not torch.equal(near, exact)
    assert torch.allclose(near, exact, atol=2e-2)


def test_float16_is_only_for_passes_without_gradients_or_with_a_scaled_loss() -> None:
    model = small()
    model.autocast = torch.float16
    half, wide = (torch.float16, torch.float16, torch.float32), (torch.float32,) * 3
    assert dtypes_inside(model, IMAGES) == wide
    with loss_scaled():
        assert dtypes_inside(model, IMAGES) == half
    assert dtypes_inside(model, IMAGES) == wide
    with torch.no_grad():
        assert dtypes_inside(copy.deepcopy(model), IMAGES) == half


def test_channels_last_reaches_the_network_and_its_copies_and_changes_no_score() -> None:
    model = small().eval()
    model.channels_last = True
    formats = []
    for network in (model, copy.deepcopy(model)):
        watch = network.backbone.register_forward_pre_hook(lambda module, inputs: formats.append(inputs[0].stride()))
        assert torch.allclose(network(IMAGES), small().eval()(IMAGES), atol=1e-6)
        watch.remove()
    assert formats == [IMAGES.contiguous(memory_format=torch.channels_last).stride()] * 2


@pytest.mark.slow
def test_compiled_network_keeps_names_scores_gradients_and_copies() -> None:
    from torch._dynamo.utils import counters

    def graphs() -> int:
        return counters["stats"]["unique_graphs"]

    model, plain = (small(backbone=dict(type="LeNet5"), head={**HEAD, "in_channels": 120}) for _ in "ab")
    digits = torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    model.compile_parts()
    assert list(model.state_dict()) == list(plain.state_dict())
    before = graphs()
    for _ in range(PASSES_BEFORE_COMPILING):
        assert torch.equal(model(digits), plain(digits))
    assert graphs() == before  # not compiled yet
    assert torch.allclose(model(digits), plain(digits), atol=1e-5)
    compiled = graphs()
    assert compiled > before
    assert torch.equal(model(digits[:3]), plain(digits[:3]))  # an odd last batch
    for network in (model, plain):
        network.zero_grad()
        network(digits).square().sum().backward()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-3, rtol=1e-3)
    copied = copy.deepcopy(model)
    assert copied.compiled
    assert torch.allclose(copied(digits), plain(digits), atol=1e-4)
    assert graphs() == compiled  # the copy runs what was compiled
    with torch.no_grad():
        model.head.fc.weight.zero_()
    assert not torch.allclose(copied(digits), model(digits))
