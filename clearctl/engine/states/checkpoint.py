"""A run's model weights on disk: plain state dicts, written atomically, and loaded into the model of a config."""

import io
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from clearctl import checksums
from clearctl.errors import RunError
from clearctl.models.fitting import differences, not_finite, require_usable
from clearctl.models.state_dict import Weights, read_weights


def save_weights(model: nn.Module, file: Path) -> None:
    """Write the weights of `model`, on the CPU, to `file`, and their sha256 next to it. Raises RunError on failure."""
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    # Not to the file itself: torch.save would put its temporary name into it, and the same weights have one sha256.
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    try:
        checksums.write_summed(file, buffer.getbuffer())
    except OSError as error:
        raise RunError(f"the checkpoint {file} cannot be written: {error}") from None


def load_exactly(model: nn.Module, file: Path, *, diverged: Callable[[list[str]], None] | None = None) -> None:
    """Fill every weight of `model` from `file`, as `read_exactly` reads it."""
    model.load_state_dict(read_exactly(model, file, diverged=diverged))


def read_exactly(model: nn.Module, file: Path, *, diverged: Callable[[list[str]], None] | None = None) -> Weights:
    """The weights in `file`.

    Raises RunError, naming what differs, if they are not those of `model`, and, naming the key, for one that is not
    floating-point or not finite; with `diverged` the names of those that are not finite are given to it instead.
    """
    weights = read_weights(file)
    own = model.state_dict()
    faults = differences(own, weights)
    if faults:
        raise RunError(f"{file} does not match this model: {faults}")
    require_usable(file, own, weights, {name: name for name in own}, finite=diverged is None)
    if diverged is not None and (bad := not_finite(own, weights)):
        diverged(bad)
    return weights
