"""A trained network as a file that is used without clearctl: its weights, or itself, with labels and transform."""

import io
import json
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from clearctl import atomic
from clearctl.data.transforms import split_steps
from clearctl.engine.build.transforms import build_steps
from clearctl.engine.extract.network import probe_batch
from clearctl.engine.predict.extractor import find_record
from clearctl.engine.predict.images import transformed
from clearctl.engine.predict.network import build_model, in_float32
from clearctl.engine.predict.target import Target, find_target
from clearctl.engine.states.checkpoint import load_exactly
from clearctl.errors import DatasetError, RunError, UsageError
from clearctl.progress import Listener, Message, ignore
from clearctl.shortrepr import ShortRepr
from clearctl.strategies.answers import why_no_probabilities
from clearctl.strategies.patches import applied
from clearctl.version import __version__
from clearctl.wording import any_of, first_line

SAFETENSORS, TORCHSCRIPT = "safetensors", "torchscript"
FORMATS = (SAFETENSORS, TORCHSCRIPT)
SUFFIXES = {".safetensors": SAFETENSORS, ".pt": TORCHSCRIPT, ".ts": TORCHSCRIPT, ".torchscript": TORCHSCRIPT}
METADATA_FILE = "metadata.json"  # in the archive of a TorchScript file
_EXAMPLES_PX = ((256, 256), (400, 256))  # of which a transform makes one size, or does not
_TOLERANCE = 1e-6


@dataclass(frozen=True, repr=False)
class ExportResult(ShortRepr):
    """The file that was written, and what is in it beside the weights (`describe`)."""

    file: Path
    format: str
    checkpoint: Path
    metadata: dict[str, Any]


@applied()
def export_model(
    target: Path | str,
    output: Path | str,
    *,
    format: str | None = None,
    bucket: str | int | None = None,
    config: Path | str | None = None,
    listener: Listener = ignore,
) -> ExportResult:
    """Write a trained network to `output`, its class names and transform next to it. No dataset is read.

    Args:
        target: a run folder, or a checkpoint.
        output: the file to write; an existing one is replaced.
        format: `safetensors`, the weights by their names, or `torchscript`, the network itself, from a batch as the
            tests take it to scores; None for what the suffix of `output` says (.safetensors; .pt, .ts, .torchscript).
        bucket: the model after the bucket of this name; None for the last one.
        config: for a checkpoint outside of a run folder: the run folder or the config that it was trained with.
        listener: notified of what was decided.

    The network computes in float32, whatever the run did. Raises UsageError, and RunError for what `predict` raises it
    for, for a network that cannot be written as TorchScript, and if the file cannot be written.
    """
    file = Path(output)
    chosen = choose_format(file, format)
    asked = in_float32(
        find_target(
            Path(target),
            config=None if config is None else Path(config),
            bucket=None if bucket is None else str(bucket),
            all_buckets=False,
            listener=listener,
        )
    )
    ((name, checkpoint),) = asked.checkpoints.items()
    if asked.run is not None and file.resolve().is_relative_to((asked.run / "checkpoints").resolve()):
        raise UsageError(f"--output {file} is inside the run's checkpoints folder: choose another place")
    model = build_model(asked, torch.device("cpu"), listener)
    load_exactly(model, checkpoint)
    listener(Message(f"the model after bucket {name}: {checkpoint}"))
    metadata, example = describe(asked, name, listener)
    data = _as_torchscript(model, example, metadata) if chosen == TORCHSCRIPT else _as_safetensors(model, metadata)
    try:
        atomic.write_bytes(file, data)
    except OSError as error:
        raise RunError(f"{file} cannot be written: {error.strerror}") from None
    return ExportResult(file, chosen, checkpoint, metadata)


def choose_format(output: Path, format: str | None) -> str:
    """The format that is meant: `format`, else what the suffix of `output` says. Raises UsageError."""
    if format not in (None, *FORMATS):
        raise UsageError(f"--format {format}: expected {any_of(FORMATS)}")
    found = format or SUFFIXES.get(output.suffix.lower())
    if found is None:
        raise UsageError(f"--output {output}: expected a name that ends in {any_of(list(SUFFIXES))}, or a --format")
    return found


