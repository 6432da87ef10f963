"""The state dict in a checkpoint file of the field, read without running pickled code."""

import argparse
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from clearctl.errors import RunError
from clearctl.nearby import nearby_file

Weights = Mapping[str, torch.Tensor]


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """The state dict in `file`: plain, or in a wrapper; `module.` is cut off.

    The wrapper is the key `state_dict`, `model` or `teacher` (of DINO's two nets the one to evaluate), else the first
    key that holds a state dict. Command-line arguments beside the weights do no harm and are read over.

    Raises RunError for a file that is missing, damaged, holds no weights or would need code to be unpickled.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RunError(f"no checkpoint at {file}{nearby_file(file)}") from None
    except pickle.UnpicklingError as error:
        needed = re.search(r"GLOBAL (\S+)", str(error))
        if needed is None:
            raise RunError(f"{file} is not a checkpoint, or damaged: torch cannot read it") from None
        raise RunError(f"{file} is refused: it holds more than weights, a pickled {needed[1]}") from None
    except Exception as error:
        reason = (str(error) or "it is empty").splitlines()[0]
        raise RunError(f"{file} is not a checkpoint, or damaged: {reason}") from None
    weights = _unwrapped(content)
    if not _is_state_dict(weights):
        raise RunError(f"{file} holds no weights: expected a state dict {{name: tensor}}")
    return {name.removeprefix("module."): v for name, v in weights.items() if isinstance(v, torch.Tensor)}


def _unwrapped(content: Any) -> Any:
    for key in ("state_dict", "model", "teacher"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if isinstance(content, dict) and not _is_state_dict(content):
        return next(filter(_is_state_dict, content.values()), None)
    return content


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and all(isinstance(name, str) for name in value)
        and any(isinstance(entry, torch.Tensor) for entry in value.values())
    )
