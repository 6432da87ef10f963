"""Transforms split between the image and the device: together exactly what they are in one piece."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as T

from clearctl.data.transforms import compose, split_at_pixels

NORMALIZE = T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@pytest.fixture
def images() -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 256, (31, 40, 3), dtype=np.uint8)) for _ in range(5)]


@pytest.mark.parametrize(
    ("steps", "stays_bytes"),
    [
        ([T.Resize(24), T.CenterCrop(24), T.ToTensor(), NORMALIZE], True),
        ([T.CenterCrop(24), T.ToTensor()], True),
        ([T.ToTensor(), NORMALIZE], True),
        ([T.ToTensor(), T.CenterCrop(24), NORMALIZE], False),
        ([T.CenterCrop(24), T.ToTensor(), T.Lambda(lambda x: x * 2)], False),
        ([T.CenterCrop(24), T.PILToTensor()], True),
    ],
)
def test_the_two_halves_are_the_whole(images, steps, stays_bytes):
    whole = torch.stack([compose(steps)(image) for image in images])
    pixels, prepare = split_at_pixels(steps)
    batch = torch.stack([pixels(image) for image in images])
    assert (batch.dtype == torch.uint8) == stays_bytes
    before = batch.clone()
    assert torch.equal(prepare(batch), whole)
    assert torch.equal(batch, before)
