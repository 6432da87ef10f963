"""The network that extracted a run's features, rebuilt from extraction.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clearctl import layout, rundir
from clearctl.data.transforms import TransformStages, split_steps
from clearctl.engine.extract.network import RANDOM, probe_batch
from clearctl.engine.extract.recipe import build_recorded
from clearctl.engine.predict.target import Target
from clearctl.engine.run.inputs import RunInputs
from clearctl.errors import CapabilityError, DatasetError, RunError, UsageError
from clearctl.features.forward import Forward
from clearctl.features.record import NETWORK, read_extraction
from clearctl.models.extractor import FeatureExtractor
from clearctl.models.folding import folded
from clearctl.models.weights import weights_digest
from clearctl.models.zoo.build import build_extractor, load_default_weights, load_weights
from clearctl.progress import Listener, Message
from clearctl.schema import misfit

Record = Mapping[str, Any]


def find_record(target: Target) -> tuple[Record, Path]:
    """The record of how the run's features were made, and its file.

    That is the run's environment.json, or, of earlier runs, extraction.json of the dataset.

    Raises RunError if the run's note is damaged, DatasetError if nothing says it, or what says it is of features
    that have been made again since.
    """
    noted = target.environment.get("extraction")
    if noted is not None:
        wrong = misfit(noted, NETWORK)
        if wrong:
            raise RunError(f"environment.json of {target.run} is damaged: extraction: {wrong}")
        return noted, rundir.environment_file(target.run or Path())
    scenario = target.settings.scenario
    assert scenario.feature_type is not None
    file = layout.extraction_file(scenario.dataset_root, scenario.feature_type)
    found = read_extraction(scenario.dataset_root, scenario.feature_type)
    if found is None:
        there = "which does not say it" if file.is_file() else "which does not exist"
        raise DatasetError(
            f"how the features {scenario.feature_type!r} were extracted should be in {file}, {there}\n"
            "restore it, or extract features with clearctl and train on them: new runs record it themselves"
        )
    if target.run is not None and "the features" in RunInputs().changes(target.config, target.environment):
        raise DatasetError(
            f"{file} describes the current features, but the run was trained on others\n"
            "train again, or restore the run's features"
        )
    return found, file


def fill(network: FeatureExtractor, record: Record, weights: Path | None, listener: Listener) -> None:
    """Fill the network with the weights that made the features: of the file `weights`, or from where they came.

    Raises DatasetError, naming both digests, for other weights; and if it is not known where they are.
    """
    noted = (record.get("about") or {}).get("weights") or {}
    source, is_file = noted.get("from") or "", "prefix" in noted
    file = weights or (Path(noted["file"]) if noted.get("file") else None)
    if weights is None and is_file and (file is None or not file.exists()):
        where = f"{file}, which no longer exists" if file is not None else f"a file called {source}"
        raise DatasetError(
            f"the features were extracted by {network.arch} with the weights of {where}\n"
            "give the file with --extractor-weights FILE"
        )
    if file is not None:
        load_weights(network, file, allow_partial=bool(noted.get("left_random")))
        name = str(file)
    elif source == RANDOM:
        name = "random weights"
    else:
        name = _library_weights(network, listener)
    expected, found = record["settings"]["weights_sha256"], weights_digest(network)
    if found != expected:
        raise DatasetError(
            f"{name}: the weights of {network.arch} have the sha256 {found[:12]}..., expected {expected[:12]}..., those"
            " that the features were extracted with\ngive their file with --extractor-weights FILE"
        )
    listener(Message(f"features by {network.arch}, {name}"))


def _library_weights(network: FeatureExtractor, listener: Listener) -> str:
    """Fill the network with its library's weights; errors name the option of `predict`."""
    try:
        return load_default_weights(network, listener)
    except (CapabilityError, UsageError) as error:
        raise type(error)(str(error).replace("--checkpoint", "--extractor-weights")) from None


class Extractor:
    """Pixels of images to the features that `extract-features` would make of them.

    As there, batch norms are folded into convolutions if the record says so. A network that was compiled there is not
    compiled here: that differs in last bits.
    """

    def __init__(
        self, record: Record, file: Path, weights: Path | None, device: torch.device, listener: Listener
    ) -> None:
        settings = record["settings"]
        self.network = build_extractor(settings["arch"], settings["arguments"])
        fill(self.network, record, weights, listener)
        self.stages: TransformStages = split_steps(build_recorded(settings["transform"], file))
        self.is_exact = bool(settings.get("exact", False))
        self.precision: str = settings["precision"]
        self.device = device
        self.listener = listener
        self._forward: Forward | None = None

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """`pixels [B, 3, H, W]` before the transforms' `finish` to features `[B, D] float32`."""
        if self._forward is None:
            network: nn.Module = self.network
            if not self.is_exact:
                network = folded(self.network, probe_batch(pixels.shape[1:], self.stages))
            self._forward = Forward(
                network,
                self.stages.finish,
                self.device,
                self.precision,
                self.listener,
                channels_last=not self.is_exact,
            )
        return self._forward(pixels)
