"""Initial weights from a local file: by `load_from`, or by mmcv's `Pretrained` without mmcv's own loader.

mmcv's would fetch network addresses, and leaves to torch's default whether pickled code is run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from clearctl.errors import RunError
from clearctl.models.fitting import LoadReport, differences, fill, require_usable, unexpected_weights
from clearctl.models.names import BACKBONE, find_network, that_matter
from clearctl.models.state_dict import read_weights


def address_fault(checkpoint: object) -> str | None:
    """The reason why `checkpoint` cannot be read: it must be a path, not an address such as torchvision://resnet50."""
    if not isinstance(checkpoint, str) or not checkpoint:
        return f"found {checkpoint!r}, expected the path of a checkpoint file"
    if "://" in checkpoint:
        return f"found {checkpoint!r}: weights are not downloaded; give the path of a local file"
    return None


def is_pretrained(init_cfg: Any) -> bool:
    """Whether an `init_cfg`, or an entry of one that is a list, is mmcv's Pretrained."""
    return isinstance(init_cfg, Mapping) and init_cfg.get("type") == "Pretrained"


def load_network(network: nn.Module, file: Path) -> LoadReport:
    """Start `network` from `file`, which may lack the head, be a backbone's alone, or hold that under any prefix.

    A backbone adapts the weights that it can (position embeddings of another size). Raises RunError, and leaves
    `network` filled in part, if a weight of the backbone is missing or has another shape, if the file is of a deeper
    one, or if nothing fits at all; and, naming the key, for a weight that is not finite or not floating-point.
    """
    weights = read_weights(file)
    prefix, names = find_network(network.state_dict(), weights)
    require_usable(file, network.state_dict(), weights, names)
    given = {name: weights[in_file] for name, in_file in names.items()}
    left = fill(network, given, file)
    own = that_matter(network.state_dict())
    body = {name.removeprefix(BACKBONE): value for name, value in own.items() if name.startswith(BACKBONE)}
    in_body = [name.removeprefix(BACKBONE) for name in that_matter(given) if name.startswith(BACKBONE)]
    too_many = [BACKBONE + name for name in unexpected_weights(body, in_body)]
    if too_many or len(left) == len(own) or any(name.startswith(BACKBONE) for name in left):
        where = f" (under its prefix {prefix!r})" if prefix else ""
        shown = {name: value for name, value in given.items() if name in own or name in too_many or not body}
        raise RunError(f"{file} does not fit the model{where}: {differences(own, shown)}")
    return LoadReport(prefix, left)


def load_init_cfg(module: nn.Module, init_cfg: Mapping[str, Any]) -> list[str]:
    """Fill `module` as `init_cfg=dict(type='Pretrained', checkpoint=..., prefix=...)` says; returns the names left out.

    As with mmcv, weights of the file that the module lacks are ignored, and weights of the module that the file
    lacks, or has in another shape, stay as they are; a backbone adapts what it can (position embeddings of another
    size). With `prefix`, only what starts with it counts, without it. Without one the names in the file may have any,
    as those of a MoCo or BYOL checkpoint, and a file of a backbone alone fits a network too.
    Raises ValueError if nothing fits or the checkpoint is an address; RunError for a file that is damaged, and, naming
    the key, for a weight that is not finite or not floating-point.
    """
    fault = address_fault(init_cfg.get("checkpoint"))
    if fault:
        raise ValueError(fault)
    prefix = init_cfg.get("prefix") or ""
    if prefix and not prefix.endswith("."):
        prefix = f"{prefix}."
    file = Path(init_cfg["checkpoint"]).expanduser()
    weights = read_weights(file)
    if prefix:
        weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    _, names = find_network(module.state_dict(), weights)
    require_usable(file, module.state_dict(), weights, names)
    left = fill(module, {name: weights[in_file] for name, in_file in names.items()}, file)
    if len(left) == len(that_matter(module.state_dict())):
        where = f" under the prefix {prefix!r}" if prefix else ""
        raise ValueError(f"{file} has{where} none of the weights of {type(module).__name__}")
    return list(left)
