"""Pipelines of transforms of every kind, and what each is in one piece, for the tests of the stores."""

import random

import torch
from PIL import ImageOps
from torchvision import transforms as T

from clearctl.data.cache.files import ImageFiles

FLOATS = [T.ToTensor(), T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
PIPELINES = {
    "published train": [T.Resize(32), T.RandomCrop(32), T.RandomHorizontalFlip(), *FLOATS],
    "published test": [T.Resize(36), T.CenterCrop(32), *FLOATS],
    "no normalize": [T.Resize((20, 30)), T.ToTensor()],
    "nothing but floats": [T.CenterCrop(40), *FLOATS],
    "crop beyond the image": [T.Resize(20), T.RandomVerticalFlip(0.5), T.CenterCrop(31), *FLOATS],
    "all that lead": [
        T.Resize(33, T.InterpolationMode.BICUBIC),
        T.Pad(3, (1, 2, 3)),
        T.Grayscale(3),
        T.CenterCrop(30),
        *FLOATS,
    ],
    "one channel": [T.Resize((24, 24)), T.Grayscale(1), T.ToTensor(), T.Normalize([0.5], [0.25])],
    "one mean for all": [T.Resize((24, 24)), T.ToTensor(), T.Normalize([0.5], [0.25])],
    "padded crop": [
        T.Resize((32, 32)),
        T.RandomCrop(32, padding=4, padding_mode="reflect"),
        T.RandomHorizontalFlip(),
        *FLOATS,
    ],
    "crop, padded where small": [T.Resize(20), T.RandomCrop(26, pad_if_needed=True), *FLOATS],
    "resized crop": [T.RandomResizedCrop(28), T.RandomHorizontalFlip(), *FLOATS],
    "colours": [T.Resize(32), T.RandomCrop(30), T.ColorJitter(0.4, 0.4, 0.4, 0.1), T.RandomHorizontalFlip(), *FLOATS],
    "python's generator": [
        T.Resize((30, 30)),
        T.RandomHorizontalFlip(),
        T.RandomChoice([T.RandomRotation(20), T.RandomGrayscale(0.5), T.ColorJitter(0.5)]),
        T.RandomOrder([T.RandomCrop(24), T.RandomApply([T.GaussianBlur(3)])]),
        *FLOATS,
    ],
    "floats in between": [T.Resize((30, 30)), T.RandomHorizontalFlip(), T.ToTensor(), T.RandomErasing(0.7), FLOATS[1]],
    "bytes": [T.Resize((30, 30)), T.PILToTensor()],
    "looks at more": [T.Lambda(ImageOps.exif_transpose), T.Resize((30, 30)), T.RandomCrop(20), *FLOATS],
}


def plain(files: ImageFiles, steps: list, numbers: list[int]) -> list[torch.Tensor]:
    return [T.Compose(steps)(files.decode(number)) for number in numbers]


def seeded() -> None:
    torch.manual_seed(5)
    random.seed(5)


def state() -> tuple[bytes, object]:
    return torch.get_rng_state().numpy().tobytes(), random.getstate()
