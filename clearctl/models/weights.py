"""Loads weights from a checkpoint file into an extractor: finds the backbone's, and checks that all of them fit."""

import hashlib
from pathlib import Path
from typing import Any, cast

import torch

from clearctl.errors import RunError
from clearctl.models.extractor import FeatureExtractor
from clearctl.models.fitting import LoadReport, differences, require_usable, reshaped, unexpected_weights
from clearctl.models.names import find_module, that_matter
from clearctl.models.state_dict import Weights, read_weights
from clearctl.wording import in_one_line


def load_checkpoint(extractor: FeatureExtractor, file: Path, *, allow_partial: bool = False) -> LoadReport:
    """Fill the backbone of `extractor` from `file`, which may hold more than the backbone.

    In the file the backbone's names may have any prefix before them (`names.find_module`). The rest is ignored where it
    is a classifier or a part that the backbone has not; a layer too many in a part that it has means another
    architecture, and so does another shape.
    With `allow_partial` what the file lacks stays random.

    GoogLeNet and Inception v3 shift their input from then on as torchvision's weights for them expect it, unless the
    extractor was built with an argument `transform_input`.

    Raises RunError, and leaves `extractor` as it is, if the file does not fit or cannot be read, and, naming the key,
    for a weight that is not finite or not floating-point.
    """
    weights = that_matter(read_weights(file, extractor.wrappers))
    backbone = extractor.backbone.state_dict()
    own = that_matter(backbone)
    if extractor.convert is not None:
        weights = _converted(extractor, own, weights, file)
    prefix, names = find_module(own, weights)
    given = {name: weights[in_file] for name, in_file in names.items() if not _in_classifier(extractor, name)}
    too_many = unexpected_weights(own, given)
    missing = tuple(name for name in own if name not in given)
    is_other = bool(too_many or reshaped(own, given)) or len(missing) == len(own)
    if is_other or (missing and not allow_partial):
        where = f" (under its prefix {prefix!r})" if prefix else ""
        shown = {name: value for name, value in given.items() if not too_many or name in own or name in too_many}
        hint = "" if is_other else "\n--allow-partial accepts it and leaves the missing weights random"
        raise RunError(f"{file} does not fit {extractor.arch}{where}: {differences(own, shown)}{hint}")
    require_usable(file, own, weights, {name: names[name] for name in given})
    for name in own.keys() - missing:
        backbone[name].copy_(given[name])  # the state dict shares its memory with the backbone
    if hasattr(extractor.backbone, "transform_input") and "transform_input" not in extractor.arguments:
        cast(Any, extractor.backbone).transform_input = True
    return LoadReport(prefix, missing)


def _converted(extractor: FeatureExtractor, own: Weights, weights: Weights, file: Path) -> Weights:
    """`weights` as the library converts them; it is given those that have the backbone's names without a prefix."""
    assert extractor.convert is not None
    _, names = find_module(own, weights)
    if 2 * len(own.keys() & names.keys()) > len(own):
        weights = {name: weights[in_file] for name, in_file in names.items()}
    try:
        return that_matter(extractor.convert(dict(weights), extractor.backbone))
    except Exception as error:
        raise RunError(f"{file} does not fit {extractor.arch}: {in_one_line(error)}") from None


def _in_classifier(extractor: FeatureExtractor, name: str) -> bool:
    return any(f"{name}.".startswith(f"{layer}.") for layer in extractor.classifier)


def weights_digest(extractor: FeatureExtractor) -> str:
    """sha256, in hexadecimal, of the backbone's state dict: the same on every device and in every memory format."""
    digest = hashlib.sha256()
    for name, value in extractor.backbone.state_dict().items():
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
