"""Weights from a file: at initialisation as mmcv's Pretrained gives them, and by load_from; from files only."""

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from clearctl.errors import RunError
from clearctl.models.classifier import Classifier, build_classifier
from clearctl.models.pretrained import load_network

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
    with pytest.raises(ValueError, match=f"found '{address}': weights are not downloaded; give the path"):
        network(pretrained=address)


def test_a_file_of_something_else_is_refused(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "other.pth"
    torch.save({"a.weight": torch.zeros(2)}, other)
    with pytest.raises(ValueError, match=r"other.pth has none of the weights of Classifier"):
        network(pretrained=str(other))
    cfg = dict(type="Pretrained", checkpoint=str(file), prefix="bakbone")
    with pytest.raises(ValueError, match="has under the prefix 'bakbone.' none of the weights of ResNet_CIFAR"):
        network(backbone=dict(**BACKBONE, init_cfg=cfg))
    with pytest.raises(RunError, match="no checkpoint at"):
        network(pretrained=str(tmp_path / "missing.pth"))


def test_pickled_code_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "code.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "meta": Path("x")}, file)
    with pytest.raises(RunError, match="refused: it contains more than weights"):
        network(pretrained=str(file))


# Raw checkpoints of self-supervised methods, whose backbone is under a name of theirs


def moco(backbone: dict, other: dict) -> dict:
    weights = {
        "module.queue": torch.zeros(128, 8),
        **{f"module.encoder_k.{name}": value for name, value in other.items()},
        **{f"module.encoder_q.{name}": value for name, value in backbone.items()},
        "module.encoder_q.fc.0.weight": torch.zeros(32, 32),
        "module.encoder_q.fc.2.weight": torch.zeros(8, 32),
    }
    return {"epoch": 200, "arch": "resnet50", "state_dict": weights, "optimizer": {"state": {}, "param_groups": []}}


def moco_v3(backbone: dict, other: dict) -> dict:
    weights = {f"module.base_encoder.{name}": value for name, value in backbone.items()}
    weights |= {f"module.momentum_encoder.{name}": value for name, value in other.items()}
    return {"state_dict": weights | {"module.predictor.0.weight": torch.zeros(3, 3)}}


def byol(backbone: dict, other: dict) -> dict:
    """As converted from JAX: without counters, with ImageNet's classifier."""
    weights = {name: value for name, value in backbone.items() if "num_batches" not in name}
    return {**weights, "fc.weight": torch.zeros(1000, 32), "fc.bias": torch.zeros(1000)}


def byol_as_trained(backbone: dict, other: dict) -> dict:
    weights = {f"online_network.encoder.{name}": value for name, value in backbone.items()}
    weights |= {f"target_network.encoder.{name}": value for name, value in other.items()}
    return {"state_dict": weights | {"online_network.projector.model.0.weight": torch.zeros(4, 4)}}


def dino(backbone: dict, other: dict) -> dict:
    return {
        "student": {f"module.backbone.{name}": value for name, value in other.items()},
        "teacher": {
            **{f"backbone.{name}": value for name, value in backbone.items()},
            "head.last.weight_g": torch.ones(4),
        },
        "args": argparse.Namespace(arch="resnet50", lr=0.03),
    }


def wrapped(backbone: dict, other: dict) -> dict:
    """A network of mmcls's kind inside another module."""
    return {"state_dict": {f"model.backbone.{name}": value for name, value in backbone.items()}}


RAW = [
    (moco, "encoder_q."),
    (moco_v3, "base_encoder."),
    (byol, ""),
    (byol_as_trained, "online_network.encoder."),
    (dino, ""),
    (wrapped, "model."),
]


@pytest.fixture(params=RAW, ids=lambda form: form[0].__name__)
def raw(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """(a checkpoint file that holds the backbone of network(seed=7), the prefix of its names)."""
    form, prefix = request.param
    file = tmp_path / "raw.pth"
    torch.save(form(network(seed=7)[0].backbone.state_dict(), network(seed=8)[0].backbone.state_dict()), file)
    return file, prefix


def test_load_from_takes_raw_checkpoints(raw: tuple[Path, str]) -> None:
    file, prefix = raw
    model = network(seed=1)[0]
    report = load_network(model, file)
    assert same(model.backbone, network(seed=7)[0].backbone)
    assert same(model.head, network(seed=1)[0].head)
    assert (report.prefix, report.left_random) == (prefix, ("head.fc.weight", "head.fc.bias"))


def test_pretrained_takes_raw_checkpoints(raw: tuple[Path, str]) -> None:
    file, _ = raw
    left_of_all = ["head.fc.weight", "head.fc.bias"]
    cfg = dict(type="Pretrained", checkpoint=str(file))
    for section, left in (
        ({"pretrained": str(file)}, {"pretrained": left_of_all}),
        ({"init_cfg": cfg}, {"init_cfg": left_of_all}),
        ({"backbone": {**BACKBONE, "init_cfg": cfg}}, {"backbone.init_cfg": []}),
    ):
        model, found = network(seed=1, **section)
        assert same(model.backbone, network(seed=7)[0].backbone)
        assert found == left


def test_load_from_takes_all_of_a_network_with_its_counters(tmp_path: Path) -> None:
    source = network(seed=7)[0]
    source(torch.randn(2, 3, 8, 8))
    file = tmp_path / "exp_1.pth"
    torch.save(source.state_dict(), file)
    model = network(seed=1)[0]
    report = load_network(model, file)
    assert (report.prefix, report.left_random) == ("", ())
    assert same(model, source)
    assert model.backbone.bn1.num_batches_tracked == 1


def test_load_from_adapts_position_embeddings(tmp_path: Path) -> None:
    head = dict(type="VisionTransformerClsHead", num_classes=3, in_channels=8)

    def vit(size: int, seed: int) -> Classifier:
        return network(seed, backbone=dict(type="VisionTransformer", img_size=size, **VIT), neck=None, head=head)[0]

    file = tmp_path / "vit.pth"
    torch.save(vit(32, 7).state_dict(), file)
    model = vit(16, 1)
    assert load_network(model, file).left_random == ()
    assert torch.equal(model.backbone.pos_embed[:, 0], vit(32, 7).backbone.pos_embed[:, 0])


def of_seed(**changes: object) -> Callable[[], dict]:
    return lambda: network(7, backbone={**BACKBONE, **changes})[0].state_dict()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (of_seed(depth=34), "the model: unexpected: backbone.layer1.2.conv1.weight, backbone.layer1.2.bn1.weight"),
        (
            of_seed(stem_channels=8),
            r"the model: .*other shape: backbone.conv1.weight \[8, 3, 3, 3\] for \[4",
        ),
        (
            lambda: {k: v for k, v in network(7)[0].backbone.state_dict().items() if "layer4" not in k},
            "the model: missing: backbone.layer4.0.conv1.weight",
        ),
        (
            lambda: {f"encoder_q.{k}": v for k, v in network(7)[0].backbone.state_dict().items() if "bn1" not in k},
            r"the model \(under its prefix 'encoder_q.'\): missing: backbone.bn1.weight",
        ),
        (lambda: {"a.weight": torch.zeros(2)}, "the model: missing: backbone.conv1.weight"),
    ],
)
def test_load_from_refuses_another_network(weights: Callable[[], dict], message: str, tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    torch.save(weights(), file)
    with pytest.raises(RunError, match=f"other.pth does not fit {message}"):
        load_network(network(1)[0], file)


def test_load_from_into_a_torchmodel(tmp_path: Path) -> None:
    source, model = (build_classifier(torchmodel=dict(type="Linear", in_features=4, out_features=3)) for _ in range(2))
    file = tmp_path / "linear.pth"
    torch.save(source.state_dict(), file)
    assert load_network(model, file).left_random == ()
    assert same(model, source)
    torch.save({"weight": torch.zeros(2, 9), "bias": torch.zeros(2)}, file)
    with pytest.raises(RunError, match=r"does not fit the model: other shape: weight \[2, 9\] for \[3, 4\]"):
        load_network(model, file)


# Damaged files, and weights that cannot be used


def pretrained(file: Path) -> None:
    network(pretrained=str(file))


def init_cfg(file: Path) -> None:
    network(backbone=dict(**BACKBONE, init_cfg=dict(type="Pretrained", checkpoint=str(file), prefix="backbone")))


def load_from(file: Path) -> None:
    load_network(network()[0], file)


WAYS = (pretrained, init_cfg, load_from)
KEY = "backbone.conv1.weight"


def refused(way: Callable[[Path], None], file: Path) -> str:
    with pytest.raises(RunError) as caught:
        way(file)
    assert caught.value.exit_code == 5
    return str(caught.value)


def with_weight(file: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Write a network's weights, that of `KEY` changed."""
    weights = network(seed=7)[0].state_dict()
    weights[KEY] = change(weights[KEY])
    torch.save(weights, file)


@pytest.mark.parametrize("way", WAYS)
def test_a_flipped_bit_is_refused(way: Callable[[Path], None], file: Path) -> None:
    way(file)
    data = bytearray(file.read_bytes())
    weight = network(seed=7)[0].state_dict()[KEY]
    data[data.index(weight.numpy().tobytes()) + 40] ^= 1
    file.write_bytes(data)
    first, second = refused(way, file).split("\n")
    assert first.startswith(f"{file} is damaged: its entry with space/data/")
    assert first.endswith(" has a wrong CRC-32")
    assert second == "copy or download it again"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float, way: Callable[[Path], None], tmp_path: Path) -> None:
    def change(weight: torch.Tensor) -> torch.Tensor:
        weight[1, 0, 2, 2] = value
        return weight

    with_weight(tmp_path / "file.pth", change)
    key = "conv1.weight" if way is init_cfg else KEY  # what is left of the key when its prefix is cut off
    assert refused(way, tmp_path / "file.pth") == (
        f"{tmp_path}/file.pth has weights that are not finite: {key}\n"
        "its training diverged, or the file is damaged: give another checkpoint"
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_weights_that_are_not_floating_point_are_refused(
    dtype: torch.dtype, way: Callable[[Path], None], tmp_path: Path
) -> None:
    with_weight(tmp_path / "file.pth", lambda weight: weight.to(dtype))
    name = f"{'conv1.weight' if way is init_cfg else KEY} ({str(dtype).removeprefix('torch.')})"
    assert refused(way, tmp_path / "file.pth") == (
        f"{tmp_path}/file.pth has weights that are not floating-point numbers as the model's are: {name}\n"
        "save them as float32, or give another checkpoint"
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("sparse_coo", lambda weight: weight.to_sparse()),
        ("quantized", lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)),
        ("meta", lambda weight: weight.to("meta")),
    ],
)
def test_tensors_that_hold_no_array_are_refused(
    kind: str, change: Callable[[torch.Tensor], torch.Tensor], way: Callable[[Path], None], tmp_path: Path
) -> None:
    with_weight(tmp_path / "file.pth", change)
    assert refused(way, tmp_path / "file.pth") == (
        f"{tmp_path}/file.pth has weights that are not plain tensors: {KEY} ({kind})\n"
        "save them as dense tensors of floating-point numbers"
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_types_are_converted(
    dtype: torch.dtype, way: Callable[[Path], None], tmp_path: Path
) -> None:
    with_weight(tmp_path / "file.pth", lambda weight: weight.to(dtype))
    way(tmp_path / "file.pth")


def test_infinities_that_the_module_itself_is_made_of_are_taken(tmp_path: Path) -> None:
    class Masked(torch.nn.Linear):
        def __init__(self) -> None:
            super().__init__(2, 2)
            self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))

    weights = Masked().state_dict()
    torch.save(weights, tmp_path / "file.pth")
    module = Masked()
    load_network(module, tmp_path / "file.pth")
    assert torch.equal(module.weight, weights["weight"])
    torch.save({**weights, "mask": torch.tensor([torch.nan, -torch.inf])}, tmp_path / "file.pth")
    assert "not finite: mask\n" in refused(lambda file: load_network(Masked(), file), tmp_path / "file.pth")


def test_what_torch_cannot_copy_is_not_passed_over(file: Path) -> None:
    class Choosy(torch.nn.Linear):
        def _load_from_state_dict(self, *given: object) -> None:
            given[-1].append("While copying the parameter named 'weight': it is refused.\nand more")  # type: ignore

    torch.save(torch.nn.Linear(2, 2).state_dict(), file)
    with pytest.raises(RunError, match="cannot be copied into the model: While copying the parameter named 'weight'"):
        load_network(Choosy(2, 2), file)


def test_weights_that_nothing_takes_may_be_of_any_value(tmp_path: Path) -> None:
    weights = network(seed=7)[0].state_dict()
    queue = {"queue": torch.full((2,), torch.nan), "queue_ptr": torch.zeros(1, dtype=torch.int64)}
    torch.save({**weights, **queue}, tmp_path / "file.pth")
    for way in WAYS:
        way(tmp_path / "file.pth")
