"""The network that a config describes, and whether it fits the stream."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clearctl.config.published import class_count_faults
from clearctl.config.settings import Call, ModelSettings, Settings
from clearctl.data.stream import Stream
from clearctl.distributed.randomness import preserve_random_states
from clearctl.engine.build.batches import require_equal_shapes, require_no_batch_of_one
from clearctl.engine.build.calls import building
from clearctl.engine.build.transforms import build_transforms
from clearctl.models.classifier import build_classifier
from clearctl.models.fit import find_mismatch
from clearctl.models.pretrained import is_pretrained, load_network
from clearctl.models.zoo.names import TIMM
from clearctl.progress import Listener, Message


def build_model(settings: Settings, stream: Stream, listener: Listener, *, first_weights: bool = True) -> nn.Module:
    """The network, with the weights of `pretrained` and then `load_from` if there are any.

    Without `first_weights` no file of weights is read: all weights are about to be replaced. Raises ConfigError if the
    network does not fit the stream.
    """
    model = build_network(settings, len(stream.class_names), listener, first_weights=first_weights)
    require_fit(settings, stream, model)
    file = settings.load_from
    if file and first_weights:
        report = load_network(model, Path(file))
        if report.prefix:
            listener(Message(f"load_from: the weights under {report.prefix!r} of {file}"))
        _report_unmatched("load_from", report.left_random, listener)
    return model


def build_network(settings: Settings, num_classes: int, listener: Listener, *, first_weights: bool = True) -> nn.Module:
    """The network that the model section describes, for a number of classes; `load_from` is not read.

    No dataset is needed. Without `first_weights` no file of weights is read. Raises ConfigError.
    """
    _require_classes(settings, num_classes, listener)
    with building("the network", partial(settings.error, "model")):
        return build_classifier(
            **_parts(settings.model, first_weights),
            on_left=lambda key, left: _report_unmatched(f"model.{key}", left, listener),
            listener=listener,
        )


def _report_unmatched(key: str, left: Sequence[str], listener: Listener) -> None:
    if left:
        listener(Message(f"{key} has no matching {', '.join(left)}: these keep their initial weights", warning=True))


def _parts(model: ModelSettings, first_weights: bool) -> dict[str, Any]:
    """The arguments of `build_classifier`."""

    def entry(call: Call | None) -> dict[str, Any] | None:
        if call is None or first_weights:
            return None if call is None else call.entry
        found = {**call.entry, "pretrained": False} if call.type.startswith(TIMM) else call.entry
        return {**found, "init_cfg": _without_files(found["init_cfg"])} if found.get("init_cfg") else found

    return {
        "backbone": entry(model.backbone),
        "neck": [entry(call) for call in model.neck] if isinstance(model.neck, tuple) else entry(model.neck),
        "head": entry(model.head),
        "torchmodel": entry(model.torchmodel),
        "init_cfg": model.init_cfg if first_weights else _without_files(model.init_cfg),
        "pretrained": model.pretrained if first_weights else None,
        "freeze": model.freeze,
    }


def _without_files(init_cfg: Any) -> Any:
    """An `init_cfg` without the entries that read weights from a file."""
    entries = init_cfg if isinstance(init_cfg, list | tuple) else [init_cfg]
    return [entry for entry in entries if entry and not is_pretrained(entry)] or None


def build_head(settings: Settings) -> nn.Module:
    """The head alone, or the torchmodel, without the weights of a checkpoint. Raises ConfigError."""
    model = settings.model
    with building("the network", partial(settings.error, "model")):
        if model.head is None:
            assert model.torchmodel is not None
            return build_classifier(torchmodel=model.torchmodel.entry)
        return build_classifier(head=model.head.entry)


def _require_classes(settings: Settings, classes: int, listener: Listener) -> None:
    """Raise ConfigError if the config has another number of classes than the dataset.

    Earlier versions made runs with more, which can still be tested and resumed.
    """
    for key, text in class_count_faults(settings.config.values, classes):
        if not settings.config.of_run:
            raise settings.error(key, text)
        listener(Message(f"{key}: {text}: scores of classes outside the dataset are never right", warning=True))


def require_fit(settings: Settings, stream: Stream, model: nn.Module) -> None:
    """Raise ConfigError, naming the key, if `model` cannot score a sample of the stream as the transforms give it.

    Random generators, batch norms and the train mode stay as they are.
    """
    samples = stream.buckets[0].test
    transforms = build_transforms(settings)
    batches = {}  # by shape: training and testing may have different sizes
    learned = None
    with preserve_random_states():
        for name, transform in zip(("train_transform", "eval_transform"), transforms, strict=True):
            x: Any = samples[0][0]
            try:
                x = transform(x) if transform else x
                batches[x.shape] = torch.stack([x, x])  # LeNet5 drops the dimension of a batch of one
                learned = batches[x.shape] if learned is None else learned
            except Exception as error:
                raise settings.error(f"scenario.{name}", f"an image cannot be transformed: {error}") from error
    for x in batches.values():
        misfit = find_mismatch(model, x, len(stream.class_names))
        if misfit:
            raise settings.error(f"model.{misfit.key}", misfit.text)
    if stream.feature_dim is None:
        require_equal_shapes(settings, stream, *transforms)
    assert learned is not None
    require_no_batch_of_one(settings, stream, model, learned)
