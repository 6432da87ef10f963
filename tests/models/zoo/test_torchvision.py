"""The transforms that torchvision states for its weights, as a config lists them."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models

from clearctl.data.transforms import compose
from clearctl.engine.extract.recipe import built
from clearctl.models.zoo.build import build_extractor, transform_steps

IMAGE = Image.fromarray(np.random.RandomState(0).randint(0, 256, (300, 420, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    "arch", ["resnet50", "inception_v3", "efficientnet_b1", "mobilenet_v3_small", "swin_t", "vit_b_32"]
)
def test_a_transform_is_that_of_the_weights(arch: str) -> None:
    steps = transform_steps(build_extractor(arch))
    assert steps is not None
    own = models.get_model_weights(arch).DEFAULT.transforms()
    assert torch.equal(compose(built(steps))(IMAGE), own(IMAGE))
