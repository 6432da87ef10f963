"""Files of weights in the shapes that the field makes, and what an extractor takes from them.

The files have the names and shapes of the real ones, but are small: each weight is one number, repeated.
"""

import argparse
import copy
import hashlib
import threading
from collections.abc import Iterator, Mapping
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from mmcls.models import build_backbone
from torch import nn
from torchvision import models

from clearctl.errors import CapabilityError, RunError, UsageError
from clearctl.models.extractor import FeatureExtractor
from clearctl.models.fitting import differences
from clearctl.models.state_dict import read_weights
from clearctl.models.weights import load_checkpoint, weights_digest
from clearctl.models.zoo.build import build_extractor, load_default_weights
from clearctl.progress import Message

Shapes = dict[str, torch.Size]

RESNET = dict(depth=18, stem_channels=4, base_channels=4)
SWIN = dict(arch=dict(embed_dims=4, depths=[1, 2, 1, 1], num_heads=[1] * 4), img_size=32, window_size=4)
VIT = dict(arch=dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8), patch_size=8)


@cache
def torchvision_shapes(name: str, **arguments: Any) -> Shapes:
    """Of torchvision's whole model, as its files have them: with the classifier."""
    with torch.device("meta"):
        return shapes(models.get_model(name, **arguments))


def shapes(module: nn.Module) -> Shapes:
    return {name: value.shape for name, value in module.state_dict().items() if "num_batches" not in name}


def without_fc(of_model: Shapes) -> Shapes:
    return {name: shape for name, shape in of_model.items() if not name.startswith("fc.")}


def numbered(of_model: Shapes, prefix: str = "", first: int = 1) -> dict[str, torch.Tensor]:
    """{prefix + name: a number of its own, repeated}; it takes no space on disk."""
    numbers = enumerate(of_model.items(), first)
    return {prefix + name: torch.tensor(float(number)).expand(shape) for number, (name, shape) in numbers}


def saved(content: Any, folder: Path) -> Path:
    file = folder / "with space.pth"
    torch.save(content, file)
    assert file.stat().st_size < 400_000
    return file


def holds(extractor: FeatureExtractor, expected: Mapping[str, torch.Tensor]) -> bool:
    """Whether every weight is the one of that name in `expected`."""
    own = {name: value for name, value in extractor.backbone.state_dict().items() if "num_batches" not in name}
    return all(torch.equal(value, expected[name]) for name, value in own.items())


@pytest.fixture
def resnet18() -> FeatureExtractor:
    return build_extractor("resnet18")


R18 = torchvision_shapes("resnet18")
PROJECTION = {
    "fc.0.weight": torch.Size([512, 512]),
    "fc.0.bias": torch.Size([512]),
    "fc.2.weight": torch.Size([9, 512]),
}
BACKBONE = numbered(without_fc(R18))


def test_moco_v2(resnet18: FeatureExtractor, tmp_path: Path) -> None:
    encoder = {**without_fc(R18), **PROJECTION}
    weights = {
        "module.queue": torch.zeros(()).expand(128, 65536),
        "module.queue_ptr": torch.zeros(1, dtype=torch.long),
        **numbered(encoder, "module.encoder_k.", first=1000),
        **numbered(encoder, "module.encoder_q."),
    }
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.03, "params": [0]}]}
    file = saved({"epoch": 200, "arch": "resnet18", "state_dict": weights, "optimizer": optimizer}, tmp_path)
    report = load_checkpoint(resnet18, file)
    assert holds(resnet18, BACKBONE)
    assert (report.prefix, report.left_random) == ("encoder_q.", ())


def test_moco_v3(resnet18: FeatureExtractor, tmp_path: Path) -> None:
    momentum = numbered({**without_fc(R18), **PROJECTION}, "module.momentum_encoder.", first=1000)
    base = numbered({**without_fc(R18), **PROJECTION}, "module.base_encoder.")
    predictor = {"module.predictor.0.weight": torch.zeros(3, 3)}
    report = load_checkpoint(resnet18, saved({"state_dict": {**momentum, **predictor, **base}}, tmp_path))
    assert report.prefix == "base_encoder."
    assert holds(resnet18, BACKBONE)
    assert load_checkpoint(resnet18, saved({"state_dict": momentum}, tmp_path)).prefix == "momentum_encoder."
    assert holds(resnet18, numbered(without_fc(R18), first=1000))


