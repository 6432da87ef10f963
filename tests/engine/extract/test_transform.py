"""Which transform features are extracted with, where that is recorded, and what is said where it does not suit."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_clear_folder
from PIL import Image
from torchvision import models

from clearctl import extract_features, layout, prepare_avalanche
from clearctl.data.features import load_features
from clearctl.data.transforms import compose
from clearctl.engine.extract.recipe import PUBLISHED_TRANSFORM, build_recipe, built
from clearctl.errors import ConfigError, DatasetError, UsageError
from clearctl.progress import Message

timm = pytest.importorskip("timm")
SMALL = {"img_size": 32, "patch_size": 16, "embed_dim": 12, "depth": 1, "num_heads": 2}
VIT = "timm:vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "clear"
    make_clear_folder(folder, images=3, size_px=48, noise=60.0, buckets=("1", "2"))
    prepare_avalanche(folder, seeds=[0])
    return folder


def record(root: Path, name: str) -> Any:
    return json.loads(layout.extraction_file(root, name).read_text())["settings"]


def images(root: Path, bucket: str) -> list[Image.Image]:
    lines = layout.filelist_file(root, bucket).read_text().split("\n")
    return [Image.open(root / line.rpartition(" ")[0]).convert("RGB") for line in lines]


def messages(root: Path, **arguments: Any) -> list[str]:
    said: list[Message] = []
    extract_features(
        root,
        device="cpu",
        workers=0,
        listener=lambda event: said.append(event) if isinstance(event, Message) else None,
        **arguments,
    )
    return [message.text for message in said if message.warning]


def test_timms_features_are_timms_on_timms_transform(root: Path) -> None:
    extract_features(root, arch="timm:resnet18", weights="none", device="cpu", batch_size=4, buckets=["1"])
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    model = timm.create_model("resnet18", num_classes=0).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    x = torch.stack([transform(image) for image in images(root, "1")])
    with torch.inference_mode():
        expected = torch.cat([model(batch) for batch in x.split(4)])
    found, _ = load_features(layout.features_file(root, "resnet18", "1"))
    assert torch.equal(found, expected)
    assert record(root, "resnet18")["transform"][0] == {"type": "Resize", "size": 235, "interpolation": "bicubic"}


def test_features_are_exact_or_fast(root: Path) -> None:
    common = {"arch": "timm:test_resnet", "weights": "none", "buckets": ["1"]}
    messages(root, name="exact", **common)
    messages(root, name="fast", fast=True, **common)
    assert (record(root, "exact")["exact"], record(root, "fast")["exact"]) == (True, False)
    exact, fast = (load_features(layout.features_file(root, name, "1"))[0] for name in ("exact", "fast"))
    assert not torch.equal(exact, fast)
    assert torch.allclose(exact, fast, rtol=0, atol=1e-4 * exact.std().item())
    with pytest.raises(DatasetError, match="extracted differently: exact was True, is now False"):
        messages(root, name="exact", fast=True, **common)
    messages(root, name="own", arch="resnet18", weights="none", buckets=["1"], fast=False)
    torch.manual_seed(0)
    model = models.resnet18()
    model.fc = torch.nn.Identity()
    transform = compose(built(list(PUBLISHED_TRANSFORM)))
    with torch.inference_mode():
        expected = model.eval()(torch.stack([transform(image) for image in images(root, "1")]))
    assert torch.equal(load_features(layout.features_file(root, "own", "1"))[0], expected)


def test_the_default_is_published_for_torchvision_and_the_models_own_for_timm() -> None:
    assert build_recipe(None, None, None).transform == list(PUBLISHED_TRANSFORM)
    assert build_recipe("mmcls:ResNet", {"depth": 18}, None).transform == list(PUBLISHED_TRANSFORM)
    assert build_recipe("resnet50", None, None, "model").transform is None
    assert build_recipe("timm:resnet50", None, None).transform is None
    assert build_recipe("open_clip:ViT-B-32/openai", None, None).transform is None
    assert build_recipe("timm:resnet50", None, None, "published").transform == list(PUBLISHED_TRANSFORM)


def test_features_are_called_after_the_model() -> None:
    assert build_recipe("timm:vit_base_patch16_clip_224.openai", None, None).name == "vit_base_patch16_clip_224.openai"
    assert build_recipe("open_clip:ViT-B-32/openai", None, None).name == "ViT-B-32_openai"
    assert build_recipe("mmcls:ResNet", None, None).name == "ResNet"


def test_a_transform_of_a_file_is_used(root: Path, tmp_path: Path) -> None:
    steps = [{"type": "Resize", "size": 40}, {"type": "CenterCrop", "size": 32}, {"type": "ToTensor"}]
    (tmp_path / "own.py").write_text(f"scenario = dict(eval_transform={steps!r})")
    (tmp_path / "own.json").write_text(json.dumps(steps))
    common = {"arch": VIT, "arguments": SMALL, "weights": "none", "buckets": ["1"]}
    messages(root, name="py", transform=tmp_path / "own.py", **common)
    messages(root, name="json", transform=str(tmp_path / "own.json"), **common)
    messages(root, name="again", transform=layout.extraction_file(root, "py"), **common)
    assert record(root, "py") == record(root, "json") == record(root, "again")
    assert record(root, "py")["transform"] == steps
    features = [layout.features_file(root, name, "1").read_bytes() for name in ("py", "json", "again")]
    assert len(set(features)) == 1


def test_a_transform_that_does_not_suit_the_weights_is_warned_of(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "vit.pth"
    torch.save(timm.create_model("vit_tiny_patch16_224", **{**SMALL, "img_size": 224}).state_dict(), file)
    common = {"arch": VIT, "arguments": {**SMALL, "img_size": 224}, "checkpoint": file, "buckets": ["1"]}
    found = messages(root, name="unsuited", transform="published", **common)
    assert found == [
        "vit.pth states mean 0.5 0.5 0.5 (used: 0.485 0.456 0.406), std 0.5 0.5 0.5 (used: 0.229 0.224 0.225):"
        " these are not the features that its authors intended (--transform model uses theirs)"
    ]
    assert messages(root, name="suited", **common) == []


def test_a_size_that_the_model_cannot_take_is_refused(root: Path) -> None:
    with pytest.raises(UsageError, match=r"timm:vit_tiny_patch16_224 rejects RGB images of 224x224 px: Input height"):
        extract_features(root, arch=VIT, arguments=SMALL, weights="none", transform="published", device="cpu")


def test_mmcls_wrapper_of_timm_is_timm_itself(root: Path, tmp_path: Path) -> None:
    recipe = build_recipe("mmcls:TIMMBackbone", {"model_name": "convnext_atto", "drop_path_rate": 0.1}, None)
    assert (recipe.arch, recipe.arguments, recipe.name) == (
        "timm:convnext_atto",
        {"drop_path_rate": 0.1},
        "convnext_atto",
    )
    file = tmp_path / "wrapped.py"
    file.write_text("model = dict(backbone=dict(type='TIMMBackbone', model_name='convnext_atto', pretrained=False))")
    recipe = build_recipe(None, None, file)
    assert (recipe.arch, recipe.arguments, recipe.name) == ("timm:convnext_atto", {}, "wrapped")
    with pytest.raises(UsageError, match="feature maps of stages cannot be extracted\nuse --arch timm:resnet18"):
        build_recipe("mmcls:TIMMBackbone", {"model_name": "resnet18", "features_only": True}, None)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("own.py: x = 1", ConfigError, "own.py: scenario.eval_transform: missing"),
        ("own.py: scenario = dict(eval_transform=[dict(type='Resise', size=3)])", ConfigError, "did you mean 'Resize'"),
        ('own.json: [{"type": "Resize", "sise": 3}]', ConfigError, "Resize has no argument 'sise'"),
        ("own.json: {", UsageError, "--transform .*own.json"),
        ("own.txt: x", UsageError, "expected published, model, a config"),
    ],
)
def test_files_without_a_transform_are_refused(content: str, error: type, message: str, tmp_path: Path) -> None:
    name, _, text = content.partition(": ")
    (tmp_path / name).write_text(text)
    with pytest.raises(error, match=message):
        build_recipe("resnet18", None, None, tmp_path / name)


def test_a_slip_in_the_name_of_a_transform_gets_the_closest() -> None:
    with pytest.raises(UsageError, match=r"--transform modle: .* or an extraction.json; did you mean 'model'\?"):
        build_recipe("resnet18", None, None, "modle")


def test_mmcls_states_no_transform(root: Path) -> None:
    with pytest.raises(UsageError, match="--transform model: no transform is published for mmcls:ResNet"):
        extract_features(
            root, arch="mmcls:ResNet", arguments={"depth": 18}, weights="none", transform="model", device="cpu"
        )
