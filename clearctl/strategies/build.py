"""A strategy from its parts, and what can be known to be wrong with it before it runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from avalanche.training.supervised import JointTraining
from torch import nn

from clearctl.config.registry import closest, parameters
from clearctl.models.fit import without_side_effects
from clearctl.strategies.loading.resumable import KnownPosition
from clearctl.strategies.methods.ewc import sample_gradient_fault
from clearctl.strategies.methods.head import layer_features
from clearctl.strategies.registry import STRATEGIES
from clearctl.strategies.stepping.schedule import SchedulerPlugin
from clearctl.strategies.stepping.stateful_loss import learn_in_steps_alone
from clearctl.strategies.watching.batch import BatchRecord
from clearctl.strategies.watching.evaluator import Evaluator
from clearctl.strategies.watching.hooks import skip_idle_callbacks
from clearctl.strategies.watching.periodic_tests import preserve_generators_in_tests


def build_strategy(
    name: str,
    arguments: Mapping[str, Any],
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    scheduler: SchedulerPlugin | None,
    loss: Any | None,
    metrics: Sequence[Any],
    loggers: Sequence[Any],
    plugins: Sequence[Any],
    record: BatchRecord,
    device: torch.device,
) -> Any:
    """The strategy called `name`, with `arguments` its own ones (`train_mb_size`, `ewc_lambda`, `buffer`, ...).

    `record` comes first of the plugins, so that those that watch the batches can read it. Without a `loss` it is
    torch's cross-entropy, where the strategy takes one at all. Raises ValueError for an optimizer or a loss that the
    strategy has no use for, or an optimizer that is missing.
    """
    factory = STRATEGIES[name]
    accepted = parameters(factory)[0]
    given: dict[str, Any] = {**arguments}
    if "criterion" in accepted:
        given["criterion"] = nn.CrossEntropyLoss() if loss is None else loss
    elif loss is not None:
        raise ValueError("it has a loss of its own: leave `loss` out")
    if "optimizer" in accepted:
        if optimizer is None:
            raise ValueError("it needs an optimizer")
        given["optimizer"] = optimizer
    elif optimizer is not None:
        raise ValueError("it learns without an optimizer: leave `optimizer` and `scheduler` out")
    strategy = factory(
        model=model,
        device=device,
        plugins=[record, *plugins, *([scheduler] if scheduler is not None else []), KnownPosition()],
        evaluator=Evaluator(record, metrics, loggers),
        **given,
    )
    skip_idle_callbacks(strategy)
    learn_in_steps_alone(strategy)
    preserve_generators_in_tests(strategy)
    return strategy


def trains_on_whole_stream(strategy: Any) -> bool:
    """Whether the strategy learns all buckets in one call, `strategy.train(train_stream)`, instead of one by one."""
    return isinstance(strategy, JointTraining)


def needs_whole_buckets(section: Mapping[str, Any]) -> bool:
    """Whether a config's cl_strategy splits a bucket, so that a single batch of it is too little to learn from."""
    return section["type"] == "BiC" or any(entry["type"] == "BiCPlugin" for entry in section.get("plugins") or [])


def check_against_stream(
    section: Mapping[str, Any], num_buckets: int, task_labels: str = "single"
) -> list[tuple[str, str]]:
    """(key below cl_strategy, what is wrong) for settings that would end a run, or do nothing, on so many buckets.

    `section` is a config's cl_strategy that has passed the check, `task_labels` that of its scenario.
    """
    faults = []
    entries = [("", section), *((f"plugins.{i}.", entry) for i, entry in enumerate(section.get("plugins") or []))]
    for place, entry in entries:
        alpha, sample_size = entry.get("alpha"), entry.get("sample_size", 64)
        if entry["type"] in ("LwF", "LwFPlugin") and isinstance(alpha, list | tuple) and len(alpha) < num_buckets:
            faults.append(
                (f"{place}alpha", f"{len(alpha)} values for {num_buckets} buckets: give one for each, from the first")
            )
        if entry["type"] in ("AGEM", "AGEMPlugin") and not entry.get("reservoir") and sample_size < num_buckets:
            text = f"{sample_size} samples of {num_buckets} buckets: it takes the same number of each"
            faults.append((f"{place}sample_size", text))
        if entry["type"] == "EarlyStoppingPlugin":
            faults += _tested_place(place, str(entry.get("val_stream_name")), num_buckets, task_labels)
    name = section["type"]
    if name in ("DER", "ER_ACE", "FeatureReplay"):
        size = section.get("mem_size", 200)
        batch = section.get("batch_size_mem")
        if batch is None:
            batch = section.get("train_mb_size", 1) if name == "DER" else 10
        if size < batch:
            text = f"{size} is less than a batch of {batch} from the memory, so that it would never replay"
            faults.append(("mem_size", text))
    if task_labels == "bucket":
        for place, entry in entries:
            faults += _too_small_for_a_balanced_batch(section, place, entry, num_buckets)
    return faults