def describe(target: Target, bucket: str, listener: Listener) -> tuple[dict[str, Any], torch.Tensor]:
    """(what a user has to know beside the weights, two random inputs of the network).

    `class_names`; `input`, its shape ("H" and "W" where the transform leaves images as large as they are);
    `eval_transform`, as a config lists it, with which images become inputs, or for a head on features `in_features` and
    `extraction`, how they are made of images (None if that is not known); `scores`, "logits" or what else they are;
    `model`, the config's section; `strategy`, `bucket`, `clearctl`. All of it as in JSON.
    """
    values, scenario = target.config.values, target.settings.scenario
    model = {name: _without_files(part) for name, part in values["model"].items() if name not in _OF_FILES}
    found: dict[str, Any] = {
        "clearctl": __version__,
        "class_names": list(target.class_names),
        "scores": why_no_probabilities(target.settings) or "logits",
        "strategy": target.settings.strategy.call.type,
        "bucket": bucket,
        "model": model,
    }
    if not scenario.feature_type:
        stages = split_steps(build_steps(scenario.eval_transform))
        square, wide = (transformed(stages, Image.new("RGB", size)).shape for size in _EXAMPLES_PX)
        sizes = square[1:] if square == wide else ("H", "W")
        found |= {"input": ["B", square[0], *sizes], "eval_transform": values["scenario"]["eval_transform"]}
        return _as_json(found), probe_batch(square, stages)
    record = None
    with suppress(DatasetError):
        record = find_record(target)[0]
    if record is None:
        listener(Message("it is unknown how the features were extracted: the file does not contain it", warning=True))
    else:
        about = {
            name: each for name, each in ((record.get("about") or {}).get("weights") or {}).items() if name != "file"
        }
        record = {**record, "about": {"weights": about}}
    width = _in_features(target, record)
    found |= {"input": ["B", width], "in_features": width, "extraction": record}
    return _as_json(found), torch.randn(2, width, generator=torch.Generator().manual_seed(0))


def _as_json(metadata: dict[str, Any]) -> dict[str, Any]:
    """`metadata` as it is read back, tuples as lists."""
    found: dict[str, Any] = json.loads(json.dumps(metadata, default=str))
    return found


_OF_FILES = ("pretrained", "init_cfg")  # paths of this machine


def _without_files(part: Any) -> Any:
    return {name: value for name, value in part.items() if name not in _OF_FILES} if isinstance(part, dict) else part


def _in_features(target: Target, record: Mapping[str, Any] | None) -> int:
    """The number of features of a sample that the head takes."""
    model = target.settings.model
    for call, name in ((model.head, "in_channels"), (model.torchmodel, "in_features")):
        if call is not None and isinstance(call.arguments.get(name), int):
            return int(call.arguments[name])
    if record is not None:
        return int(record["dimension"])
    raise RunError("the number of input features is unknown: neither its config nor extraction.json has it")


def _as_safetensors(model: nn.Module, metadata: Mapping[str, Any]) -> bytes:
    from safetensors.torch import save

    tensors = {name: value.detach().clone().contiguous() for name, value in model.state_dict().items()}
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}
    return save(tensors, {"format": "pt", **texts})  # type: ignore[no-any-return]


def _as_torchscript(model: nn.Module, x: torch.Tensor, metadata: Mapping[str, Any]) -> bytes:
    """The network as TorchScript, traced for `x [2, ...]`, and asked for another batch. Raises RunError."""
    kind = type(getattr(model, "backbone", None) or model).__name__
    remedy = f"use --format {SAFETENSORS}"
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated; what the tracer warns of is looked at below
            traced = torch.jit.trace(model, x, check_trace=False)  # type: ignore[no-untyped-call]
            others = torch.cat([x.flip(0), x[:1] / 2])
            expected, found = model(others), traced(others)
            buffer = io.BytesIO()
            torch.jit.save(traced, buffer, _extra_files={METADATA_FILE: json.dumps(metadata)})
    except Exception as error:
        raise RunError(f"{kind} cannot be written as TorchScript: {first_line(error)}\n{remedy}") from None
    scale = max(1.0, float(expected.abs().max()))
    if expected.shape != found.shape or not (expected - found).abs().max() <= _TOLERANCE * scale:
        raise RunError(f"{kind} cannot be written as TorchScript: the traced network gives other outputs\n{remedy}")
    return buffer.getvalue()
