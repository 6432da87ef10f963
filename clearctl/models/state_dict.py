"""Reads the state dict of a checkpoint file without running pickled code."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from clearctl import checksums, tensor_files
from clearctl.errors import RunError
from clearctl.nearby import nearby_file
from clearctl.wording import few, first_line

Weights = Mapping[str, torch.Tensor]


def read_weights(file: Path, wrappers: Sequence[str] = ()) -> dict[str, torch.Tensor]:
    """The state dict in `file`: plain, or in a wrapper; `module.` is cut off.

    The wrapper is one of the keys `wrappers`, or `state_dict`, `model` or `teacher` (of DINO's two nets the one to
    evaluate), else the first key that holds a state dict. Command-line arguments beside the weights do no harm and are
    read over. A file called .safetensors is read as such.

    Where SHA256SUMS beside the file has a line for it, as in a run's folder, the file must have that sha256.

    Raises RunError for a file that is missing, damaged, holds no weights or would need code to be unpickled, and,
    naming the key, for a weight that is sparse, quantized or without data (meta).
    """
    summed = _recorded_sha256(file)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = tensor_files.load(file, sha256=summed)
    except FileNotFoundError:
        raise RunError(f"no checkpoint at {file}{nearby_file(file)}") from None
    except tensor_files.DamagedFileError as error:
        remedy = "copy or download it again"
        if summed is not None:
            remedy = f"restore it from a copy; if it was changed on purpose, remove its line from {checksums.NAME}"
        where = f" by {checksums.NAME}" if summed is not None else ""
        raise RunError(f"{file} is damaged: {error}{where}\n{remedy}") from None
    except tensor_files.UnreadableFileError as error:
        if error.pickled is None:
            raise RunError(f"{file} is not a checkpoint, or damaged: {error}") from None
        raise RunError(f"{file} is refused: it contains more than weights, a pickled {error.pickled}") from None
    except Exception as error:
        reason = first_line(error, "it is empty")
        raise RunError(f"{file} is not a checkpoint, or damaged: {reason}") from None
    weights = _unwrapped(content, wrappers)
    if not _is_state_dict(weights):
        raise RunError(f"{file} contains no weights: expected a state dict {{name: tensor}}")
    tensors = {name.removeprefix("module."): v for name, v in weights.items() if isinstance(v, torch.Tensor)}
    kinds = {name: tensor_files.not_plain(value) for name, value in tensors.items()}
    unreadable = [f"{name} ({kind})" for name, kind in kinds.items() if kind is not None]
    if unreadable:
        raise RunError(
            f"{file} has weights that are not plain tensors: {few(unreadable)}\n"
            "save them as dense tensors of floating-point numbers"
        )
    return tensors


def _recorded_sha256(file: Path) -> str | None:
    """The sha256 that SHA256SUMS beside `file` has for it."""
    try:
        return checksums.read_sums(file.parent).get(file.name)
    except OSError as error:
        raise RunError(f"{checksums.sums_file(file.parent)} cannot be read: {error.strerror}") from None


def _unwrapped(content: Any, wrappers: Sequence[str]) -> Any:
    for key in (*wrappers, "state_dict", "model", "teacher"):
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
