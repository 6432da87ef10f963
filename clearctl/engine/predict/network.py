"""A run's network for prediction: pixels of images in, class scores out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from clearctl.data.pixels import without_waiting
from clearctl.data.transforms import TransformStages, split_steps
from clearctl.distributed.randomness import preserve_random_states
from clearctl.engine.build.experiment import build_tested_model
from clearctl.engine.build.model import build_network
from clearctl.engine.build.transforms import build_steps
from clearctl.engine.predict.extractor import Extractor, find_record
from clearctl.engine.predict.target import Target
from clearctl.errors import DatasetError, RunError
from clearctl.models.state_dict import Weights
from clearctl.progress import Listener
from clearctl.shortage import shortage
from clearctl.wording import in_one_line


def build_model(target: Target, device: torch.device, listener: Listener) -> nn.Module:
    """The network that the target's weights are of, on the device, in eval mode; its weights are still to be loaded."""
    with preserve_random_states():
        classes = len(target.class_names) or _head_width(target)
        model = build_network(target.settings, classes, listener, first_weights=False)
        return build_tested_model(target.settings, model, device, listener)


def _head_width(target: Target) -> int:
    """The number of classes of the head, if no list of names says it."""
    model = target.settings.model
    found = [
        call.arguments.get(name)
        for call, name in ((model.head, "num_classes"), (model.torchmodel, "out_features"))
        if call
    ]
    return int(found[0]) if found and found[0] else 0


class Answers:
    """The answers of a target's network to batches of images; `stages` are the transforms that they come out of.

    Of a run on features the extractor comes first, with the weights in the file `extractor_weights` if that is given.
    """

    def __init__(
        self, target: Target, device: torch.device, listener: Listener, *, extractor_weights: Path | None = None
    ) -> None:
        scenario = target.settings.scenario
        self.device = device
        self.stages: TransformStages
        self._prepare: Callable[[torch.Tensor], torch.Tensor]
        if scenario.feature_type:
            extractor = Extractor(*find_record(target), extractor_weights, device, listener)
            self.stages, self._prepare = extractor.stages, extractor
        else:
            self.stages = split_steps(build_steps(scenario.eval_transform))
            self._prepare = self._finished
        self.model = build_model(target, device, listener)
        self._loaded: Weights | None = None

    def _finished(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.stages.finish(without_waiting(pixels, self.device))

    @torch.no_grad()
    def scores(self, pixels: torch.Tensor, weights: Mapping[str, Weights]) -> Iterator[tuple[str, torch.Tensor]]:
        """(name, scores [B, C] float32 on the CPU) of images `pixels [B, C, H, W]` for each of `weights` {name: them}.

        The steps before the network are done once. Raises DatasetError for images of a size that the network does not
        take, RunError for scores that are not finite, CapabilityError if memory is full.
        """
        try:
            x = self._prepare(pixels)
            for name, wanted in weights.items():
                if self._loaded is not wanted:
                    self.model.load_state_dict(wanted)
                    self._loaded = wanted
                found = self.model(x).float().cpu().reshape(len(x), -1)  # LeNet5 drops the dimension of a batch of one
                if not found.isfinite().all():
                    raise RunError(f"the scores after bucket {name} are not finite\nhalf precision may be too narrow")
                yield name, found
        except (RuntimeError, MemoryError, ValueError, AssertionError) as error:
            size = "x".join(map(str, pixels.shape[2:]))
            raise shortage(error) or DatasetError(
                f"the network rejects images of {size} px, the size after its eval_transform: {in_one_line(error)}"
            ) from error


def in_float32(target: Target) -> Target:
    """The same, its network computing in float32 and as its layers are written, whatever the run's config asks for."""
    compute = replace(
        target.settings.compute, precision="fp32", compile=False, channels_last=False, tf32=False, sync_bn=False
    )
    return replace(target, settings=replace(target.settings, compute=compute))
