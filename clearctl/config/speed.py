"""Checks the settings for speed: how samples are read (`data`) and how the device computes."""

from collections.abc import Mapping
from typing import Any

from clearctl.config.findings import Findings
from clearctl.config.foreign import DATA as OF_MMCLS
from clearctl.config.keys import CACHES, DATA, GRAPHS, LOADERS, PRECISIONS, TOP
from clearctl.config.ranges import PROCESSES

# {(key, value): {strategy or plugin that cannot go with that value of the top level: why}}
RefusedWith = Mapping[tuple[str, object], Mapping[str, str]]


def check_speed(found: Findings, values: Mapping[str, Any], refused_with: RefusedWith) -> None:
    """Add to `found` the faults of `data`, `precision` and the switches of the device in `values`."""
    data = values.get("data")
    if data is not None and found.is_a("data", data, dict):
        _data(found, data)
    found.one_of("precision", values.get("precision", TOP["precision"].default), PRECISIONS)
    for name in ("compile", "channels_last", "tf32", "deterministic", "sync_bn", "stop_on_divergence"):
        found.is_a(name, values.get(name, TOP[name].default), bool)
    if values.get("sync_bn") is True and values.get("compile") is True:
        found.add("sync_bn", "compiled code cannot synchronize processes: leave out sync_bn or compile")
    model, strategy = values.get("model"), values.get("cl_strategy")
    if isinstance(model, dict):
        _of_model(found, values, model)
    if isinstance(strategy, dict):
        _of_strategy(found, values, strategy, refused_with)


def _data(found: Findings, section: Mapping[str, Any]) -> None:
    for name in section:
        if name in OF_MMCLS:
            found.add(f"data.{name}", f"this key of mmcls does nothing here: {OF_MMCLS[name]}, and leave it out")
    found.known("data", {name: value for name, value in section.items() if name not in OF_MMCLS}, tuple(DATA))
    found.count("data.workers", section.get("workers"), PROCESSES)
    found.one_of("data.loader", section.get("loader", DATA["loader"].default), LOADERS)
    found.one_of("data.cache", section.get("cache", DATA["cache"].default), CACHES)
    if section.get("loader") == "workers" and section.get("cache") in ("ram", "disk"):
        found.add("data.cache", "loader='workers' decodes every image again: leave one of the two out")
    if section.get("loader") == "resident" and section.get("cache") == "off":
        found.add("data.cache", "loader='resident' needs decoded images: leave one of the two out")
    if section.get("cache_dir") is not None:
        found.is_a("data.cache_dir", section["cache_dir"], str)
    found.is_a("data.batch_per_rank", section.get("batch_per_rank", DATA["batch_per_rank"].default), bool)
    found.one_of("data.graph", section.get("graph", DATA["graph"].default), GRAPHS)


def _of_model(found: Findings, values: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    """Check what the options need of the network."""
    if model.get("torchmodel") and values.get("precision") in ("bf16", "fp16"):
        found.add("precision", "a torchmodel computes in fp32: use a head, such as LinearClsHead")
    for name, done in (("compile", "is compiled"), ("channels_last", "takes that memory format")):
        if values.get(name) is True and not model.get("backbone"):
            found.add(name, f"model.backbone is missing, the part that {done}: leave {name} out")


def _of_strategy(
    found: Findings, values: Mapping[str, Any], strategy: Mapping[str, Any], refused_with: RefusedWith
) -> None:
    """Check for strategies and plugins that an option cannot be combined with."""
    plugins = strategy.get("plugins")
    for entry in [strategy, *(plugins if isinstance(plugins, list) else [])]:
        name = entry.get("type") if isinstance(entry, dict) else None
        for (key, value), reasons in refused_with.items():
            if values.get(key) == value and isinstance(name, str) and name in reasons:
                found.add(key, f"{name} cannot be combined with {key}={value!r}: {reasons[name]}")
