"""The model sections in configs/models, each on CLEAR-10's images or on features."""

from pathlib import Path
from typing import Any

import pytest
import torch

from clearctl.config.check import check
from clearctl.config.load import load
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.models.classifier import build_classifier
from clearctl.models.fit import find_mismatch

CONFIGS = Path(__file__).parents[2] / "configs"
SHIPPED = sorted((CONFIGS / "models").glob("*.py"))


def batch(section: dict[str, Any]) -> torch.Tensor:
    """Two samples; images are small where the architecture does not fix their size."""
    if "backbone" not in section:
        return torch.zeros(2, 2048)
    side = section["backbone"].get("img_size", 64)
    return torch.zeros(2, 3, side, side)


def test_there_is_one_of_every_family() -> None:
    families = {load(file).values["model"].get("backbone", {}).get("type") for file in SHIPPED}
    assert families >= {
        "ResNet",
        "ResNet_CIFAR",
        "MobileNetV2",
        "MobileNetV3",
        "EfficientNet",
        "VisionTransformer",
        "SwinTransformer",
        "ConvNeXt",
        "VGG",
        "ShuffleNetV2",
        "HRNet",
        "RegNet",
        "Res2Net",
        "ResNeSt",
        "SEResNet",
        "DenseNet",
        "MlpMixer",
    }


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_section_is_commented_checked_and_fits(file: Path, tmp_path: Path) -> None:
    assert file.read_text().startswith("# ")
    whole = tmp_path / "whole.py"
    bases = [str(CONFIGS / f"_base_/{name}.py") for name in ("clear10", "naive")]
    whole.write_text(f"_base_ = {[*bases, str(file)]!r}\n")
    config = load(whole)
    assert [str(fault) for fault in check(config, CATALOGUE)] == []
    section = config.values["model"]
    assert section["head"]["num_classes"] == 11
    assert find_mismatch(build_classifier(**section), batch(section), 11) is None
