"""What a file's weights have and a module's own have not: fill what fits, and say what does not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from clearctl.models.names import that_matter
from clearctl.models.state_dict import Weights


@dataclass(frozen=True)
class LoadReport:
    """What was taken from a file.

    `prefix` is what stood there before the names of the backbone or network, `left_random` are those of its names that
    the file has no fitting weight for, and `ignored` the names in the file that are not its: a classifier, a
    projector, another encoder.
    """

    prefix: str
    left_random: tuple[str, ...]
    ignored: tuple[str, ...]


def differences(own: Weights, given: Weights) -> str:
    """How `given` differs from a model's `own` weights: of each kind a few names, and how many more there are."""
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    shapes = [f"{name} {list(given[name].shape)} for {list(own[name].shape)}" for name in reshaped(own, given)]
    named = (("missing", missing), ("unexpected", unexpected), ("other shape", shapes))
    return "; ".join(f"{what}: {few(names)}" for what, names in named if names)


def reshaped(own: Weights, given: Weights) -> list[str]:
    """The names that both have, with another shape."""
    return [name for name in own if name in given and own[name].shape != given[name].shape]


def few(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def fill(module: nn.Module, weights: dict[str, torch.Tensor]) -> tuple[str, ...]:
    """Put into `module` what fits of `weights`, which have its names; returns the names that stay as they were.

    Hooks with which a module adapts weights, as mmcls's backbones have them, write to `weights`.
    """
    _load(module, weights, "")
    own = that_matter(module.state_dict())
    return tuple(name for name in own if name not in weights or weights[name].shape != own[name].shape)


def _load(module: nn.Module, weights: dict[str, torch.Tensor], prefix: str) -> None:
    """nn.Module.load_state_dict, but what does not fit is passed over."""
    faults: list[str] = []
    module._load_from_state_dict(weights, prefix, {}, True, [], [], faults)
    for name, child in module.named_children():
        _load(child, weights, f"{prefix}{name}.")


def of_deeper_parts(own: Weights, given: Iterable[str]) -> list[str]:
    """The names of `given` that are of a part that a backbone has, and not among its `own`: another architecture."""
    parts = {name.split(".")[0] for name in own}
    return [name for name in given if name not in own and name.split(".")[0] in parts]


def ignored(own: Weights, weights: Weights, names: Mapping[str, str]) -> tuple[str, ...]:
    """Of `weights` those that `names` {name: name in the file} has for none of `own`."""
    used = {names[name] for name in own if name in names}
    return tuple(name for name in weights if name not in used)
