"""timm's models as the backbone of a network to train: `model.backbone=dict(type='timm:NAME', pretrained=True)`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clearctl.config.registry import Factory
from clearctl.distributed.randomness import preserve_random_states
from clearctl.models.weights import load_checkpoint
from clearctl.models.zoo import timm
from clearctl.models.zoo.hub import weights_in
from clearctl.models.zoo.names import TIMM
from clearctl.progress import Listener, Message, ignore
from clearctl.wording import in_one_line

_CUT = "the classifier is removed: model.head scores the classes"
_ELSEWHERE = "use pretrained=True or pretrained='FILE' for the weights"
_REFUSED = {
    "num_classes": _CUT,
    "features_only": "model.head takes one vector per image",
    "out_indices": "model.head takes one vector per image",
    "in_chans": "images have 3 channels",
    "checkpoint_path": _ELSEWHERE,
    "init_cfg": _ELSEWHERE,
    "pretrained_cfg": _ELSEWHERE,
    "pretrained_cfg_overlay": _ELSEWHERE,
    "cache_dir": _ELSEWHERE,
}


class TimmModels:
    """The names of timm's models, for a config's registry of backbones."""

    def fault(self, name: str) -> str | None:
        """The reason why timm has no model, or no weights, called `name`. Raises CapabilityError without timm."""
        return timm.name_fault(name)

    def __getitem__(self, name: str) -> Factory:
        """The factory of the model called `name`."""
        return TimmBackbone(name)


class TimmBackbone:
    """A model of timm without its classifier, which maps images to the vectors that timm's own classifier takes.

    `pretrained` is True for timm's own weights of the name's tag, or a file of weights; other arguments are those of
    `timm.create_model`.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, pretrained: bool | str = False, **arguments: Any) -> nn.Module:
        """The model, in train mode (`build`)."""
        return self.build({"pretrained": pretrained, **arguments}, ignore)

    def build(self, arguments: Mapping[str, Any], listener: Listener) -> nn.Module:
        """The model, in train mode; `listener` is reported to when weights are fetched.

        Raises what timm does for its arguments, UsageError if timm has no weights, CapabilityError if they cannot
        be fetched, RunError for a file that does not fit.
        """
        given = {name: value for name, value in arguments.items() if name != "pretrained"}
        network = timm.create(self.name, **given)
        source = arguments.get("pretrained")
        if source:
            self._load(network, given, source, listener)
        return network.train()

    def _load(self, network: nn.Module, arguments: Mapping[str, Any], source: bool | str, listener: Listener) -> None:
        """Fill `network` with timm's own weights (True) or those of a file."""
        learns = [parameter.requires_grad for parameter in network.parameters()]
        extractor = timm.extractor_of(f"{TIMM}{self.name}", arguments, network)  # takes the gradients away
        if isinstance(source, str):
            file = weights_in(Path(source).expanduser())
            timm.apply_published_config(extractor, file)
        else:
            file, name = timm.default_weights(extractor, listener)
            listener(Message(f"the backbone starts from {name}"))
        load_checkpoint(extractor, file)
        for parameter, does in zip(network.parameters(), learns, strict=True):
            parameter.requires_grad = does

    def arguments_fault(self, arguments: Mapping[str, Any]) -> tuple[str, str] | None:
        """(argument, what is wrong with it) of what cannot be given; the argument is "" if timm does not say which.

        The model is built for that, without memory for its weights if that is possible.
        """
        for argument, why in _REFUSED.items():
            if argument in arguments:
                return argument, f"timm's models do not accept {argument!r} here: {why}"
        given = {name: value for name, value in arguments.items() if name != "pretrained"}
        if not given:
            return None
        with preserve_random_states():
            for device in ("meta", "cpu"):  # some models compute with their weights as they are built
                try:
                    with torch.device(device):
                        timm.create(self.name, **given)
                    return None
                except Exception as error:
                    text = in_one_line(error)
        named = next((name for name in given if repr(name) in text), "")
        return named, f"timm's {self.name} rejects it: {text}"
