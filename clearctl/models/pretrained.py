"""mmcv's `Pretrained` initialisation from a file on disk, without mmcv's own loader.

mmcv's would fetch network addresses, and leaves to torch's default whether pickled code is run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clearctl.models.state_dict import read_weights


def address_fault(checkpoint: object) -> str | None:
    """Why `checkpoint` cannot be read: it must be the path of a file, not an address such as torchvision://resnet50."""
    if not isinstance(checkpoint, str) or not checkpoint:
        return f"found {checkpoint!r}, expected the path of a checkpoint file"
    if "://" in checkpoint:
        return f"found {checkpoint!r}: clearctl fetches no weights; download them and give the path of the file"
    return None


def is_pretrained(init_cfg: Any) -> bool:
    """Whether an `init_cfg`, or an entry of one that is a list, is mmcv's Pretrained."""
    return isinstance(init_cfg, Mapping) and init_cfg.get("type") == "Pretrained"


def load_pretrained(module: nn.Module, init_cfg: Mapping[str, Any]) -> list[str]:
    """Fill `module` as `init_cfg=dict(type='Pretrained', checkpoint=..., prefix=...)` says; returns the names left out.

    As with mmcv, weights of the file that the module lacks are ignored, and weights of the module that the file
    lacks, or has in another shape, stay as they are; a backbone adapts what it can (position embeddings of another
    size). With `prefix`, only what starts with it counts, without it. A file of a backbone alone fits a network too.
    Raises ValueError if nothing fits or the checkpoint is an address.
    """
    fault = address_fault(init_cfg.get("checkpoint"))
    if fault:
        raise ValueError(fault)
    file = Path(init_cfg["checkpoint"]).expanduser()
    weights = dict(read_weights(file))
    prefix = init_cfg.get("prefix") or ""
    if prefix:
        prefix = prefix if prefix.endswith(".") else f"{prefix}."
        weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    own = module.state_dict()
    if not any(name in own for name in weights):
        weights = {f"backbone.{name}": value for name, value in weights.items()}
    _load(module, weights, "")
    fitting = {name for name, value in weights.items() if name in own and own[name].shape == value.shape}
    # torch itself adds the counters of batch norms to old files that lack them.
    if all(name.endswith("num_batches_tracked") for name in fitting):
        where = f" under the prefix {prefix!r}" if prefix else ""
        raise ValueError(f"{file} holds{where} none of the weights of {type(module).__name__}")
    return [name for name in own if name not in fitting]


def _load(module: nn.Module, weights: dict[str, torch.Tensor], prefix: str) -> None:
    """nn.Module.load_state_dict, but what does not fit is passed over; hooks that adapt weights write to `weights`."""
    faults: list[str] = []
    module._load_from_state_dict(weights, prefix, {}, True, [], [], faults)
    for name, child in module.named_children():
        _load(child, weights, f"{prefix}{name}.")
