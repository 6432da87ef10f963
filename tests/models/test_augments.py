"""mmcls's augmentations of whole batches."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from clearctl.models.augments import build_augments

X = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 8, 8)  # each sample is a number of its own
Y = torch.tensor([0, 1, 2, 2])


def seed(value: int = 0) -> None:
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)


@pytest.mark.parametrize(
    "entry",
    [
        dict(type="BatchMixup", alpha=0.2, num_classes=3, prob=1.0),
        dict(type="BatchCutMix", alpha=1.0, num_classes=3, prob=1.0),
        dict(type="BatchResizeMix", alpha=1.0, num_classes=3, prob=1.0),
        dict(type="BatchMixup", alpha=1, num_classes=3, prob=1),  # whole numbers are floats too
    ],
)
def test_samples_and_labels_are_mixed_in_the_same_measure(entry: dict[str, Any]) -> None:
    augment = build_augments([entry])
    mixed_once = False
    for number in range(5):
        seed(number)
        given = X.clone()
        mixed, soft = augment(given, Y)
        assert torch.equal(given, X)  # what was handed in stays
        assert (mixed.shape, soft.shape, soft.dtype) == (X.shape, (4, 3), torch.float32)
        assert torch.allclose(soft.sum(1), torch.ones(4))
        seed(number)
        again = augment(given, Y)
        assert torch.equal(mixed, again[0])
        assert torch.equal(soft, again[1])
        mixed_once |= not torch.equal(mixed, X)
        # A sample's mean is lam * its own number + (1 - lam) * its partner's; so is its label.
        lam = soft[0, 0] if soft[0, 0] < 1 else None
        if lam is not None and entry["type"] != "BatchResizeMix":
            partner = int(soft[0, 1:].argmax()) + 1
            partners = [index for index in range(4) if Y[index] == partner]
            means = [(1 - lam) * float(X[index].mean()) for index in partners]
            assert any(mixed[0].mean().item() == pytest.approx(float(mean), abs=1e-5) for mean in means)
    assert mixed_once


def test_what_is_left_to_one_is_no_augmentation() -> None:
    augment = build_augments(dict(type="BatchMixup", alpha=1.0, num_classes=3, prob=0.5))
    untouched = 0
    for number in range(40):
        seed(number)
        mixed, soft = augment(X, Y)
        if torch.equal(mixed, X) and torch.equal(soft, functional.one_hot(Y, 3).float()):
            untouched += 1
    assert 10 <= untouched <= 30


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([dict(type="BatchMixup", alpha=0.0, num_classes=3)], "expected alpha > 0"),
        ([dict(type="BatchMixup", alpha=1.0, num_classes=3, prob=1.5)], "prob from 0 to 1"),
        (
            [
                dict(type="BatchMixup", alpha=1.0, num_classes=3, prob=0.7),
                dict(type="BatchCutMix", alpha=1.0, num_classes=3, prob=0.7),
            ],
            "less than or equal to 1, but got 1.40",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(entries: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_augments(entries)
