"""timm's models: the same features bit for bit, weights in the forms that they come in, and what is refused."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from clearctl.data.transforms import compose
from clearctl.engine.extract.recipe import built
from clearctl.errors import CapabilityError, RunError, UsageError
from clearctl.models.extractor import FeatureExtractor, feature_dimension
from clearctl.models.zoo.build import build_extractor, load_default_weights, load_weights, transform_steps
from clearctl.models.zoo.timm import name_fault, steps_of, weights_by_name
from clearctl.progress import Message

timm = pytest.importorskip("timm")
# One small model of each family.
FAMILIES = (
    "cait_xxs24_224",
    "coat_lite_tiny",
    "convit_tiny",
    "convnext_atto",
    "crossvit_tiny_240",
    "deit_tiny_distilled_patch16_224",
    "edgenext_xx_small",
    "efficientformerv2_s0",
    "efficientvit_b0",
    "eva02_tiny_patch14_224",
    "fastvit_t8",
    "gcvit_xxtiny",
    "ghostnet_050",
    "hgnetv2_b0",
    "inception_next_atto",
    "lcnet_035",
    "levit_128s",
    "mambaout_femto",
    "mobilenetv3_small_050",
    "mobilevit_xxs",
    "pit_ti_224",
    "pvt_v2_b0",
    "regnetx_002",
    "repvit_m0_9",
    "resnet18",
    "starnet_s050",
    "test_vit",
    "tf_efficientnet_lite0",
    "tiny_vit_5m_224",
    "xcit_nano_12_p16_224",
)
IMAGE = Image.fromarray(np.random.RandomState(0).randint(0, 256, (90, 120, 3), dtype=np.uint8))


def timms_own(name: str, **arguments: Any) -> nn.Module:
    """As a user of timm makes it, its weights drawn from the generators that `build_extractor` sets."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(name, num_classes=0, **arguments)
    return model.eval()


def timms_transform(model: nn.Module, **given: Any) -> Any:
    return timm.data.create_transform(**timm.data.resolve_data_config(given, model=model))


def pixels(extractor: FeatureExtractor) -> torch.Tensor:
    found: torch.Tensor = compose(built(transform_steps(extractor) or []))(IMAGE)[None]
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_features_are_timms_bit_for_bit(name: str) -> None:
    extractor = build_extractor(f"timm:{name}")
    model = timms_own(name)
    x = timms_transform(model)(IMAGE)[None]
    assert torch.equal(pixels(extractor), x)
    with torch.no_grad():
        expected = model(x)
        assert torch.equal(extractor(x), expected)
    assert feature_dimension(extractor, x) == expected.shape[1]
    assert expected.std() > 0


@pytest.mark.parametrize(
    ("name", "changes", "types"),
    [
        ("resnet50.a1_in1k", {}, ["Resize", "CenterCrop"]),
        ("vit_base_patch16_clip_384.openai_ft_in1k", {}, ["Resize", "CenterCrop"]),  # squashed, or not
        ("resnet50.a1_in1k", {"crop_mode": "squash"}, ["Resize", "CenterCrop"]),
        (
            "resnet50.a1_in1k",
            {"crop_mode": "border", "interpolation": "bilinear"},
            ["timm.data.transforms:ResizeKeepRatio", "timm.data.transforms:CenterCropOrPad"],
        ),
        ("resnet50.a1_in1k", {"input_size": (3, 64, 48)}, ["timm.data.transforms:ResizeKeepRatio", "CenterCrop"]),
    ],
)
def test_each_kind_of_transform_is_timms(name: str, changes: dict[str, Any], types: list[str]) -> None:
    model = nn.Identity()
    model.pretrained_cfg = timm.get_pretrained_cfg(name).to_dict() | changes  # type: ignore[assignment]
    steps = steps_of(model)
    assert [step["type"] for step in steps] == [*types, "ToTensor", "Normalize"]
    assert json.loads(json.dumps(steps)) == steps
    assert torch.equal(compose(built(steps))(IMAGE), timms_transform(model)(IMAGE))


def test_the_image_size_is_that_of_the_built_model() -> None:
    extractor = build_extractor("timm:vit_small_patch14_dinov2", {"img_size": 28, "depth": 1})
    x = pixels(extractor)
    assert x.shape == (1, 3, 28, 28)
    assert feature_dimension(extractor, x) == 384
    with pytest.raises(UsageError, match=r"rejects RGB images of 42x42 px: Input height"):
        feature_dimension(extractor, torch.zeros(1, 3, 42, 42))


ARGUMENTS = {"img_size": 32, "patch_size": 16, "embed_dim": 12, "depth": 2, "num_heads": 2}
VIT = "timm:vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """timm's model with a classifier and weights of its own."""
    torch.manual_seed(1)
    model: nn.Module = timm.create_model("vit_tiny_patch16_224", **ARGUMENTS)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model.eval()


