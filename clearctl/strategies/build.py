"""Builds a strategy from its parts, and checks it before a run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from avalanche.core import BasePlugin
from avalanche.evaluation import PluginMetric
from avalanche.logging import BaseLogger
from torch import nn

from clearctl.config.findings import Fault
from clearctl.config.registry import parameters
from clearctl.config.settings import Call, StrategySettings
from clearctl.models.fit import without_side_effects
from clearctl.nearby import closest
from clearctl.strategies.bucket_sizes import memory_of
from clearctl.strategies.loading.resumable import KnownPosition
from clearctl.strategies.methods.ewc import sample_gradient_fault
from clearctl.strategies.methods.head import layer_features
from clearctl.strategies.registry import STRATEGIES, argument
from clearctl.strategies.stepping.empty_loss import skip_zeros
from clearctl.strategies.stepping.schedule import SchedulerPlugin
from clearctl.strategies.stepping.stateful_loss import train_loss_only_in_steps
from clearctl.strategies.stepping.steps import skip_idle_steps
from clearctl.strategies.strategy import Strategy
from clearctl.strategies.traits import traits_of
from clearctl.strategies.watching.batch import BatchRecord
from clearctl.strategies.watching.evaluator import Evaluator
from clearctl.strategies.watching.hooks import skip_idle_callbacks
from clearctl.strategies.watching.periodic_tests import preserve_training_in_tests


def build_strategy(
    name: str,
    arguments: Mapping[str, Any],
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    scheduler: SchedulerPlugin | None,
    loss: nn.Module | None,
    metrics: Sequence[PluginMetric],
    loggers: Sequence[BaseLogger],
    plugins: Sequence[BasePlugin],
    record: BatchRecord,
    device: torch.device,
    validation_metrics: Sequence[PluginMetric] = (),
) -> Strategy:
    """The strategy called `name`, with `arguments` its own ones (`train_mb_size`, `ewc_lambda`, `buffer`, ...).

    `record` comes first of the plugins, so that those that watch the batches can read it. `validation_metrics` are the
    metrics again, for the tests on the validation parts, if the stream has any. Without a `loss` it is
    torch's cross-entropy, if the strategy takes one at all. Raises ValueError for an optimizer or a loss that the
    strategy has no use for, or an optimizer that is missing.
    """
    factory = STRATEGIES[name]
    accepted = parameters(factory)[0]
    given: dict[str, Any] = {**arguments}
    if "criterion" in accepted:
        given["criterion"] = nn.CrossEntropyLoss() if loss is None else loss
    elif loss is not None:
        raise ValueError("it has its own loss: leave `loss` out")
    if "optimizer" in accepted:
        if optimizer is None:
            raise ValueError("it needs an optimizer")
        given["optimizer"] = optimizer
    elif optimizer is not None:
        raise ValueError("it learns without an optimizer: leave `optimizer` and `scheduler` out")
    strategy: Strategy = factory(
        model=model,
        device=device,
        plugins=[record, *plugins, *([scheduler] if scheduler is not None else []), KnownPosition()],
        evaluator=Evaluator(record, metrics, loggers, validation_metrics),
        **given,
    )
    skip_idle_callbacks(strategy)
    skip_zeros(strategy)
    train_loss_only_in_steps(strategy)
    skip_idle_steps(strategy)
    preserve_training_in_tests(strategy)
    return strategy


def trains_on_whole_stream(strategy: Strategy) -> bool:
    """Whether the strategy learns all buckets in one call, `strategy.train(train_stream)`, instead of one by one.

    A user-defined class does where the one that it derives from does.
    """
    return any(traits_of(kind.__name__).learns == "stream" for kind in type(strategy).__mro__)


def needs_whole_buckets(strategy: StrategySettings) -> bool:
    """Whether a strategy splits a bucket, for which a single batch is too small."""
    return any(traits_of(call.type).splits_buckets for call in strategy.calls)


def check_against_stream(strategy: StrategySettings, num_buckets: int, task_labels: str) -> list[Fault]:
    """The faults of settings that would end a run, or do nothing, on the stream's buckets.

    `task_labels` are the scenario's.
    """
    faults = []
    for call in strategy.calls:
        traits = traits_of(call.type)
        of_buckets = traits.one_for_each_bucket
        values = call.arguments.get(of_buckets) if of_buckets else None
        if of_buckets and isinstance(values, list | tuple) and len(values) < num_buckets:
            text = f"{len(values)} values for {num_buckets} buckets: give one for each, from the first"
            faults.append(call.fault(text, of_buckets))
        if traits.samples_every_bucket and not argument(call, "reservoir"):
            size = argument(call, "sample_size")
            if size < num_buckets:
                text = f"{size} samples of {num_buckets} buckets: it takes the same number of each"
                faults.append(call.fault(text, "sample_size"))
        if traits.watches_tests:
            faults += _tested_place(call, num_buckets, task_labels)
    if traits_of(strategy.call.type).replays_whole_batches:
        size = argument(strategy.call, "mem_size")
        batch = argument(strategy.call, "batch_size_mem")
        batch = strategy.train_mb_size if batch is None else batch
        if size < batch:
            text = f"{size} is less than a batch of {batch} from the memory, so it would never replay"
            faults.append(strategy.call.fault(text, "mem_size"))
    if task_labels == "bucket":
        for call in strategy.calls:
            faults += _balanced_batch_fault(strategy, call, num_buckets)
    return faults


def _tested_place(call: Call, num_buckets: int, task_labels: str) -> Iterator[Fault]:
    """A metric of one task label or bucket that no test gives, so that early stopping would never find it."""
    stream = str(call.arguments.get("val_stream_name"))
    _, *parts = stream.split("/")
    last = num_buckets - 1
    task, bucket = (int(part.lstrip("TaskExp")) for part in [*parts, "0", "0"][:2])
    given = bucket if len(parts) > 1 else task
    if task > (last if task_labels == "bucket" else 0) or bucket > last:
        labels = f"task labels are 0 to {last}" if task_labels == "bucket" else "the task label is 0"
        text = f"found {stream!r}, but buckets are numbered 0 to {last} and {labels}"
        yield call.fault(text, "val_stream_name")
    elif task_labels == "bucket" and len(parts) > 1 and given != task:
        text = f"found {stream!r}, but bucket {bucket} has the task label {bucket}"
        yield call.fault(text, "val_stream_name")


def check_against_model(
    strategy: StrategySettings, model: nn.Module, samples: Callable[[], torch.Tensor]
) -> list[Fault]:
    """The faults in the layers of `model` that the strategy or a plugin asks for.

    `samples` gives a small batch `[B, ...]` of what is learned, on the model's device. The model stays as it is.
    """
    faults = []
    for call in strategy.calls:
        trained, read = traits_of(call.type).trained_layer, traits_of(call.type).feature_layer
        if trained and call.arguments.get(trained) is not None:
            text = _no_layer(model, call.arguments[trained], matrices=True)
            faults += [call.fault(text, trained)] if text else []
        elif read and argument(call, "use_adversarial_replay"):
            layer = call.arguments.get(read)
            text = None if layer is None else _no_layer(model, layer)
            if text is None:
                try:
                    with without_side_effects(model):
                        layer_features(model, samples(), layer)
                except ValueError as error:
                    text = str(error)
            faults += [call.fault(text, read)] if text else []
        elif call.arguments.get("importance") == "sample":
            with without_side_effects(model):
                text = sample_gradient_fault(model, samples())
            faults += [call.fault(text, "importance")] if text else []
    return faults


def _no_layer(model: nn.Module, name: object, *, matrices: bool = False) -> str | None:
    """A message if `model` has no layer called `name`, with a weight matrix if it is to be one of `matrices`."""
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


def _balanced_batch_fault(strategy: StrategySettings, call: Call, num_buckets: int) -> Iterator[Fault]:
    """Batches with fewer samples than task labels: Avalanche's balanced loaders take some of each label.

    `call` is the strategy itself, or one of its plugins.
    """
    traits, at, key, batch = traits_of(call.type), strategy.call, "train_mb_size", strategy.train_mb_size
    if traits.balances_batches:
        labels = min(num_buckets, memory_of(call, strategy)) if traits.learns == "memory" else num_buckets
    elif traits.balances_memory and argument(call, "task_balanced_dataloader"):
        labels = min(num_buckets - 1, memory_of(call, strategy))
        if call.arguments.get("batch_size_mem") is not None:
            at, key, batch = call, "batch_size_mem", call.arguments["batch_size_mem"]
    else:
        return
    if batch < labels:
        why = f"with scenario.task_labels='bucket' a batch of {call.type} has samples of each of {labels} buckets"
        yield at.fault(f"found {batch}, but {why}: give {labels} or more", key)