def test_byol_as_converted_from_jax(resnet18: FeatureExtractor, tmp_path: Path) -> None:
    weights = numbered(R18)  # without counters, the kernels permuted
    weights["conv1.weight"] = torch.randn(7, 7, 3, 64).permute(3, 2, 0, 1)
    report = load_checkpoint(resnet18, saved(weights, tmp_path))
    assert (report.prefix, report.left_random) == ("", ())
    assert holds(resnet18, weights)


@pytest.mark.parametrize(
    ("online", "target"),
    [
        ("online_network.encoder.", "target_network.encoder."),
        ("module.online_net.backbone.", "module.target_net.backbone."),
        ("net.", "target_encoder.net."),
    ],
)
def test_byol_as_trained(online: str, target: str, resnet18: FeatureExtractor, tmp_path: Path) -> None:
    weights = {
        **numbered(without_fc(R18), online),
        "online_network.projector.model.0.weight": torch.zeros(4, 4),
        **numbered(without_fc(R18), target, first=1000),
    }
    report = load_checkpoint(resnet18, saved({"state_dict": weights, "hyper_parameters": {"lr": 0.2}}, tmp_path))
    assert report.prefix == online.removeprefix("module.")
    assert holds(resnet18, BACKBONE)


def test_dino(resnet18: FeatureExtractor, tmp_path: Path) -> None:
    load_checkpoint(resnet18, saved(BACKBONE, tmp_path))
    assert holds(resnet18, BACKBONE)
    head = {"head.mlp.0.weight": torch.zeros(4, 4), "head.last_layer.weight_g": torch.ones(4, 1)}
    training = {
        "student": {**numbered(without_fc(R18), "module.backbone."), **{f"module.{k}": v for k, v in head.items()}},
        "teacher": {**numbered(without_fc(R18), "backbone.", first=1000), **head},
        "optimizer": {"state": {}, "param_groups": []},
        "args": argparse.Namespace(arch="resnet18", lr=0.03),
        "dino_loss": {"center": torch.zeros(1, 4)},
    }
    report = load_checkpoint(resnet18, saved(training, tmp_path))
    assert report.prefix == "backbone."
    assert holds(resnet18, numbered(without_fc(R18), first=1000))


def test_mmcls(resnet18: FeatureExtractor, tmp_path: Path) -> None:
    extractor = build_extractor("mmcls:ResNet", RESNET)
    of_backbone = shapes(extractor.backbone)
    head = {"head.fc.weight": torch.zeros(1000, 32), "head.fc.bias": torch.zeros(1000)}
    meta = {"mmcls_version": "0.25.0", "CLASSES": ["tench"], "epoch": 100}
    file = saved({"meta": meta, "state_dict": {**numbered(of_backbone, "backbone."), **head}}, tmp_path)
    report = load_checkpoint(extractor, file)
    assert (report.prefix, report.left_random) == ("backbone.", ())
    assert holds(extractor, numbered(of_backbone))
    # Its ResNet has torchvision's names, so that either takes the other's files.
    file = saved({"meta": meta, "state_dict": {**numbered(without_fc(R18), "backbone."), **head}}, tmp_path)
    assert load_checkpoint(resnet18, file).prefix == "backbone."
    assert holds(resnet18, BACKBONE)


def test_file_that_mmcls_wrote(tmp_path: Path) -> None:
    torch.manual_seed(5)
    original = build_backbone(dict(type="MobileNetV2", widen_factor=0.1))
    original.eval()
    file = tmp_path / "epoch_1.pth"
    torch.save({"state_dict": {f"backbone.{name}": value for name, value in original.state_dict().items()}}, file)
    extractor = build_extractor("mmcls:MobileNetV2", {"widen_factor": 0.1})
    x = torch.randn(2, 3, 32, 32)
    expected = original(x)[-1].mean((2, 3))
    assert not torch.equal(extractor(x), expected)
    load_checkpoint(extractor, file)
    assert torch.equal(extractor(x), expected)


