"""Evaluation transforms as in a config, and what they say about a model's input."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Steps = list[dict[str, Any]]


@dataclass(frozen=True)
class Input:
    """The output of a transform: side lengths in px, and the normalisation; None if it is open."""

    size_px: tuple[int, int] | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None


def normalized(mean: Iterable[float], std: Iterable[float]) -> Steps:
    """The steps from an image to a tensor with that `mean` and `std` of each channel taken off."""
    return [{"type": "ToTensor"}, {"type": "Normalize", "mean": list(mean), "std": list(std)}]


def input_of(steps: Sequence[Mapping[str, Any]]) -> Input:
    """The input that `steps` produce: the size of their last crop or resize, and their Normalize."""
    size, mean, std = None, None, None
    for step in steps:
        name = str(step.get("type")).rpartition(":")[2]
        if name in ("CenterCrop", "CenterCropOrPad"):
            size = _both_sides(step.get("size"))
        elif name == "Resize":  # a single number is the shorter side's
            size = None if isinstance(step.get("size"), int) else _both_sides(step.get("size"))
        elif name == "Normalize":
            mean, std = _numbers(step.get("mean")), _numbers(step.get("std"))
    return Input(size, mean, std)


def describe(steps: Sequence[Mapping[str, Any]]) -> str:
    """The `steps` in one line: `Resize 224, CenterCrop 224, ToTensor, Normalize 0.485 0.456 0.406 ...`."""
    texts = []
    for step in steps:
        values = [_text(value) for name, value in step.items() if name != "type"]
        texts.append(" ".join([str(step.get("type")).rpartition(":")[2], *values]))
    return ", ".join(texts)


def disagreements(used: Sequence[Mapping[str, Any]], stated: Sequence[Mapping[str, Any]]) -> list[str]:
    """The differences of the weights' own transform, `stated`, from the one that is `used`: size, mean, std."""
    ours, theirs = input_of(used), input_of(stated)
    found = []
    if theirs.size_px and ours.size_px and theirs.size_px != ours.size_px:
        found.append(f"size {_side(theirs.size_px)} px (used: {_side(ours.size_px)})")
    for what, one, other in (("mean", theirs.mean, ours.mean), ("std", theirs.std, ours.std)):
        if one and one != other:
            found.append(f"{what} {_listed(one)} (used: {_listed(other) if other else 'none'})")
    return found


def _both_sides(size: Any) -> tuple[int, int] | None:
    if isinstance(size, int):
        return size, size
    sides = tuple(size or ())
    return (sides[0], sides[-1]) if sides else None


def _numbers(values: Any) -> tuple[float, ...] | None:
    return tuple(float(value) for value in values) if isinstance(values, list | tuple) else None


def _side(size: tuple[int, int]) -> str:
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        same = len(set(map(str, value))) == 1
        return (
            str(value[0])
            if same
            else "/".join(f"{each:.4g}" if isinstance(each, float) else str(each) for each in value)
        )
    return str(value)


def _listed(values: Iterable[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)
