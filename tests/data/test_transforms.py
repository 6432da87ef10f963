"""Transforms split between the image and the device: together exactly what they are in one piece."""

import pickle

import pytest
import torch
from torchvision import transforms as T

from clearctl.data.pixels import ToFloat
from clearctl.data.transforms import split_steps

NORMALIZE = T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


RESIZE, CROP, FLIP, FLOATS = T.Resize(24), T.RandomCrop(20), T.RandomHorizontalFlip(), T.ToTensor()


class OwnResize(T.Resize):
    pass


@pytest.mark.parametrize(
    ("steps", "leading", "floats"),
    [
        ([RESIZE, CROP, FLIP, FLOATS, NORMALIZE], 1, True),
        ([RESIZE, T.CenterCrop(20), T.Pad(2), T.Grayscale(3), FLOATS], 4, True),
        ([FLOATS, NORMALIZE], 0, True),
        ([T.RandomResizedCrop(20), RESIZE, FLOATS], 0, True),
        ([RESIZE, T.Grayscale(1), FLOATS], 1, True),
        ([RESIZE, T.Compose([RESIZE]), FLOATS], 1, True),
        ([RESIZE, CROP, FLOATS, T.RandomErasing(), NORMALIZE], 1, False),
        ([RESIZE, T.PILToTensor()], 1, False),
        ([RESIZE, CROP, FLOATS, T.Lambda(torch.neg)], 1, False),
        ([RESIZE], 1, False),
        ([], 0, False),
    ],
)
def test_what_leads_is_what_gives_one_rgb_image(steps, leading, floats):
    split = split_steps(steps)
    assert split.refusal is None
    assert split.leading == tuple(steps[:leading])
    assert isinstance(split.finish, ToFloat) == floats
    per_sample = steps[leading:]
    if floats:
        per_sample = per_sample[: per_sample.index(FLOATS)]
    assert split.per_sample == tuple(per_sample)
    assert pickle.loads(pickle.dumps(split)).refusal is None


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ([T.Lambda(lambda image: image), RESIZE, FLOATS], "Lambda"),
        ([OwnResize(24), FLOATS, NORMALIZE], "OwnResize"),
        ([RESIZE, T.RandomApply([T.RandomChoice([FLIP, OwnResize(20)])]), FLOATS], "OwnResize"),
        ([RESIZE, lambda image: image, FLOATS, lambda x: x], "function"),
    ],
)
def test_a_step_that_may_look_at_more_than_pixels_keeps_all_from_being_stored(steps, name):
    split = split_steps(steps)
    assert split.refusal == f"{name} may use more than their pixels"
    assert split.leading == ()