def test_swin_of_an_earlier_mmcls(tmp_path: Path) -> None:
    extractor = build_extractor("mmcls:SwinTransformer", SWIN)
    expected = numbered(shapes(extractor.backbone))
    earlier = {f"backbone.{name.replace('norm3.', 'norm.')}": value for name, value in expected.items()}
    assert "backbone.norm.weight" in earlier
    earlier["backbone.stages.1.blocks.1.attn_mask"] = torch.zeros(4, 16, 16)
    load_checkpoint(extractor, saved({"state_dict": earlier}, tmp_path))
    assert holds(extractor, expected)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_file_of_torchvision(zipped: bool, tmp_path: Path) -> None:
    torch.manual_seed(5)
    original = models.get_model("shufflenet_v2_x0_5").eval()
    file = tmp_path / "shufflenetv2_x0.5.pth"
    weights = {**original.state_dict(), **dict(original.named_parameters())}  # old files hold nn.Parameters
    torch.save(weights, file, _use_new_zipfile_serialization=zipped)
    extractor = build_extractor("shufflenet_v2_x0_5")
    report = load_checkpoint(extractor, file)
    assert (report.prefix, report.left_random) == ("", ())
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(original.fc(extractor(x)), original(x))
    assert not any(parameter.requires_grad for parameter in extractor.parameters())


@pytest.mark.parametrize(
    ("arch", "arguments", "earlier"),
    [
        ("densenet121", {}, {"norm1.": "norm.1.", "norm2.": "norm.2.", "conv1.": "conv.1.", "conv2.": "conv.2."}),
        ("vit_b_32", {"image_size": 32}, {".mlp.0.": ".mlp.linear_1.", ".mlp.3.": ".mlp.linear_2."}),
        ("mnasnet0_5", {}, {}),
        ("mobilenet_v3_small", {}, {}),  # a part of its classifier belongs to the backbone
    ],
)
def test_files_of_torchvision_early_and_late(
    arch: str, arguments: dict[str, Any], earlier: dict[str, str], tmp_path: Path
) -> None:
    today = numbered(torchvision_shapes(arch, **arguments))
    in_file = {}
    for name, value in today.items():
        for new, old in earlier.items():
            name = name.replace(new, old)
        in_file[name] = value
    assert bool(earlier) == (in_file.keys() != today.keys())
    extractor = build_extractor(arch, arguments)
    load_checkpoint(extractor, saved(in_file, tmp_path))
    assert holds(extractor, today)


@pytest.mark.parametrize("arch", ["googlenet", "inception_v3"])
def test_classifiers_inside_are_ignored_and_the_input_is_converted(arch: str, tmp_path: Path) -> None:
    of_model = torchvision_shapes(arch, init_weights=False)
    file = saved(numbered(of_model), tmp_path)
    extractor = build_extractor(arch)
    assert not extractor.backbone.transform_input  # as torchvision does it without weights
    load_checkpoint(extractor, file)
    assert holds(extractor, numbered(of_model))
    assert extractor.backbone.transform_input
    own = build_extractor(arch, {"transform_input": False})
    load_checkpoint(own, file)
    assert not own.backbone.transform_input


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: {"state_dict": weights, "epoch": 3},
        lambda weights: {"model": weights, "optimizer": {"state": {}}},
        lambda weights: {"state_dict": {"model": weights}},
        lambda weights: {"net": weights},
        lambda weights: {"epoch": 3, "optimizer": {"state": {}, "param_groups": []}, "online_network": weights},
        lambda weights: {"student": {"other": torch.zeros(1)}, "teacher": weights},
        lambda weights: {"model": {f"module.{name}": value for name, value in weights.items()}, "args": {"lr": 1}},
        lambda weights: {"model": weights, "args": argparse.Namespace(lr=0.1)},
        lambda weights: {**weights, "step": 3},
    ],
)
def test_wrappers(wrap: Any, tmp_path: Path) -> None:
    weights = {"a.weight": torch.ones(2), "b.bias": torch.zeros(3)}
    read = read_weights(saved(wrap(weights), tmp_path))
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[name], value) for name, value in weights.items())


@pytest.mark.parametrize(
    "content", [{}, [torch.zeros(1)], {"state_dict": {}}, {0: torch.zeros(1)}, {"a": {"b": {"c": torch.zeros(1)}}}, "x"]
)
def test_file_without_weights(content: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"contains no weights: expected a state dict \{name: tensor\}"):
        read_weights(saved(content, tmp_path))


