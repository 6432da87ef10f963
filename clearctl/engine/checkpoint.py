"""A run's model weights on disk: plain state dicts, written atomically, and loaded into the model of a config."""

from pathlib import Path

import torch
from torch import nn

from clearctl import atomic
from clearctl.errors import RunError
from clearctl.models.fitting import differences
from clearctl.models.state_dict import Weights, read_weights


def save_weights(model: nn.Module, file: Path) -> None:
    """Write the weights of `model`, on the CPU, to `file`. Raises RunError where that fails."""
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    try:
        atomic.write_with(file, lambda temporary: torch.save(weights, temporary))
    except (OSError, RuntimeError) as error:
        raise RunError(f"the checkpoint {file} cannot be written: {error}") from None


def load_exactly(model: nn.Module, file: Path) -> None:
    """Fill every weight of `model` from `file`. Raises RunError, naming what differs, if it is not this model's."""
    model.load_state_dict(read_exactly(model, file))


def read_exactly(model: nn.Module, file: Path) -> Weights:
    """The weights in `file`. Raises RunError, naming what differs, if they are not those of `model`."""
    weights = read_weights(file)
    faults = differences(model.state_dict(), weights)
    if faults:
        raise RunError(f"{file} is not of this model: {faults}")
    return weights
