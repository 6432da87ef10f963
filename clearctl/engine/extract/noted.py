"""The content of extraction.json: the settings of features, and what else is noted of how they were made."""

import json
from typing import Any

import torch

from clearctl.engine.extract.recipe import Recipe
from clearctl.engine.gpu import describe_gpu
from clearctl.engine.machine import device_name, packages
from clearctl.errors import UsageError
from clearctl.features.record import THREADS
from clearctl.models.extractor import FeatureExtractor
from clearctl.models.weights import weights_digest
from clearctl.models.zoo.transforms import Steps
from clearctl.version import __version__


def settings_of(
    recipe: Recipe,
    network: FeatureExtractor,
    steps: Steps,
    device: torch.device,
    *,
    precision: str,
    exact: bool,
    compile: bool,
) -> dict[str, Any]:
    """The settings in extraction.json: features with other ones are other features."""
    return _as_json(
        {
            "arch": recipe.arch,
            "arguments": recipe.arguments,
            "weights_sha256": weights_digest(network),
            "transform": steps,
            "precision": precision,
            "exact": exact,
            "compile": compile,
            "device": device.type,
        }
    )


def about(source: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The entries of extraction.json besides the settings."""
    entries = {
        "weights": source,
        "clearctl": __version__,
        "packages": packages(),
        "device_name": device_name(device),
        "gpu": describe_gpu(device),
    }
    return entries if device.type == "cuda" else {**entries, THREADS: torch.get_num_threads()}


def _as_json(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings as extraction.json gives them back, tuples as lists. Raises UsageError for what JSON cannot hold."""
    try:
        value: dict[str, Any] = json.loads(json.dumps(settings))
    except (TypeError, ValueError) as error:
        raise UsageError(f"--arch-arg: the value cannot be written to extraction.json: {error}") from None
    return value