def test_missing_file_names_one_nearby(tmp_path: Path) -> None:
    (tmp_path / "exp_10.pth").touch()
    with pytest.raises(RunError, match=r"no checkpoint at \S+/exp10.pth; did you mean '\S+/exp_10.pth'\?"):
        read_weights(tmp_path / "exp10.pth")


def test_pickled_code_is_refused(tmp_path: Path) -> None:
    for content in (
        {"args": Path("x"), "model": BACKBONE},
        {"args": argparse.Namespace(p=Path("x")), "model": BACKBONE},
    ):
        with pytest.raises(RunError, match="is refused: it contains more than weights, a pickled pathlib"):
            read_weights(saved(content, tmp_path))


def refusal(extractor: FeatureExtractor, content: Any, folder: Path, **options: Any) -> str:
    """The message; nothing of the file is taken."""
    before = weights_digest(extractor)
    file = saved(content, folder)
    with pytest.raises(RunError) as caught:
        load_checkpoint(extractor, file, **options)
    assert weights_digest(extractor) == before
    text = str(caught.value)
    assert text.startswith(f"{file} does not fit {extractor.arch}")
    assert text.count("\n") <= 1
    return text


def test_file_of_a_deeper_network(resnet18: FeatureExtractor, tmp_path: Path) -> None:
    for options in ({}, {"allow_partial": True}):
        text = refusal(resnet18, numbered(torchvision_shapes("resnet34")), tmp_path, **options)
        assert ".pth does not fit resnet18: unexpected: layer1.2.conv1.weight, layer1.2.bn1.weight, " in text
        assert text.endswith(" and 77 more")


def test_file_of_a_shallower_network(tmp_path: Path) -> None:
    resnet34 = build_extractor("resnet34")
    text = refusal(resnet34, numbered(R18, "module.encoder_q."), tmp_path)
    assert "resnet34 (under its prefix 'encoder_q.'): missing: layer1.2.conv1.weight, layer1.2.bn1.weight, " in text
    assert "unexpected" not in text
    assert text.endswith(" and 77 more\n--allow-partial accepts it and leaves the missing weights random")


def test_file_of_a_wider_network(tmp_path: Path) -> None:
    extractor = build_extractor("mmcls:ResNet", RESNET)
    text = refusal(extractor, numbered(R18), tmp_path, allow_partial=True)
    assert "other shape: conv1.weight [64, 3, 7, 7] for [4, 3, 7, 7], bn1.weight [64] for [4], " in text


def test_file_of_something_else(resnet18: FeatureExtractor, tmp_path: Path) -> None:
    weights = {"patch_embed.proj.weight": torch.zeros(4, 3, 2, 2), "blocks.0.norm1.weight": torch.zeros(4)}
    for options in ({}, {"allow_partial": True}):
        text = refusal(resnet18, weights, tmp_path, **options)
        assert "missing: conv1.weight, bn1.weight, bn1.bias and 97 more" in text
        assert "unexpected: patch_embed.proj.weight, blocks.0.norm1.weight" in text
        assert "--allow-partial" not in text


@pytest.mark.parametrize("arch", ["vit_b_32", "mmcls:VisionTransformer"])
def test_position_embeddings_of_another_size(arch: str, tmp_path: Path) -> None:
    if arch == "vit_b_32":
        extractor, name = build_extractor(arch, {"image_size": 64}), "encoder.pos_embedding"
        of_file = torchvision_shapes(arch)
    else:
        extractor, name = build_extractor(arch, {**VIT, "img_size": 16}), "pos_embed"
        of_file = {**shapes(extractor.backbone), "pos_embed": torch.Size([1, 17, 8])}
    text = refusal(extractor, numbered(of_file), tmp_path)
    assert f"other shape: {name} {list(of_file[name])} for [1, 5, " in text
    assert "missing" not in text


