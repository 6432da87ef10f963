"""Checks plugins against the rest of a config: what they need, and which cannot be combined."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from clearctl.config.findings import Findings
from clearctl.config.keys import EVERY_STRATEGY, SCHEDULER
from clearctl.config.traits import Traits

# From a config's list of metrics to the names of those with results in tests.
TestMetrics = Callable[[Sequence[Any]], Collection[str]]

UNIT_NAMES = {"epoch": "epochs", "iteration": "steps"}  # of peval_mode


def check_plugins(
    found: Findings,
    key: str,
    section: Mapping[str, Any],
    accepted: Collection[str],
    metrics: Sequence[Any],
    test_metrics: TestMetrics,
) -> None:
    """Add to `found` what is wrong with the plugins of the strategy at `key`, which takes arguments `accepted`.

    `metrics` is the config's list of metrics. A run's config was already used, perhaps by an earlier version with fewer
    checks, and must still resume and be tested.
    """
    if found.config.of_run:
        return
    entries = plugin_entries(section)
    types = [entry.get("type") for _, entry in entries]
    for index, entry in entries:
        name, strategy = entry.get("type"), section["type"]
        acts = found.traits_of(name).acts_on_steps
        if acts and "optimizer" not in accepted:
            found.add(f"{key}.plugins.{index}", f"{strategy} learns without an optimizer: leave {name} out")
        elif acts == "within" and found.traits_of(strategy).takes_own_steps:
            text = f"{strategy} runs its own training steps, on whose loss and gradients no plugin acts"
            found.add(f"{key}.plugins.{index}", f"{text}: leave {name} out")
        if found.traits_of(section["type"]).sees_samples_once and _shows_samples_again(found.traits_of(name)):
            text = f"{section['type']} must see each sample once, but {name} repeats some: leave it out"
            found.add(f"{key}.plugins.{index}", text)
    deciding = [name for name in types if found.traits_of(name).decides_weights]
    _only_one(found, f"{key}.plugins", entries, deciding, "choose the weights at the end of a bucket")
    for place, entry in ((key, section), *((f"{key}.plugins.{index}", entry) for index, entry in entries)):
        _arguments(found, place, entry, of_plugin=entry is not section)
        if entry.get("importance") == "sample" and _loss(found.config.values) == "SeesawLoss":
            text = "'sample' needs the loss of each single sample, but SeesawLoss depends on the batch: use 'batch'"
            found.add(f"{place}.importance", text)
    replacing = [name for name in types if found.traits_of(name).replaces_loader]
    if replacing and found.traits_of(section["type"]).replaces_loader:
        index, name = next((index, name) for (index, _), name in zip(entries, types, strict=True) if name in replacing)
        text = f"{section['type']} and {name} each replace the training data loader: leave {name} out"
        found.add(f"{key}.plugins.{index}", text)
    else:
        _only_one(found, f"{key}.plugins", entries, replacing, "replace the training data loader")
    for index, entry in entries:
        if str(entry.get("metric")).startswith("validation_"):
            found.needs_validation(f"{key}.plugins.{index}.metric", entry["metric"])
        if found.traits_of(entry.get("type")).watches_tests:
            _early_stopping(found, f"{key}.plugins.{index}", entry, section, metrics, test_metrics)


def _shows_samples_again(traits: Traits) -> bool:
    """Whether a plugin replays samples of earlier buckets, or skips some of a bucket."""
    return traits.replaces_loader or traits.splits_buckets or traits.learns != "bucket"


def plugin_entries(section: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    """(place in the list, entry) of the plugins of a strategy's `section`, of those that have the name of a type."""
    plugins = section.get("plugins")
    return (
        [
            (i, entry)
            for i, entry in enumerate(plugins)
            if isinstance(entry, dict) and isinstance(entry.get("type"), str)
        ]
        if isinstance(plugins, list)
        else []
    )


def _only_one(
    found: Findings, key: str, entries: Sequence[tuple[int, Mapping[str, Any]]], names: Collection[Any], what: str
) -> None:
    several = [(index, str(entry["type"])) for index, entry in entries if entry.get("type") in names]
    if len(several) > 1:
        listed = " and ".join(name for _, name in several)
        found.add(f"{key}.{several[-1][0]}", f"{listed} each {what}: leave one out")


