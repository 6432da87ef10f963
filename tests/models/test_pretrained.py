"""Weights from a file at initialisation, as mmcv's Pretrained gives them, but from files only."""

from pathlib import Path

import pytest
import torch

from clearctl.errors import RunError
from clearctl.models.classifier import Classifier, build_classifier

BACKBONE = dict(type="ResNet_CIFAR", depth=18, base_channels=4, stem_channels=4)
HEAD = dict(type="LinearClsHead", num_classes=5, in_channels=32)
VIT = dict(arch=dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8), patch_size=8)


def network(seed: int = 1, **arguments: object) -> tuple[Classifier, dict[str, list[str]]]:
    """The network and {key: names of the weights that were left as initialised}."""
    torch.manual_seed(seed)
    section = {
        "backbone": BACKBONE,
        "neck": dict(type="GlobalAveragePooling"),
        "head": HEAD,
        **arguments,
    }
    left: dict[str, list[str]] = {}
    return build_classifier(**section, on_left=lambda key, names: left.update({key: names})), left


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "with space.pth"
    torch.save({"state_dict": network(seed=7)[0].state_dict(), "meta": {"epoch": 3}}, file)
    return file


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    weights = other.state_dict()
    return all(torch.equal(value, weights[name]) for name, value in one.state_dict().items())


def test_pretrained_fills_the_whole_network(file: Path) -> None:
    model, left = network(pretrained=str(file))
    assert same(model, network(seed=7)[0])
    assert left == {"pretrained": []}
    assert not same(model, network(seed=1)[0])


def test_init_cfg_of_the_network_does_too(file: Path) -> None:
    cfg = dict(type="Pretrained", checkpoint=str(file))
    assert same(network(init_cfg=cfg)[0], network(seed=7)[0])
    constant = dict(type="Constant", layer="Linear", val=0.5, bias=0.25)
    model, _ = network(init_cfg=[cfg, constant])
    assert same(model.backbone, network(seed=7)[0].backbone)
    assert torch.equal(model.head.fc.weight, torch.full((5, 32), 0.5))


def test_init_cfg_of_the_backbone_with_a_prefix(file: Path) -> None:
    cfg = dict(type="Pretrained", checkpoint=str(file), prefix="backbone")
    for init_cfg in (cfg, [cfg], [dict(type="Kaiming", layer="Conv2d"), {**cfg, "prefix": "backbone."}]):
        model, left = network(backbone=dict(**BACKBONE, init_cfg=init_cfg))
        assert same(model.backbone, network(seed=7)[0].backbone)
        assert not torch.equal(model.head.fc.weight, network(seed=7)[0].head.fc.weight)
        assert left == {"backbone.init_cfg": []}


def test_a_head_of_other_classes_stays_as_initialised(file: Path) -> None:
    model, left = network(pretrained=str(file), head={**HEAD, "num_classes": 3})
    assert left == {"pretrained": ["head.fc.weight", "head.fc.bias"]}
    assert same(model.backbone, network(seed=7)[0].backbone)
    assert model.head.fc.weight.std().item() == pytest.approx(0.01, rel=0.5)  # LinearClsHead's Normal


def test_weights_of_a_backbone_alone_fit_the_network(tmp_path: Path) -> None:
    file = tmp_path / "backbone.pth"
    torch.save(network(seed=7)[0].backbone.state_dict(), file)
    model, left = network(pretrained=str(file))
    assert same(model.backbone, network(seed=7)[0].backbone)
    assert left == {"pretrained": ["head.fc.weight", "head.fc.bias"]}


def test_position_embeddings_are_resized_as_mmcls_does(tmp_path: Path) -> None:
    head = dict(type="VisionTransformerClsHead", num_classes=3, in_channels=8)
    large, _ = network(backbone=dict(type="VisionTransformer", img_size=32, **VIT), neck=None, head=head)
    file = tmp_path / "vit.pth"
    torch.save(large.state_dict(), file)
    small, left = network(
        seed=2,
        backbone=dict(type="VisionTransformer", img_size=16, **VIT),
        neck=None,
        head=head,
        pretrained=str(file),
    )
    assert left == {"pretrained": []}
    assert small.backbone.pos_embed.shape == (1, 5, 8)
    assert torch.equal(small.backbone.pos_embed[:, 0], large.backbone.pos_embed[:, 0])
    assert torch.equal(small.backbone.layers[0].ln1.weight, large.backbone.layers[0].ln1.weight)


@pytest.mark.parametrize(
    "address", ["https://download.openmmlab.com/resnet50.pth", "torchvision://resnet50", "open-mmlab://resnet50_v1c"]
)
def test_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match=f"found '{address}': clearctl fetches no weights; download them"):
        network(pretrained=address)


def test_a_file_of_something_else_is_refused(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "other.pth"
    torch.save({"a.weight": torch.zeros(2)}, other)
    with pytest.raises(ValueError, match=r"other.pth holds none of the weights of Classifier"):
        network(pretrained=str(other))
    cfg = dict(type="Pretrained", checkpoint=str(file), prefix="bakbone")
    with pytest.raises(ValueError, match="holds under the prefix 'bakbone.' none of the weights of ResNet_CIFAR"):
        network(backbone=dict(**BACKBONE, init_cfg=cfg))
    with pytest.raises(RunError, match="no checkpoint at"):
        network(pretrained=str(tmp_path / "missing.pth"))


def test_pickled_code_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "code.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "meta": Path("x")}, file)
    with pytest.raises(RunError, match="refused: it holds more than weights"):
        network(pretrained=str(file))
