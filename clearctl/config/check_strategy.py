"""The section `cl_strategy` of a config: the strategy, its optimizer, scheduler, loss, buffer and plugins."""

from collections.abc import Mapping
from typing import Any

from clearctl.config.catalogue import Catalogue
from clearctl.config.check_online import check_online
from clearctl.config.findings import Findings
from clearctl.config.keys import EVERY_STRATEGY, SCHEDULER, STRATEGY, UNITS, WATCHED
from clearctl.config.own import is_own
from clearctl.config.plugins import UNIT_NAMES, check_plugins
from clearctl.config.ranges import RANGES
from clearctl.config.registry import Parameter, parameters

# Arguments that clearctl fills in itself: a config must not give them.
FILLED_STRATEGY = ("model", "optimizer", "criterion", "device", "plugins", "evaluator")


def check_strategy(found: Findings, key: str, section: dict[str, Any], catalogue: Catalogue) -> None:
    """Add to `found` what is wrong with the section at `key`."""
    own = tuple(STRATEGY)
    arguments = {name: value for name, value in section.items() if name not in own}
    if "train_epochs" in arguments and found.traits_of(section.get("type")).sees_samples_once:
        found.add(f"{key}.train_epochs", f"{section['type']} sees each sample once: leave it out")
        del arguments["train_epochs"]
    found.call(key, arguments, catalogue.strategies, filled=FILLED_STRATEGY, also=own)
    for name in EVERY_STRATEGY:
        if name in RANGES["strategy"]:
            found.count(f"{key}.{name}", section.get(name), RANGES["strategy"][name])
    if "peval_mode" in section:
        found.one_of(f"{key}.peval_mode", section["peval_mode"], tuple(UNIT_NAMES))
    for name, registry, filled in (
        ("optimizer", catalogue.optimizers, ("params",)),
        ("loss", catalogue.losses, ()),
        ("buffer", catalogue.buffers, ()),
    ):
        if section.get(name) is not None:
            found.call(f"{key}.{name}", section[name], registry, filled=filled)
    if section.get("scheduler") is not None:
        _scheduler(found, f"{key}.scheduler", section["scheduler"], catalogue)
    found.calls(f"{key}.plugins", section.get("plugins", []), catalogue.plugins)
    strategy = section.get("type")
    if isinstance(strategy, str) and catalogue.strategies.fault(strategy) is None:
        _takes(found, key, section, parameters(catalogue.strategies[strategy])[0], catalogue)


def _takes(
    found: Findings, key: str, section: dict[str, Any], accepted: Mapping[str, Parameter], catalogue: Catalogue
) -> None:
    """Check that optimizer, scheduler and loss are given exactly if the strategy uses them."""
    if "optimizer" in accepted and section.get("optimizer") is None:
        found.add(f"{key}.optimizer", "missing, such as optimizer=dict(type='SGD', lr=0.01)")
    needed, head = found.traits_of(section["type"]).head, _head_type(found.config.values)
    if needed is not None and head != needed and not is_own(head):
        found.add("model.head.type", f"found {head!r}, but {section['type']} writes its own head: give {needed!r}")
    for part, argument, reason in (
        ("optimizer", "optimizer", "learns without one"),
        ("scheduler", "optimizer", "learns without an optimizer"),
        ("loss", "criterion", "has its own loss"),
    ):
        if argument not in accepted and section.get(part) is not None:
            found.add(f"{key}.{part}", f"{section['type']} {reason}: leave it out")
    metrics = found.config.values.get("metrics")
    metrics = metrics if isinstance(metrics, list) else []
    check_plugins(found, key, section, accepted, metrics, catalogue.test_metrics)
    check_online(found, key, section, accepted)


def _head_type(values: Mapping[str, Any]) -> object:
    """The type of the config's head; None if there is none."""
    model = values.get("model")
    head = model.get("head") if isinstance(model, dict) else None
    return head.get("type") if isinstance(head, dict) else None


def _scheduler(found: Findings, key: str, section: Any, catalogue: Catalogue, nested: bool = False) -> None:
    """Check a scheduler, with clearctl's additional keys, and the schedulers inside it."""
    own = () if nested else tuple(SCHEDULER)
    arguments = section
    if isinstance(section, dict):
        arguments = {name: value for name, value in section.items() if name not in own}
    found.call(key, arguments, catalogue.schedulers, filled=("optimizer",), also=own)
    if not isinstance(section, dict):
        return
    if section.get("type") == "ReduceLROnPlateau" and not found.config.of_run:
        if nested:
            found.add(
                key,
                "ReduceLROnPlateau needs a loss, which no scheduler around it passes on: use it alone",
            )
        if section.get("mode", "min") != "min":
            found.add(f"{key}.mode", "ReduceLROnPlateau watches a loss, where lower is better: give 'min'")
    if section.get("schedulers") is not None and found.is_a(f"{key}.schedulers", section["schedulers"], list):
        for index, inner in enumerate(section["schedulers"]):
            _scheduler(found, f"{key}.schedulers.{index}", inner, catalogue, nested=True)
    if not nested:
        found.one_of(f"{key}.by", section.get("by", SCHEDULER["by"].default), UNITS)
        _watched(found, key, section)
        reset = section.get("reset")
        if reset is not None and found.is_a(f"{key}.reset", reset, bool) and reset and section.get("by") == "bucket":
            found.add(f"{key}.reset", "with by='bucket', reset=True would undo every step: give False")


def _watched(found: Findings, key: str, section: Mapping[str, Any]) -> None:
    """Check what ReduceLROnPlateau watches."""
    watch = section.get("watch", SCHEDULER["watch"].default)
    found.one_of(f"{key}.watch", watch, WATCHED)
    if watch != "validation_loss" or found.config.of_run:
        return
    if section.get("type") != "ReduceLROnPlateau":
        found.add(f"{key}.watch", f"{section.get('type')} watches no loss: only ReduceLROnPlateau takes this key")
    elif section.get("by") == "step":
        found.add(f"{key}.by", "validation images are tested after an epoch or a bucket, not after each step")
    found.needs_validation(f"{key}.watch", watch)
