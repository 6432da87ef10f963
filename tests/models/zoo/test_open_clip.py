"""open_clip's image towers: `encode_image` bit for bit, the transform of the weights, and what is refused."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clearctl.data.transforms import compose
from clearctl.engine.extract.recipe import built
from clearctl.errors import RunError, UsageError
from clearctl.models.extractor import feature_dimension
from clearctl.models.zoo.build import build_extractor, load_default_weights, load_weights, transform_steps

open_clip = pytest.importorskip("open_clip")
SMALL = {"force_image_size": 32}
IMAGE = Image.fromarray(np.random.RandomState(0).randint(0, 256, (90, 120, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    """open_clip's own, with the weights that `build_extractor` draws."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    made: torch.nn.Module = open_clip.create_model("ViT-B-32", force_quick_gelu=True, force_image_size=32)
    return made.eval()


def test_features_are_those_of_encode_image(model: torch.nn.Module) -> None:
    extractor = build_extractor("open_clip:ViT-B-32/openai", SMALL)
    steps = transform_steps(extractor)
    assert steps is not None
    x = compose(built(steps))(IMAGE)[None]
    config = open_clip.transform.PreprocessCfg(size=32)
    assert torch.equal(x[0], open_clip.transform.image_transform_v2(config, is_train=False)(IMAGE))
    with torch.no_grad():
        assert torch.equal(extractor(x), model.encode_image(x))  # type: ignore[operator]
    assert feature_dimension(extractor, x) == 512


def test_the_image_tower_of_a_whole_models_weights_is_taken(model: torch.nn.Module, tmp_path: Path) -> None:
    weights = {name: value + 1 for name, value in model.state_dict().items()}
    torch.save(weights, tmp_path / "whole.pth")
    extractor = build_extractor("open_clip:ViT-B-32", SMALL)
    load_weights(extractor, tmp_path / "whole.pth")
    found = extractor.backbone.state_dict()
    assert all(torch.equal(found[name], weights[f"visual.{name}"]) for name in found)
    with pytest.raises(RunError, match=r"whole.pth does not fit open_clip:ViT-B-32: other shape: positional_embedding"):
        load_weights(build_extractor("open_clip:ViT-B-32", {"force_image_size": 64}), tmp_path / "whole.pth")


def test_weights_without_a_name_are_asked_for() -> None:
    with pytest.raises(
        UsageError, match=r"does not give the weights: add /PRETRAINED, one of openai.*\nor give a file"
    ):
        load_default_weights(build_extractor("open_clip:ViT-B-32", SMALL))


@pytest.mark.parametrize(
    ("arch", "arguments", "message"),
    [
        ("open_clip:ViT-B-23", {}, "no model of open_clip is called 'ViT-B-23'; did you mean 'ViT-B-32"),
        (
            "open_clip:ViT-B-32/laion2b",
            {},
            "open_clip's ViT-B-32 has no weights called 'laion2b'; did you mean 'laion2b_e16'",
        ),
        (
            "open_clip:ViT-B-32/openai",
            {"colour": 1},
            "does not accept the argument 'colour': expected one of force_image_size",
        ),
        ("open_clip:ViT-B-32/openai", {"force_image_size": "x"}, "cannot be built with force_image_size='x'"),
    ],
)
def test_what_open_clip_does_not_have_is_refused(arch: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        build_extractor(arch, arguments)
    assert message in str(caught.value)


def test_the_space_that_text_shares_may_be_squashed() -> None:
    """SigLIP's images are not cropped."""
    extractor = build_extractor("open_clip:ViT-B-16-SigLIP/webli", SMALL)
    steps = transform_steps(extractor) or []
    assert steps[0] == {"type": "Resize", "size": [32, 32], "interpolation": "bicubic"}
    assert steps[-1] == {"type": "Normalize", "mean": [0.5] * 3, "std": [0.5] * 3}
