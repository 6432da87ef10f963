"""Which runs may be trained as one batched model."""

import json
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from clearctl.config.load import Config
from clearctl.strategies.traits import STRATEGIES, traits_of

HEADS = ("LinearClsHead", "CosineDistanceHead")
OPTIMIZERS = {
    "SGD": ("lr", "momentum", "weight_decay", "nesterov"),
    "Adam": ("lr", "betas", "eps", "weight_decay"),
    "AdamW": ("lr", "betas", "eps", "weight_decay"),
}
METRICS = ("accuracy_metrics", "loss_metrics", "forgetting_metrics")
LOGGERS = ("TextLogger",)

# What may differ within a stack: each run has its own number for it, or it is the run's own strategy that reads it.
_FREE = ("loss", "scheduler", "alpha", "temperature", "ewc_lambda", "decay_factor", "plugins", "eval_every")


def stack_key(config: Config) -> Hashable | None:
    """Runs with equal keys may be stacked; None for one that must run alone. `config` is what `open_config` returned.

    Within a stack may differ: seeds, that of the iid split too; learning rate, momentum, betas, weight decay and
    scheduler; the loss's weight, LwF's alpha and temperature, EWC's lambda, a cosine head's temperature, whom a biased
    reservoir prefers; metrics, loggers and what else changes nothing that is learned.
    """
    if why_not(config):
        return None
    values = config.values
    scenario, strategy = dict(values["scenario"]), dict(values["cl_strategy"])
    head = values["model"]["head"]
    optimizer, buffer = strategy["optimizer"], dict(strategy.get("buffer") or {})
    if scenario.get("evaluation_protocol") != "iid":
        scenario["evaluation_protocol"] = "streaming"
    scenario.setdefault("task_labels", "single")
    parts = {
        "scenario": _picked(
            scenario,
            "dataset_root",
            "evaluation_protocol",
            "feature_type",
            "shot",
            "test_ratio",
            "buckets",
            "task_labels",
        ),
        "head": _picked(head, "type", "num_classes", "in_channels"),
        "strategy": {name: value for name, value in strategy.items() if name not in (*_FREE, "optimizer", "buffer")},
        "optimizer": [optimizer["type"], bool(optimizer.get("nesterov"))],
        "buffer": {name: value for name, value in buffer.items() if name not in ("alpha_mode", "alpha_value", "evict")},
        "device": [bool(values.get("deterministic")), bool(values.get("tf32"))],
    }
    return json.dumps(parts, sort_keys=True, default=str)


def why_not(config: Config) -> str:
    """Why a run cannot be stacked, in one line; an empty text where it can."""
    return next(_reasons(config.values), "")


def _reasons(values: Mapping[str, Any]) -> Iterator[str]:
    strategy = values["cl_strategy"]
    if not values["scenario"].get("feature_type"):
        yield "it learns from images: only heads on features are stacked"
    if (values.get("data") or {}).get("loader") == "workers":
        yield "data.loader='workers' reads sample by sample"
    if (values.get("precision") or "fp32") != "fp32":
        yield f"precision={values['precision']!r}: a stack computes in fp32"
    yield from _of_model(values["model"])
    if not traits_of(strategy["type"]).stackable:
        stacked = ", ".join(name for name, traits in STRATEGIES.items() if traits.stackable)
        yield f"{strategy['type']} is not among the strategies that are stacked: {stacked}"
    if strategy.get("importance") == "sample":
        yield "cl_strategy.importance='sample' has passes of its own"
    plugins = [entry["type"] for entry in strategy.get("plugins") or []]
    others = [name for name in plugins if not traits_of(name).stackable_plugin]
    if others:
        yield f"cl_strategy.plugins: {others[0]} acts between the steps of a run"
    if strategy.get("eval_every", -1) not in (None, -1):
        yield "cl_strategy.eval_every tests in the middle of a bucket"
    yield from _of_loss("cl_strategy.loss", strategy.get("loss"))
    yield from _of_optimizer(strategy.get("optimizer"))
    yield from _of_scheduler(strategy.get("scheduler"))
    if values.get("stop_on_divergence"):
        yield "stop_on_divergence may end it in the middle of a bucket"
    yield from _of_reporting(values)


def _of_model(model: Mapping[str, Any]) -> Iterator[str]:
    head = model.get("head") or {}
    if model.get("backbone") or model.get("neck") or model.get("torchmodel"):
        yield "the model is more than a head"
    if head.get("type") not in HEADS:
        yield f"the head {head.get('type')} is not among those that are stacked: {', '.join(HEADS)}"
    if model.get("freeze"):
        yield "model.freeze keeps the head from learning"
    if (model.get("train_cfg") or {}).get("augments"):
        yield "model.train_cfg.augments mixes the samples of a batch"
    yield from _of_loss("model.head.loss", head.get("loss"))


def _of_loss(key: str, loss: Mapping[str, Any] | None) -> Iterator[str]:
    if loss is None:
        return
    if loss["type"] != "CrossEntropyLoss":
        yield f"{key}: {loss['type']} is not CrossEntropyLoss"
    others = {name for name, value in loss.items() if name not in ("type", "loss_weight") and value}
    if others - {"reduction"} or loss.get("reduction", "mean") != "mean":
        yield f"{key}: a stack knows only its loss_weight, not {', '.join(sorted(others))}"


def _of_optimizer(optimizer: Mapping[str, Any] | None) -> Iterator[str]:
    kind = (optimizer or {}).get("type")
    if kind not in OPTIMIZERS:
        yield f"the optimizer {kind} is not among those that are stacked: {', '.join(OPTIMIZERS)}"
        return
    assert optimizer is not None
    others = [name for name, value in optimizer.items() if value and name not in ("type", *OPTIMIZERS[kind])]
    if others:
        yield f"cl_strategy.optimizer.{others[0]} is nothing that a stack knows of {kind}"


def _of_scheduler(scheduler: Mapping[str, Any] | None) -> Iterator[str]:
    if scheduler is None:
        return
    if scheduler.get("by") == "step":
        yield "cl_strategy.scheduler.by='step' changes the learning rate within an epoch"
    if scheduler["type"] == "ReduceLROnPlateau":
        yield "ReduceLROnPlateau looks at the loss of each step"
    for inner in scheduler.get("schedulers") or []:
        yield from _of_scheduler(inner)


def _of_reporting(values: Mapping[str, Any]) -> Iterator[str]:
    for key, known in (("metrics", METRICS), ("loggers", LOGGERS)):
        for entry in values.get(key) or []:
            if entry["type"] not in known:
                yield f"{key}: {entry['type']} is not among those that a stack keeps: {', '.join(known)}"
            if entry.get("trained_experience"):
                yield "metrics: trained_experience is worked out at each step"


def _picked(section: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: section.get(name) for name in names}
