"""Model weights on disk: plain state dicts, written atomically, read without running pickled code."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from clearctl import atomic
from clearctl.errors import RunError

Weights = Mapping[str, torch.Tensor]


def save_weights(model: nn.Module, file: Path) -> None:
    """Write the weights of `model`, on the CPU, to `file`. Raises RunError where that fails."""
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    try:
        atomic.write_with(file, lambda temporary: torch.save(weights, temporary))
    except (OSError, RuntimeError) as error:
        raise RunError(f"the checkpoint {file} cannot be written: {error}") from None


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """The state dict in `file`: plain, or under `state_dict` or `model`, or in one wrapper key; `module.` is cut off.

    Raises RunError for a file that is missing, damaged, holds no weights or would need code to be unpickled.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RunError(f"no checkpoint at {file}") from None
    except pickle.UnpicklingError as error:
        needed = re.search(r"GLOBAL (\S+)", str(error))
        if needed is None:
            raise RunError(f"{file} is not a checkpoint, or damaged: torch cannot read it") from None
        raise RunError(f"{file} is refused: it holds more than weights, a pickled {needed[1]}") from None
    except Exception as error:
        reason = (str(error) or "it is empty").splitlines()[0]
        raise RunError(f"{file} is not a checkpoint, or damaged: {reason}") from None
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if isinstance(content, dict) and len(content) == 1 and isinstance(next(iter(content.values())), dict):
        content = next(iter(content.values()))
    if not isinstance(content, dict) or not any(isinstance(value, torch.Tensor) for value in content.values()):
        raise RunError(f"{file} holds no weights: expected a state dict {{name: tensor}}")
    return {name.removeprefix("module."): v for name, v in content.items() if isinstance(v, torch.Tensor)}


def load_exactly(model: nn.Module, file: Path) -> None:
    """Fill every weight of `model` from `file`. Raises RunError, naming what differs, if it is not this model's."""
    weights = read_weights(file)
    faults = _differences(model.state_dict(), weights)
    if faults:
        raise RunError(f"{file} is not of this model: {faults}")
    model.load_state_dict(weights)


def load_what_fits(model: nn.Module, file: Path) -> list[str]:
    """Start `model` from `file`, which may lack the head or be a backbone's alone; returns what stays as it was.

    Raises RunError if a weight of the backbone is missing or has another shape, or if nothing fits at all.
    """
    weights = read_weights(file)
    own = model.state_dict()
    if not any(name in own for name in weights):
        weights = {f"backbone.{name}": value for name, value in weights.items()}
    fitting = {name: v for name, v in weights.items() if name in own and own[name].shape == v.shape}
    left = [name for name in own if name not in fitting]
    body = [name for name in left if name.startswith("backbone.")]
    if body or not fitting:
        raise RunError(f"{file} does not fit the model: {_differences(own, weights)}")
    model.load_state_dict(fitting, strict=False)
    return left


def _differences(own: Weights, given: Weights) -> str:
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    reshaped = [
        f"{name} {list(given[name].shape)} for {list(own[name].shape)}"
        for name in own
        if name in given and own[name].shape != given[name].shape
    ]
    named = (("missing", missing), ("unexpected", unexpected), ("other shape", reshaped))
    return "; ".join(f"{what}: {_few(names)}" for what, names in named if names)


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