def _arguments(found: Findings, key: str, entry: Mapping[str, Any], *, of_plugin: bool) -> None:
    """Check values of a plugin, or of a strategy that wraps it, that would fail in the middle of a run."""
    traits = found.traits_of(entry["type"])
    for argument, choices in traits.choices.items():
        if argument in entry:
            found.one_of(f"{key}.{argument}", entry[argument], choices)
    for argument, choices in traits.number_or.items():
        value = entry.get(argument)
        if isinstance(value, str) and value not in choices:
            found.add(f"{key}.{argument}", f"found {value!r}, expected a number or {' or '.join(map(repr, choices))}")
    buffer, strategy = traits.buffer if traits.buffer is not None and of_plugin else ("", None)
    if entry.get(buffer) is not None:
        instead = f"use the strategy {strategy} with cl_strategy.buffer" if strategy else "leave it out"
        found.add(f"{key}.{buffer}", f"a plugin's buffer is an object, which a config cannot contain: {instead}")
    if traits.decays and entry.get("mode") == "online" and entry.get("decay_factor") is None:
        found.add(
            f"{key}.decay_factor",
            "missing, such as 0.9: mode='online' multiplies the earlier importances by it",
        )


def _early_stopping(
    found: Findings,
    key: str,
    entry: Mapping[str, Any],
    section: Mapping[str, Any],
    metrics: Sequence[Any],
    test_metrics: TestMetrics,
) -> None:
    """Check EarlyStoppingPlugin: it watches a metric that only tests during training update."""
    unit, patience = entry.get("peval_mode", "epoch"), entry.get("patience")
    every = section.get("eval_every", EVERY_STRATEGY["eval_every"].default)
    if not _is_count(every) or every < 1:
        text = (
            f"found {every!r}, but EarlyStoppingPlugin watches a metric that only tests during training update: without"
            " them every bucket after the first would stop untrained; give 1"
        )
        found.add(f"{_parent(key)}.eval_every", text)
    elif _is_count(patience) and 1 <= patience < every:
        named = UNIT_NAMES.get(unit, unit)
        text = f"found {patience}, but the metric is updated every {every} {named} (eval_every): give {every} or more"
        found.add(f"{key}.patience", text)
    tested_by = section.get("peval_mode", EVERY_STRATEGY["peval_mode"].default)
    if unit != tested_by:
        found.add(
            f"{key}.peval_mode",
            f"found {unit!r}, expected {tested_by!r}, as cl_strategy.peval_mode",
        )
    margin = entry.get("margin", 0.0)
    if isinstance(margin, int):
        found.add(f"{key}.margin", f"found {margin!r}, expected a float such as {float(margin)!r}")
    _watched_metric(found, key, entry, test_metrics(metrics))


def _watched_metric(found: Findings, key: str, entry: Mapping[str, Any], names: Collection[str]) -> None:
    """Check the metric that EarlyStoppingPlugin watches, which must be among the `names` of the tests' metrics."""
    name, stream = entry.get("metric_name", "Top1_Acc_Stream"), entry.get("val_stream_name")
    if isinstance(name, str) and name not in names:
        there = ", ".join(names) or "none"
        text = f"no metric of the tests is called {name!r}, expected one of: {there}; add it to `metrics`"
        if name == "Top1_Acc_Stream":
            text += ", such as dict(type='accuracy_metrics', stream=True)"
        found.add(f"{key}.metric_name", text)
    known = r"(?:test|valid)_stream(/Task\d{3}(/Exp\d{3})?)?"
    place = re.fullmatch(known, stream) if isinstance(stream, str) else None
    if isinstance(stream, str) and not place:
        text = "expected 'test_stream' or, with scenario.validation, 'valid_stream'"
        found.add(f"{key}.val_stream_name", f"found {stream!r}, {text}")
    elif isinstance(stream, str) and stream.startswith("valid_"):
        found.needs_validation(f"{key}.val_stream_name", stream)
    if place and place.group(2) and "Exp" not in str(name):
        found.add(
            f"{key}.val_stream_name",
            f"{name} is for the whole stream, not a bucket: leave {place.group(2)!r} out",
        )
    lower_is_better = isinstance(name, str) and any(part in name for part in ("Loss", "ECE_", "NLL_"))
    if lower_is_better and entry.get("mode", "max") == "max":
        found.add(f"{key}.mode", f"found 'max', but lower {name} is better: give 'min'")


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _loss(values: Mapping[str, Any]) -> Any:
    """The type of the config's loss, in any of its places."""
    section, model = values.get("cl_strategy"), values.get("model")
    head = model.get("head") if isinstance(model, dict) else None
    for place in (section, head):
        loss = place.get("loss") if isinstance(place, dict) else None
        if isinstance(loss, dict):
            return loss.get("type")
    return None