def expected_features(model: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.forward_head(model.forward_features(x), pre_logits=True)
    return found


def in_file(weights: dict[str, torch.Tensor], folder: Path) -> Path:
    torch.save(weights, folder / "plain.pth")
    return folder / "plain.pth"


def of_training(weights: dict[str, torch.Tensor], folder: Path) -> Path:
    last = {name: torch.zeros_like(value) for name, value in weights.items()}
    content = {
        "epoch": 3,
        "arch": "vit",
        "state_dict": last,
        "state_dict_ema": {f"module.{k}": v for k, v in weights.items()},
    }
    torch.save(content, folder / "checkpoint.pth.tar")
    return folder / "checkpoint.pth.tar"


def in_safetensors(weights: dict[str, torch.Tensor], folder: Path) -> Path:
    from safetensors.torch import save_file

    save_file(weights, folder / "model.safetensors")
    return folder / "model.safetensors"


def of_transformers(weights: dict[str, torch.Tensor], folder: Path) -> Path:
    """transformers' TimmWrapperModel puts `timm_model.` before the names."""
    from safetensors.torch import save_file

    save_file({f"timm_model.{name}": value for name, value in weights.items()}, folder / "wrapped.safetensors")
    return folder / "wrapped.safetensors"


def in_hub_folder(weights: dict[str, torch.Tensor], folder: Path) -> Path:
    (folder / "hub").mkdir()
    in_safetensors(weights, folder / "hub")
    stated = {"architecture": "vit_tiny_patch16_224", "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]}}
    (folder / "hub" / "config.json").write_text(json.dumps(stated))
    return folder / "hub"


FORMS = (in_file, of_training, in_safetensors, of_transformers, in_hub_folder)


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_taken_in_the_forms_of_the_field(form: Any, trained: nn.Module, tmp_path: Path) -> None:
    file = form({name: value.contiguous() for name, value in trained.state_dict().items()}, tmp_path)
    extractor = build_extractor(VIT, ARGUMENTS)
    report = load_weights(extractor, file)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert not report.left_random
    assert torch.equal(extractor(x), expected_features(trained, x))
    mean = (transform_steps(extractor) or [])[-1]["mean"]
    assert mean == ([0.1, 0.2, 0.3] if form is in_hub_folder else [0.5, 0.5, 0.5])


def test_weights_of_another_image_size_are_resampled_as_timm_does(trained: nn.Module, tmp_path: Path) -> None:
    file = in_file(trained.state_dict(), tmp_path)
    larger = {**ARGUMENTS, "img_size": 64}
    extractor = build_extractor(VIT, larger)
    load_weights(extractor, file)
    overlay = {"file": str(file), "num_classes": 1000}
    own = timm.create_model(
        "vit_tiny_patch16_224", pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay, **larger
    )
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(extractor(x), own.eval()(x))


def test_names_of_another_code_are_converted_as_timm_does(tmp_path: Path) -> None:
    """ConvNeXt's own code has other names than timm."""
    given = {"depths": (1, 1, 1, 1), "dims": (4, 8, 8, 8)}
    model = timm.create_model("convnext_tiny", **given)
    renamed = {}
    for name, value in model.state_dict().items():
        for timms, original in (
            ("stem.", "downsample_layers.0."),
            ("head.norm.", "norm."),
            ("head.fc.", "head."),
            (".mlp.fc1.", ".pwconv1."),
            (".mlp.fc2.", ".pwconv2."),
            (".conv_dw.", ".dwconv."),
        ):
            name = name.replace(timms, original)
        parts = name.split(".")
        if parts[0] == "stages" and parts[2] == "downsample":
            parts = ["downsample_layers", parts[1], *parts[3:]]
        elif parts[0] == "stages":
            parts = ["stages", parts[1], *parts[3:]]
        renamed[".".join(parts)] = value
    extractor = build_extractor("timm:convnext_tiny", given)
    load_weights(extractor, in_file(renamed, tmp_path))
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(extractor(x), expected_features(model.eval(), x))


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    file = in_file(timm.create_model("test_resnet").state_dict(), tmp_path)
    with pytest.raises(
        RunError, match=r"plain.pth does not fit timm:resnet18: (missing|unexpected|other shape): .* \(?"
    ):
        load_weights(build_extractor("timm:resnet18"), file)
    deeper = in_file(timm.create_model("resnet34").state_dict(), tmp_path)
    with pytest.raises(RunError, match=r"unexpected: layer1.2.conv1.weight"):
        load_weights(build_extractor("timm:resnet18"), deeper)


def test_a_folder_of_another_architecture_is_refused(trained: nn.Module, tmp_path: Path) -> None:
    folder = in_hub_folder(trained.state_dict(), tmp_path)
    with pytest.raises(
        RunError, match=r"is of timm's vit_tiny_patch16_224, not of timm:resnet18\nuse --arch timm:vit_tiny"
    ):
        load_weights(build_extractor("timm:resnet18"), folder)
    with pytest.raises(RunError, match="is a folder without model.safetensors or pytorch_model.bin"):
        load_weights(build_extractor("timm:resnet18"), tmp_path)


def test_a_damaged_safetensors_file_is_refused(trained: nn.Module, tmp_path: Path) -> None:
    file = in_safetensors({name: value.contiguous() for name, value in trained.state_dict().items()}, tmp_path)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(RunError, match="model.safetensors is damaged: .*\ncopy or download it again"):
        load_weights(build_extractor(VIT, ARGUMENTS), file)


@pytest.mark.parametrize(
    ("arch", "arguments", "message"),
    [
        ("timm:resnet5O", {}, "no model of timm is called 'resnet5O'; did you mean 'resnet50"),
        ("timm:ViT_base_patch16_224", {}, "did you mean 'vit_base_patch16_224'"),
        ("timm:resnet50.a1_in2k", {}, "timm's resnet50 has no weights called 'a1_in2k'; did you mean 'a1_in1k'"),
        ("timm:resnet50.zzz", {}, "timm's resnet50 has no weights called 'zzz': it has a1_in1k"),
        (
            "timm:resnet18",
            {"num_classes": 3},
            "does not accept the argument 'num_classes' here: the classifier is removed",
        ),
        ("timm:resnet18", {"features_only": True}, "does not accept the argument 'features_only' here"),
        ("timm:resnet18", {"colour": 3}, "timm:resnet18 cannot be built with colour=3: "),
        ("timm:vit_tiny_patch16_224", {"img_size": "x"}, "cannot be built with img_size='x'"),
    ],
)
def test_what_timm_does_not_have_is_refused(arch: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        build_extractor(arch, arguments)
    assert message in str(caught.value)
    assert str(caught.value).count("\n") <= 1


def test_names_are_checked_without_building() -> None:
    assert name_fault("resnet50") is None
    assert name_fault("resnet50.a1_in1k") is None
    assert (
        name_fault("resnet50.a1_in1")
        == "timm's resnet50 has no weights called 'a1_in1'; did you mean 'a1_in1k', 'a1h_in1k' or 'ra_in1k'?"
    )
    known = weights_by_name()
    assert len(known) > 1000
    assert "a1_in1k" in known["resnet50"]
    assert known["convnext_atto_rms"] == []


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hugging Face's cache, empty, on a machine without a network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_weights_that_cannot_be_fetched(hub: Path) -> None:
    with pytest.raises(CapabilityError) as caught:
        load_default_weights(build_extractor("timm:resnet18.a1_in1k"))
    first, second = str(caught.value).split("\n")
    assert first.startswith("the weights timm/resnet18.a1_in1k cannot be downloaded: ")
    where = "put model.safetensors of huggingface.co/timm/resnet18.a1_in1k on this machine"
    assert second == f"{where} and give it with --checkpoint FILE (--weights none: random)"


def test_weights_are_taken_from_the_cache_of_the_hub(hub: Path) -> None:
    model = timm.create_model("test_resnet")
    folder = hub / "models--timm--test_resnet.r160_in1k" / "snapshots" / "0123"
    folder.mkdir(parents=True)
    in_safetensors(model.state_dict(), folder)
    (folder.parents[1] / "refs").mkdir()
    (folder.parents[1] / "refs" / "main").write_text("0123")
    extractor = build_extractor("timm:test_resnet")
    said: list[Message] = []
    assert load_default_weights(extractor, said.append) == "timm/test_resnet.r160_in1k"
    assert said == []
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(extractor(x), expected_features(model.eval(), x))


def test_what_timm_notes_of_weights_is_reported(hub: Path) -> None:
    said: list[Message] = []
    extractor = build_extractor("timm:vit_base_patch32_clip_224.openai", {"depth": 1, "embed_dim": 12, "num_heads": 2})
    with pytest.raises(CapabilityError):
        load_default_weights(extractor, said.append)
    assert said[0].warning
    assert "natively QuickGELU" in said[0].text


def test_an_architecture_without_weights() -> None:
    with pytest.raises(
        UsageError, match="timm has no weights for convnext_atto_rms.untrained\ngive a file with --checkpoint FILE"
    ):
        load_default_weights(build_extractor("timm:convnext_atto_rms"))


def test_building_leaves_the_generators() -> None:
    before = torch.get_rng_state()
    build_extractor("timm:test_resnet")
    assert torch.equal(torch.get_rng_state(), before)


def test_building_reports_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    build_extractor("timm:vit_base_patch16_clip_224.openai", {**ARGUMENTS})
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