def test_part_of_a_network(resnet18: FeatureExtractor, tmp_path: Path) -> None:
    first_half = {name: value for name, value in BACKBONE.items() if not name.startswith(("layer3", "layer4"))}
    text = refusal(resnet18, first_half, tmp_path)
    assert "missing: layer3.0.conv1.weight, layer3.0.bn1.weight, layer3.0.bn1.bias and 47 more" in text
    before = {name: value.clone() for name, value in resnet18.backbone.state_dict().items()}
    report = load_checkpoint(resnet18, saved(first_half, tmp_path), allow_partial=True)
    assert report.left_random == tuple(name for name in BACKBONE if name not in first_half)
    assert len(report.left_random) == 50
    assert holds(resnet18, {**before, **first_half})


def test_half_precision_becomes_float32(resnet18: FeatureExtractor, tmp_path: Path) -> None:
    halved = {name: value.flatten()[0].half().expand(value.shape) for name, value in BACKBONE.items()}
    load_checkpoint(resnet18, saved(halved, tmp_path))
    assert holds(resnet18, BACKBONE)
    assert resnet18.backbone.conv1.weight.dtype == torch.float32


def test_a_flipped_bit_is_refused(resnet18: FeatureExtractor, tmp_path: Path) -> None:
    file = saved(BACKBONE, tmp_path)
    load_checkpoint(resnet18, file)
    data = bytearray(file.read_bytes())
    at = data.index(BACKBONE["conv1.weight"].flatten()[:1].numpy().tobytes())
    data[at + 1] ^= 1
    file.write_bytes(data)
    with pytest.raises(RunError, match=r"is damaged: its entry with space/\S+ has a wrong CRC-32\ncopy or downl"):
        load_checkpoint(resnet18, file)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda weight: weight * torch.nan, "not finite: conv1.weight\n"),
        (lambda weight: weight.int(), "not floating-point numbers as the model's are: conv1.weight (int32)\n"),
        (lambda weight: weight.to_sparse(), "not plain tensors: conv1.weight (sparse_coo)\n"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(
    change: Any, found: str, resnet18: FeatureExtractor, tmp_path: Path
) -> None:
    before = weights_digest(resnet18)
    with pytest.raises(RunError) as caught:
        load_checkpoint(resnet18, saved({**BACKBONE, "conv1.weight": change(BACKBONE["conv1.weight"])}, tmp_path))
    assert found in str(caught.value)
    assert weights_digest(resnet18) == before


def test_a_counter_of_a_batch_norm_may_be_of_any_type(resnet18: FeatureExtractor, tmp_path: Path) -> None:
    counters = {"bn1.num_batches_tracked": torch.tensor(3), "layer1.0.bn1.num_batches_tracked": torch.tensor(3.0)}
    load_checkpoint(resnet18, saved({**BACKBONE, **counters}, tmp_path))
    assert holds(resnet18, BACKBONE)


def test_a_file_must_have_its_line_in_sha256sums(resnet18: FeatureExtractor, tmp_path: Path) -> None:
    file = saved(BACKBONE, tmp_path)
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n{'0' * 64}  other.pth\n")
    load_checkpoint(resnet18, file)
    sums.write_text(f"{'0' * 64}  {file.name}\n")
    with pytest.raises(RunError, match="is damaged: its sha256 is .*, expected 000000000000... by SHA256SUMS\n"):
        load_checkpoint(resnet18, file)


def test_missing_file(resnet18: FeatureExtractor, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no checkpoint at"):
        load_checkpoint(resnet18, tmp_path / "none.pth")


def test_differences_name_a_few() -> None:
    own = numbered({"a": torch.Size([1]), "b": torch.Size([2]), "c": torch.Size([3])})
    assert differences(own, own) == ""
    given = numbered({"a": torch.Size([5]), **{f"x{n}": torch.Size([1]) for n in range(5)}, "c": torch.Size([3])})
    assert differences(own, given) == "missing: b; unexpected: x0, x1, x2 and 2 more; other shape: a [5] for [1]"


def test_digest_is_of_names_shapes_and_values(tmp_path: Path) -> None:
    extractor = build_extractor("shufflenet_v2_x0_5")
    digest = weights_digest(extractor)
    assert len(digest) == 64
    assert weights_digest(build_extractor("shufflenet_v2_x0_5")) == digest
    assert weights_digest(copy.deepcopy(extractor).to(memory_format=torch.channels_last)) == digest

    def changed(change: Any) -> str:
        other = copy.deepcopy(extractor)
        change(other.backbone)
        return weights_digest(other)

    def move(backbone: Any) -> None:
        backbone.conv5[1].running_var[-1] += 1e-3

    def reshape(backbone: Any) -> None:
        backbone.conv1[0].weight.data = backbone.conv1[0].weight.data.transpose(0, 1).reshape(24, 3, 9, 1)

    def rename(backbone: Any) -> None:
        backbone.conv6 = backbone.conv5
        del backbone.conv5

    digests = [changed(change) for change in (move, reshape, rename, nn.Module.double)]
    assert len({digest, *digests}) == 5


# The weights of torchvision, from a server on this machine.


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a web server that SqueezeNet's default weights come from; torch.hub's folder is a fresh one."""
    folder = tmp_path / "served"
    folder.mkdir()
    torch.manual_seed(5)
    file = folder / "weights.pth"
    torch.save(models.get_model("squeezenet1_1").state_dict(), file)
    file = file.rename(folder / f"squeezenet1_1-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}.pth")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    address = f"http://127.0.0.1:{server.server_port}/{file.name}"
    monkeypatch.setattr(models.SqueezeNet1_1_Weights.DEFAULT.value, "url", address)
    yield folder
    server.shutdown()
    server.server_close()


def cached(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache/hub/checkpoints").glob("*"))


def test_default_weights_are_fetched_once(served: Path, tmp_path: Path) -> None:
    extractor = build_extractor("squeezenet1_1")
    reported: list[Any] = []
    assert load_default_weights(extractor, reported.append) == "SqueezeNet1_1_Weights.IMAGENET1K_V1"
    (file,) = served.iterdir()
    assert holds(extractor, torch.load(file, weights_only=True))
    assert [path.name for path in cached(tmp_path)] == [file.name]
    (message,) = reported
    assert isinstance(message, Message)
    assert message.text.startswith("downloading SqueezeNet1_1_Weights.IMAGENET1K_V1 (5 MB) into ")
    file.unlink()
    other = build_extractor("squeezenet1_1")
    load_default_weights(other, reported.append)
    assert len(reported) == 1
    assert weights_digest(other) == weights_digest(extractor)


def test_damaged_file_of_the_cache_is_refused(served: Path, tmp_path: Path) -> None:
    load_default_weights(build_extractor("squeezenet1_1"))
    (file,) = cached(tmp_path)
    file.write_bytes(file.read_bytes()[:-100])
    extractor = build_extractor("squeezenet1_1")
    before = weights_digest(extractor)
    with pytest.raises(RunError) as caught:
        load_default_weights(extractor)
    assert str(caught.value).startswith(
        f"{file} is damaged: its sha256 does not begin with {file.stem[-8:]}\ndelete it"
    )
    assert weights_digest(extractor) == before


def test_what_comes_damaged_is_not_kept(served: Path, tmp_path: Path) -> None:
    (file,) = served.iterdir()
    file.write_bytes(b"<html>please log in</html>")
    with pytest.raises(CapabilityError, match="IMAGENET1K_V1 cannot be downloaded: invalid hash value"):
        load_default_weights(build_extractor("squeezenet1_1"))
    assert cached(tmp_path) == []


def test_weights_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody answers
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(CapabilityError) as caught:
        load_default_weights(build_extractor("resnet18"))
    first, second = str(caught.value).split("\n")
    assert first.startswith("ResNet18_Weights.IMAGENET1K_V1 cannot be downloaded: <urlopen error")
    folder = tmp_path / "cache/hub/checkpoints"
    assert second == (
        f"put https://download.pytorch.org/models/resnet18-f37072fd.pth into {folder}, "
        "or give it with --checkpoint FILE (--weights none: random)"
    )
    assert cached(tmp_path) == []


def test_mmcls_has_no_default_weights() -> None:
    with pytest.raises(UsageError, match="mmcls:ResNet has no default weights\ngive a file with --checkpoint FILE"):
        load_default_weights(build_extractor("mmcls:ResNet", RESNET))


def test_default_weights_for_images_of_another_size() -> None:
    with pytest.raises(
        UsageError, match=r"built for images of 64 px, but ViT_B_32_W\S+ is for 224 px\n.*image_size=224"
    ):
        load_default_weights(build_extractor("vit_b_32", {"image_size": 64}))
