"""Weights from a file of the field put into an extractor: which are the backbone's, and whether all of them fit."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from clearctl.errors import RunError
from clearctl.models.extractor import FeatureExtractor
from clearctl.models.state_dict import Weights, read_weights

# Where mmcls and self-supervised methods keep the backbone: MoCo v1 and v2 in encoder_q, MoCo v3 in base_encoder.
PREFIXES = ("", "backbone.", "encoder_q.", "base_encoder.", "momentum_encoder.")

# What files of earlier releases call by another name: torchvision's DenseNet, torchvision's ViT, mmcls's Swin.
_RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)"), r"\1"),
    (re.compile(r"(?<=\.mlp\.)linear_1\."), "0."),
    (re.compile(r"(?<=\.mlp\.)linear_2\."), "3."),
    (re.compile(r"^norm\."), "norm3."),
)
# What some files hold and others lack, and no feature depends on: a batch norm's counter, a mask that Swin computes.
_NO_MATTER = ("num_batches_tracked", "attn_mask")


@dataclass(frozen=True)
class LoadReport:
    """What `load_checkpoint` took from a file.

    `prefix` is what stood before the backbone's names, `left_random` are the names of the backbone that the file
    lacks, and `ignored` those in the file that are not the backbone's: a classifier, a projector, another encoder.
    """

    prefix: str
    left_random: tuple[str, ...]
    ignored: tuple[str, ...]


def differences(own: Weights, given: Weights) -> str:
    """How `given` differs from a model's `own` weights: of each kind a few names, and how many more there are."""
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    reshaped = [f"{name} {list(given[name].shape)} for {list(own[name].shape)}" for name in _reshaped(own, given)]
    named = (("missing", missing), ("unexpected", unexpected), ("other shape", reshaped))
    return "; ".join(f"{what}: {few(names)}" for what, names in named if names)


def _reshaped(own: Weights, given: Weights) -> list[str]:
    return [name for name in own if name in given and own[name].shape != given[name].shape]


def few(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def load_checkpoint(extractor: FeatureExtractor, file: Path, *, allow_partial: bool = False) -> LoadReport:
    """Fill the backbone of `extractor` from `file`, which may hold more than the backbone.

    In the file the backbone's names may have one of `PREFIXES` before them, or any other: the first that covers them
    all is taken, else the one that covers most. The rest is ignored where it is a classifier or a part that the
    backbone has not; a layer too many in a part that it has means another architecture, and so does another shape.
    With `allow_partial` what the file lacks stays random.

    GoogLeNet and Inception v3 shift their input from then on as torchvision's weights for them expect it, unless the
    extractor was built with an argument `transform_input`.

    Raises RunError, and leaves `extractor` as it is, if the file does not fit or cannot be read.
    """
    weights = {name: value for name, value in read_weights(file).items() if not name.endswith(_NO_MATTER)}
    backbone = extractor.backbone.state_dict()
    own = {name: value for name, value in backbone.items() if not name.endswith(_NO_MATTER)}
    prefix, names = _find_backbone(own, weights)
    given = {name: weights[in_file] for name, in_file in names.items() if not _in_classifier(extractor, name)}
    parts = {name.split(".")[0] for name in own}
    too_many = [name for name in given if name not in own and name.split(".")[0] in parts]
    missing = tuple(name for name in own if name not in given)
    is_other = bool(too_many or _reshaped(own, given)) or len(missing) == len(own)
    if is_other or (missing and not allow_partial):
        where = f" (under its prefix {prefix!r})" if prefix else ""
        shown = {name: value for name, value in given.items() if not too_many or name in own or name in too_many}
        hint = "" if is_other else "\n--allow-partial takes it, and leaves random what is missing"
        raise RunError(f"{file} does not fit {extractor.arch}{where}: {differences(own, shown)}{hint}")
    for name in own.keys() - missing:
        backbone[name].copy_(given[name])  # the state dict shares its memory with the backbone
    if hasattr(extractor.backbone, "transform_input") and "transform_input" not in extractor.arguments:
        cast(Any, extractor.backbone).transform_input = True
    used = {names[name] for name in own if name in names}
    return LoadReport(prefix, missing, tuple(name for name in weights if name not in used))


def _find_backbone(own: Weights, weights: Weights) -> tuple[str, dict[str, str]]:
    """The prefix under which `weights` have most of the names `own`, and {name without it: name in the file}."""
    others = [name[: dot.end()] for name in weights for dot in re.finditer(r"\.", name) if name[dot.end() :] in own]
    under = {
        prefix: {_name_today(name.removeprefix(prefix), own): name for name in weights if name.startswith(prefix)}
        for prefix in dict.fromkeys([*PREFIXES, *others])
    }
    return max(under.items(), key=lambda item: len(own.keys() & item[1].keys()))


def _name_today(name: str, own: Weights) -> str:
    if name in own:
        return name
    renamed = (pattern.sub(replacement, name) for pattern, replacement in _RENAMED)
    return next((new for new in renamed if new in own), name)


def _in_classifier(extractor: FeatureExtractor, name: str) -> bool:
    return extractor.classifier is not None and f"{name}.".startswith(f"{extractor.classifier}.")


def weights_digest(extractor: FeatureExtractor) -> str:
    """sha256, in hexadecimal, of the backbone's state dict: the same on every device and in every memory format."""
    digest = hashlib.sha256()
    for name, value in extractor.backbone.state_dict().items():
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