def _parent(key: str) -> str:
    return key.partition(".plugins.")[0]


def plugin_notices(values: Mapping[str, Any]) -> Iterator[str]:
    """A line for each plugin whose effect may surprise, in a checked or unchecked config."""
    section = values.get("cl_strategy")
    if not isinstance(section, dict):
        return
    epochs = section.get("train_epochs", EVERY_STRATEGY["train_epochs"].default)
    for index, entry in plugin_entries(section):
        key, name = f"cl_strategy.plugins.{index}", entry.get("type")
        if name == "EarlyStoppingPlugin":
            if not str(entry.get("val_stream_name")).startswith("valid_"):
                yield (
                    f"{key}: EarlyStoppingPlugin chooses the epoch by test data, including those of later buckets:"
                    " the accuracies are too high for comparisons; with scenario.validation it can watch"
                    " val_stream_name='valid_stream', and RestoreBestEpoch chooses by training or validation data"
                )
            patience = entry.get("patience")
            by_epoch = entry.get("peval_mode", "epoch") == "epoch"
            if by_epoch and _is_count(patience) and _is_count(epochs) and patience >= epochs:
                yield f"{key}: EarlyStoppingPlugin never stops: patience={patience} is not below train_epochs={epochs}"
        batch, size = entry.get("batch_size_mem"), section.get("train_mb_size", EVERY_STRATEGY["train_mb_size"].default)
        if name == "RARPlugin" and batch is not None and batch != size:
            yield (
                f"{key}: RARPlugin also takes batch_size_mem={batch} samples of a bucket per step, after the first"
                f" bucket; train_mb_size={size} applies to the first only"
            )
    scheduler = section.get("scheduler")
    if isinstance(scheduler, dict) and scheduler.get("type") == "ReduceLROnPlateau":
        patience, by, reset = (
            scheduler.get("patience", 10),
            scheduler.get("by", SCHEDULER["by"].default),
            scheduler.get("reset"),
        )
        # The first epoch sets the best loss; after `patience` + 1 epochs without improvement the rate is lower.
        needed = patience + 3 if _is_count(patience) else 0
        if by == "epoch" and reset is not False and _is_count(epochs) and epochs < needed:
            yield (
                "cl_strategy.scheduler: ReduceLROnPlateau never lowers the learning rate: it is reset at each bucket,"
                f" and with patience={patience} it needs {needed} epochs or more, but train_epochs is {epochs}"
            )


def strategy_notes(values: Mapping[str, Any]) -> Iterator[str]:
    """Notes on the strategy and plugins of a valid config."""
    section = values.get("cl_strategy")
    if not isinstance(section, dict):
        return
    places = [("cl_strategy", section), *((f"cl_strategy.plugins.{i}", entry) for i, entry in plugin_entries(section))]
    for key, entry in places:
        if entry.get("type") in ("EWC", "EWCPlugin") and entry.get("importance", "batch") == "batch":
            yield (
                f"{key}.ewc_lambda: importances are squared gradients of batch means, so the best ewc_lambda grows"
                " with train_mb_size; those of importance='sample' do not depend on it"
            )
        elif entry.get("type") in ("MAS", "MASPlugin"):
            yield (
                f"{key}.lambda_reg: importances are gradients of batch means, so the best lambda_reg depends on"
                " train_mb_size"
            )
