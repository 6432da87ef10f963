"""Decides which runs can be trained as one batched model."""

import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from clearctl.config.settings import Call, ModelSettings, Settings, StrategySettings
from clearctl.strategies.traits import STRATEGIES, traits_of

HEADS = ("LinearClsHead", "CosineDistanceHead")
OPTIMIZERS = {
    "SGD": ("lr", "momentum", "weight_decay", "nesterov"),
    "Adam": ("lr", "betas", "eps", "weight_decay"),
    "AdamW": ("lr", "betas", "eps", "weight_decay"),
}
METRICS = ("accuracy_metrics", "loss_metrics", "forgetting_metrics")
LOGGERS = ("TextLogger",)

# The settings that may differ within a stack: the arithmetic has a number for each run, or its own strategy reads it.
_FREE = ("alpha", "temperature", "ewc_lambda", "decay_factor", "si_lambda", "eps", "max_importance", "eval_every")


def stack_key(settings: Settings) -> Hashable | None:
    """Runs with equal keys can be stacked; None for a run that cannot.

    The runs of a stack may differ in: seeds, also that of the iid split; learning rate, momentum, betas, weight decay
    and scheduler; the loss's weight, LwF's alpha and temperature, EWC's lambda, SI's arguments, a cosine head's
    temperature, which samples a biased reservoir prefers; metrics, loggers and what else does not change the training.
    """
    if why_not(settings):
        return None
    strategy, head, scenario = settings.strategy, settings.model.head, settings.scenario
    assert strategy.optimizer is not None, "it could not be stacked"
    assert head is not None, "it could not be stacked"
    parts = {
        "scenario": replace(scenario, seed=None, train_transform=(), eval_transform=()),
        "head": [head.type, head.arguments.get("num_classes"), head.arguments.get("in_channels")],
        "strategy": strategy.call.without(*_FREE).entry,
        "optimizer": [strategy.optimizer.type, bool(strategy.optimizer.arguments.get("nesterov"))],
        "buffer": strategy.buffer and strategy.buffer.without("alpha_mode", "alpha_value", "evict").entry,
        "device": [settings.compute.deterministic, settings.compute.tf32, settings.data.graph],
    }
    return json.dumps(parts, sort_keys=True, default=str)


def why_not(settings: Settings) -> str:
    """The reason why a run cannot be stacked, in one line; empty if it can."""
    return next(_reasons(settings), "")


def _reasons(settings: Settings) -> Iterator[str]:
    strategy = settings.strategy
    if not settings.scenario.feature_type:
        yield "it trains on images: only heads on features are stacked"
    yield from _of_samples(settings)
    yield from _of_model(settings.model)
    if not traits_of(strategy.call.type).stackable:
        stacked = ", ".join(name for name, traits in STRATEGIES.items() if traits.stackable)
        yield f"{strategy.call.type} cannot be stacked; supported: {stacked}"
    if strategy.call.arguments.get("importance") == "sample":
        yield "cl_strategy.importance='sample' needs extra passes over the data"
    others = [plugin.type for plugin in strategy.plugins if not traits_of(plugin.type).stackable_plugin]
    if others:
        yield f"cl_strategy.plugins: {others[0]} acts between training steps"
    if any(str(plugin.arguments.get("metric")).startswith("validation") for plugin in strategy.plugins):
        yield "cl_strategy.plugins: RestoreBestEpoch tests on the validation images after each epoch"
    yield from _of_tests(strategy)
    yield from _of_loss("cl_strategy.loss", None if strategy.loss is None else strategy.loss.entry)
    yield from _of_optimizer(strategy.optimizer)
    if strategy.scheduler is not None:
        if strategy.scheduler.by == "step":
            yield "cl_strategy.scheduler.by='step' changes the learning rate within an epoch"
        yield from _of_scheduler(strategy.scheduler.call)
    if settings.stop_on_divergence:
        yield "stop_on_divergence may end it in the middle of a bucket"
    for key, calls, known in (("metrics", settings.metrics, METRICS), ("loggers", settings.loggers, LOGGERS)):
        for call in calls:
            if call.type not in known:
                yield f"{key}: {call.type} is not supported in a stack, which has: {', '.join(known)}"
            if call.arguments.get("trained_experience"):
                yield "metrics: trained_experience is computed at each step"


def _of_samples(settings: Settings) -> Iterator[str]:
    if settings.scenario.has_validation and settings.scenario.evaluate_on == "test":
        yield "scenario.validation is tested in addition to the test images"
    if settings.data.loader == "workers":
        yield "data.loader='workers' reads one sample at a time"
    if settings.data.loader == "mapped":
        yield "data.loader='mapped' leaves the features in their files, and a stack needs them in memory"
    if settings.compute.precision != "fp32":
        yield f"precision={settings.compute.precision!r}: a stack computes in fp32"


def _of_tests(strategy: StrategySettings) -> Iterator[str]:
    for name, never in (("eval_every", -1), ("eval_every_steps", None)):
        if getattr(strategy, name) != never:
            yield f"cl_strategy.{name} tests in the middle of a bucket"


def _of_model(model: ModelSettings) -> Iterator[str]:
    kind = model.head.type if model.head is not None else None
    if model.backbone or model.neck or model.torchmodel:
        yield "the model is more than a head"
    if kind not in HEADS:
        yield f"the head {kind} cannot be stacked; supported: {', '.join(HEADS)}"
    if model.freeze:
        yield "model.freeze freezes the head"
    if model.augments:
        yield "model.train_cfg.augments mixes the samples of a batch"
    yield from _of_loss("model.head.loss", model.head_loss)


def _of_loss(key: str, loss: Mapping[str, Any] | None) -> Iterator[str]:
    if loss is None:
        return
    if loss["type"] != "CrossEntropyLoss":
        yield f"{key}: {loss['type']} is not CrossEntropyLoss"
    others = {name for name, value in loss.items() if name not in ("type", "loss_weight") and value}
    if others - {"reduction"} or loss.get("reduction", "mean") != "mean":
        yield f"{key}: a stack supports only its loss_weight, not {', '.join(sorted(others))}"


def _of_optimizer(optimizer: Call | None) -> Iterator[str]:
    kind = optimizer.type if optimizer is not None else None
    if optimizer is None or kind not in OPTIMIZERS:
        yield f"the optimizer {kind} cannot be stacked; supported: {', '.join(OPTIMIZERS)}"
        return
    others = [name for name, value in optimizer.arguments.items() if value and name not in OPTIMIZERS[kind]]
    if others:
        yield f"cl_strategy.optimizer.{others[0]} is not supported in a stack"


def _of_scheduler(scheduler: Call) -> Iterator[str]:
    if scheduler.type == "ReduceLROnPlateau":
        yield "ReduceLROnPlateau reads the loss of each step"
    for inner in scheduler.arguments.get("schedulers") or []:
        yield from _of_scheduler(inner)
