"""Compares a file's weights with a module's: loads what fits, and reports what does not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from clearctl.errors import RunError
from clearctl.models.names import that_matter
from clearctl.models.state_dict import Weights
from clearctl.wording import few

# Of the floating-point types those that hold weights by themselves: 8 bits and fewer need a scale next to them.
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class LoadReport:
    """The result of loading weights from a file.

    `prefix` precedes the names of the backbone or network in the file, and `left_random` are those of its names
    that the file has no fitting weight for.
    """

    prefix: str
    left_random: tuple[str, ...]


def differences(own: Weights, given: Weights) -> str:
    """The differences between `given` and a model's `own` weights: a few names of each kind, and how many more."""
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    shapes = [f"{name} {list(given[name].shape)} for {list(own[name].shape)}" for name in reshaped(own, given)]
    named = (("missing", missing), ("unexpected", unexpected), ("other shape", shapes))
    return "; ".join(f"{what}: {few(names)}" for what, names in named if names)


def reshaped(own: Weights, given: Weights) -> list[str]:
    """The names that both have, with another shape."""
    return [name for name in own if name in given and own[name].shape != given[name].shape]


def require_usable(
    file: Path, own: Weights, weights: Weights, names: Mapping[str, str], *, finite: bool = True
) -> None:
    """Raise RunError, naming the keys, unless `weights` of `file` can become a model's `own` and are finite.

    `names` {name: name in the file} says which are taken. Where the model has an integer, as a batch norm's counter,
    every real number will do. Without `finite`, infinities and NaN will do everywhere.
    """
    taken = {in_file: (own[name], weights[in_file]) for name, in_file in names.items() if name in own}
    other = [f"{key} ({_dtype(value)})" for key, (wanted, value) in taken.items() if not _converts(value, wanted)]
    if other:
        raise RunError(
            f"{file} has weights that are not floating-point numbers as the model's are: {few(other)}\n"
            "save them as float32, or give another checkpoint"
        )
    bad = [key for key, (wanted, value) in taken.items() if not _is_finite(value, wanted)]
    if finite and bad:
        raise RunError(
            f"{file} has weights that are not finite: {few(bad)}\n"
            "its training diverged, or the file is damaged: give another checkpoint"
        )


def not_finite(own: Weights, given: Weights) -> list[str]:
    """The names that both have, and for which a number is given that is not finite."""
    return [name for name in own if name in given and not _is_finite(given[name], own[name])]


def _converts(value: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether `value` is stored as numbers that copying turns into those of `wanted`."""
    if wanted.is_complex():
        return value.is_complex()
    return value.dtype in _FLOATS or not (wanted.is_floating_point() or value.is_floating_point() or value.is_complex())


def _is_finite(value: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether `value` is finite, except for infinities that `wanted` has too: a mask for attention is made of them."""
    bad = ~value.isfinite()
    if not bad.any():
        return True
    return value.shape == wanted.shape and not (bad & (value != wanted.cpu())).any()


def _dtype(value: torch.Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def fill(module: nn.Module, weights: dict[str, torch.Tensor], file: Path) -> tuple[str, ...]:
    """Put into `module` what fits of `weights`, which have its names; returns the names that stay as they were.

    Hooks with which a module adapts weights, as mmcls's backbones have them, write to `weights`.
    Raises RunError, naming the `file` they are from, if one has the right shape and still cannot be copied.
    """
    faults = _load(module, weights, "")
    # Another shape is not a fault here: the caller gets the name, whose values are unchanged.
    refused = [fault.split("\n")[0] for fault in faults if not fault.startswith("size mismatch for ")]
    if refused:
        raise RunError(f"{file} has weights that cannot be copied into the model: {few(refused)}")
    own = that_matter(module.state_dict())
    return tuple(name for name in own if name not in weights or weights[name].shape != own[name].shape)


def _load(module: nn.Module, weights: dict[str, torch.Tensor], prefix: str) -> list[str]:
    """nn.Module.load_state_dict, but what does not fit is skipped; returns what torch says of it."""
    faults: list[str] = []
    module._load_from_state_dict(weights, prefix, {}, True, [], [], faults)
    for name, child in module.named_children():
        faults += _load(child, weights, f"{prefix}{name}.")
    return faults


def unexpected_weights(own: Weights, given: Iterable[str]) -> list[str]:
    """The names in `given` that belong to a part of the backbone but not to its `own` weights: another architecture."""
    parts = {name.split(".")[0] for name in own}
    return [name for name in given if name not in own and name.split(".")[0] in parts]
