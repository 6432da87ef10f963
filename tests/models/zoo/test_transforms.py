"""What transforms state of a model's input, and how they are told."""

from clearctl.engine.extract.recipe import PUBLISHED_TRANSFORM
from clearctl.models.zoo.transforms import describe, disagreements, input_of, normalized

OTHER = [
    {"type": "Resize", "size": 248, "interpolation": "bicubic"},
    {"type": "CenterCrop", "size": [248, 248]},
    *normalized((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
]


def test_the_input_is_what_the_last_crop_and_the_normalisation_make() -> None:
    found = input_of(PUBLISHED_TRANSFORM)
    assert (found.size_px, found.mean, found.std) == ((224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert input_of([{"type": "Resize", "size": 224}, {"type": "ToTensor"}]).size_px is None
    assert input_of([{"type": "Resize", "size": [64, 48]}]).size_px == (64, 48)
    assert input_of([{"type": "timm.data.transforms:CenterCropOrPad", "size": [32, 32]}]).size_px == (32, 32)


def test_only_size_and_normalisation_are_compared() -> None:
    assert disagreements(PUBLISHED_TRANSFORM, PUBLISHED_TRANSFORM) == []
    closer = [{"type": "Resize", "size": 232, "interpolation": "bilinear"}, *PUBLISHED_TRANSFORM[1:]]
    assert disagreements(PUBLISHED_TRANSFORM, closer) == []
    assert disagreements(PUBLISHED_TRANSFORM, OTHER) == [
        "size 248 px (used: 224)",
        "mean 0.5 0.5 0.5 (used: 0.485 0.456 0.406)",
        "std 0.5 0.5 0.5 (used: 0.229 0.224 0.225)",
    ]
    assert disagreements(PUBLISHED_TRANSFORM[:3], OTHER)[1] == "mean 0.5 0.5 0.5 (used: none)"


def test_a_transform_is_told_in_a_line() -> None:
    assert describe(PUBLISHED_TRANSFORM) == (
        "Resize 224, CenterCrop 224, ToTensor, Normalize 0.485/0.456/0.406 0.229/0.224/0.225"
    )
    assert describe(OTHER) == "Resize 248 bicubic, CenterCrop 248, ToTensor, Normalize 0.5 0.5"
