"""A run's model weights on disk: plain state dicts, written atomically, and loaded into the model of a config."""

from pathlib import Path

import torch
from torch import nn

from clearctl import atomic
from clearctl.errors import RunError
from clearctl.models.state_dict import read_weights
from clearctl.models.weights import differences


def save_weights(model: nn.Module, file: Path) -> None:
    """Write the weights of `model`, on the CPU, to `file`. Raises RunError where that fails."""
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    try:
        atomic.write_with(file, lambda temporary: torch.save(weights, temporary))
    except (OSError, RuntimeError) as error:
        raise RunError(f"the checkpoint {file} cannot be written: {error}") from None


def load_exactly(model: nn.Module, file: Path) -> None:
    """Fill every weight of `model` from `file`. Raises RunError, naming what differs, if it is not this model's."""
    weights = read_weights(file)
    faults = differences(model.state_dict(), weights)
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
        raise RunError(f"{file} does not fit the model: {differences(own, weights)}")
    model.load_state_dict(fitting, strict=False)
    return left