def _tested_place(place: str, stream: str, num_buckets: int, task_labels: str) -> Iterator[tuple[str, str]]:
    """A metric of one task label or bucket that no test gives, so that early stopping would never find it."""
    _, *parts = stream.split("/")
    last = num_buckets - 1
    task, bucket = (int(part.lstrip("TaskExp")) for part in [*parts, "0", "0"][:2])
    given = bucket if len(parts) > 1 else task
    if task > (last if task_labels == "bucket" else 0) or bucket > last:
        labels = f"task labels are 0 to {last}" if task_labels == "bucket" else "the task label is 0"
        yield f"{place}val_stream_name", f"found {stream!r}, but buckets are numbered 0 to {last} and {labels}"
    elif task_labels == "bucket" and len(parts) > 1 and given != task:
        text = f"found {stream!r}, but bucket {bucket} has the task label {bucket}"
        yield f"{place}val_stream_name", text


def check_against_model(
    section: Mapping[str, Any], model: nn.Module, samples: Callable[[], torch.Tensor]
) -> list[tuple[str, str]]:
    """(key below cl_strategy, what is wrong) for layers of `model` that `section` asks for.

    `samples` gives a small batch `[B, ...]` of what is learned, on the model's device. The model stays as it is.
    """
    faults = []
    entries = [("", section), *((f"plugins.{i}.", entry) for i, entry in enumerate(section.get("plugins") or []))]
    for place, entry in entries:
        if entry["type"] == "CWRStar" and entry.get("cwr_layer_name") is not None:
            fault = _no_layer(model, entry["cwr_layer_name"], matrices=True)
            faults += [(f"{place}cwr_layer_name", fault)] if fault else []
        elif entry["type"] == "RARPlugin" and entry.get("use_adversarial_replay", True):
            layer = entry.get("name_ext_layer")
            fault = None if layer is None else _no_layer(model, layer)
            if fault is None:
                try:
                    with without_side_effects(model):
                        layer_features(model, samples(), layer)
                except ValueError as error:
                    fault = str(error)
            faults += [(f"{place}name_ext_layer", fault)] if fault else []
        elif entry.get("importance") == "sample":
            with without_side_effects(model):
                fault = sample_gradient_fault(model, samples())
            faults += [(f"{place}importance", fault)] if fault else []
    return faults


def _no_layer(model: nn.Module, name: object, *, matrices: bool = False) -> str | None:
    """What is said if `model` has no layer called `name`, with a weight matrix if it is to be one of `matrices`."""
    layers = {
        layer: module
        for layer, module in model.named_modules()
        if layer and (not matrices or getattr(getattr(module, "weight", None), "ndim", 0) == 2)
    }
    if name in layers:
        return None
    what = "layer with a weight matrix" if matrices else "layer"
    hint = closest(str(name), layers) or (f": the last is {list(layers)[-1]!r}" if layers else "")
    return f"the network has no {what} {name!r}{hint}"


def _too_small_for_a_balanced_batch(
    section: Mapping[str, Any], place: str, entry: Mapping[str, Any], num_buckets: int
) -> Iterator[tuple[str, str]]:
    """Batches with fewer samples than task labels: Avalanche's balanced loaders take some of each label.

    `entry` is the strategy `section` itself, or one of its plugins at `place`.
    """
    name, batch = entry["type"], section.get("train_mb_size", 1)
    memory = (entry.get("buffer") or {}).get("max_size") or entry.get("mem_size") or 200
    if name in ("Cumulative", "JointTraining", "ICaRL", "GDumb", "GDumbPlugin"):
        labels = min(num_buckets, memory) if name.startswith("GDumb") else num_buckets
        key = "train_mb_size"
    elif name in ("Replay", "ReplayPlugin") and entry.get("task_balanced_dataloader"):
        labels = min(num_buckets - 1, memory)
        given = entry.get("batch_size_mem")
        key, batch = ("train_mb_size", batch) if given is None else (f"{place}batch_size_mem", given)
    else:
        return
    if batch < labels:
        why = f"with scenario.task_labels='bucket' a batch of {name} has samples of each of {labels} buckets"
        yield key, f"found {batch}, but {why}: give {labels} or more"
