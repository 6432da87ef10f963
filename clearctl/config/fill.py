"""A checked config to typed settings.

All of clearctl's defaults are filled in here from the tables of `keys`, which the check and docs/config.md
read too. Defaults of a class that a `type=` names are the class's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from clearctl.config import keys
from clearctl.config.keys import Keys
from clearctl.config.load import Config
from clearctl.config.settings import (
    Call,
    CheckpointSettings,
    ComputeSettings,
    DataSettings,
    ModelSettings,
    ScenarioSettings,
    SchedulerSettings,
    Settings,
    StrategySettings,
)
from clearctl.selection import Selection, bucket_names

INNER = "transforms"  # the argument of a transform that takes others
HOLDING_TRANSFORMS = ("RandomApply", "RandomChoice", "RandomOrder")


def fill(config: Config) -> Settings:
    """The settings of a config that has passed the check and is complete (`engine.build.config.open_config`)."""
    values = config.values
    top = _Section(config, "", values, keys.TOP)
    metrics = top.calls("metrics")
    left_out = any(call.type == keys.OF_LEFT_OUT for call in metrics)
    return Settings(
        config=config,
        scenario=replace(_scenario(top.section("scenario", keys.SCENARIO)), left_out=left_out),
        model=_model(top.section("model", keys.MODEL)),
        strategy=_strategy(top.section("cl_strategy", {**keys.EVERY_STRATEGY, **keys.STRATEGY})),
        metrics=metrics,
        loggers=top.calls("loggers"),
        data=DataSettings(**top.section("data", keys.DATA).all()),
        compute=ComputeSettings(**{field.name: top[field.name] for field in fields(ComputeSettings)}),
        checkpoints=CheckpointSettings(**top.section("checkpoint_config", keys.CHECKPOINTS).all()),
        work_dir=Path(top["work_dir"]),
        load_from=top["load_from"],
        seed=top["seed"],
        stop_on_divergence=top["stop_on_divergence"],
        has_own_code=bool(top["custom_imports"]),
    )


def calls_of(config: Config, key: str, entries: Sequence[Mapping[str, Any]]) -> tuple[Call, ...]:
    """The Calls that a list of dict(type=..., **arguments) at `key` describes."""
    return tuple(_call(config, f"{key}.{index}", entry) for index, entry in enumerate(entries))


def _call(config: Config, key: str, entry: Mapping[str, Any]) -> Call:
    arguments = {name: value for name, value in entry.items() if name != "type"}
    return Call(entry["type"], arguments, key, config.origin(key))


class _Section:
    """A section of a config, with the defaults of missing keys."""

    def __init__(self, config: Config, key: str, values: Mapping[str, Any], known: Keys) -> None:
        self.config = config
        self.key = key
        self.values = values
        self.known = known

    def __getitem__(self, name: str) -> Any:
        value = self.values.get(name)
        return self.known[name].default if value is None else value

    def all(self) -> dict[str, Any]:
        return {name: self[name] for name in self.known}

    def place(self, name: str) -> str:
        return f"{self.key}.{name}" if self.key else name

    def section(self, name: str, known: Keys) -> "_Section":
        return _Section(self.config, self.place(name), self[name] or {}, known)

    def call(self, name: str) -> Call | None:
        entry = self[name]
        return None if not entry else _call(self.config, self.place(name), entry)

    def calls(self, name: str) -> tuple[Call, ...]:
        return calls_of(self.config, self.place(name), self[name] or [])


def _scenario(section: _Section) -> ScenarioSettings:
    named = ("evaluation_protocol", "seed", "shot", "test_ratio", "feature_type", "evaluate_on", "task_labels")
    classes = section["classes"]
    return ScenarioSettings(
        dataset_root=Path(section["dataset_root"]),
        **{name: section[name] for name in named},
        buckets=None if section["buckets"] is None else bucket_names(section["buckets"]),
        selection=Selection(
            None if classes is None else tuple(classes),
            tuple(section["drop_classes"]),
            section["max_per_class"],
            section["validation"],
        ),
        train_transform=_transforms(section.config, section.place("train_transform"), section["train_transform"]),
        eval_transform=_transforms(section.config, section.place("eval_transform"), section["eval_transform"]),
    )


def inner_transforms(entry: Mapping[str, Any]) -> Any:
    """The list of calls inside a transform such as RandomApply; None for other transforms."""
    inner = entry.get(INNER)
    are_calls = isinstance(inner, list) and all(isinstance(each, dict) and "type" in each for each in inner)
    return inner if are_calls or entry.get("type") in HOLDING_TRANSFORMS else None


def _transforms(config: Config, key: str, entries: Sequence[Mapping[str, Any]]) -> tuple[Call, ...]:
    calls = []
    for call, entry in zip(calls_of(config, key, entries), entries, strict=True):
        inner = inner_transforms(entry)
        calls.append(
            call if inner is None else call.having(**{INNER: list(_transforms(config, f"{call.key}.{INNER}", inner))})
        )
    return tuple(calls)


def _model(section: _Section) -> ModelSettings:
    augments = (section["train_cfg"] or {}).get("augments") or []
    return ModelSettings(
        backbone=section.call("backbone"),
        neck=section.calls("neck") if isinstance(section["neck"], Sequence) else section.call("neck"),
        head=section.call("head"),
        torchmodel=section.call("torchmodel"),
        init_cfg=section["init_cfg"],
        pretrained=section["pretrained"],
        freeze=tuple(section["freeze"]),
        augments=calls_of(
            section.config,
            section.place("train_cfg.augments"),
            [augments] if isinstance(augments, Mapping) else augments,
        ),
    )


def _strategy(section: _Section) -> StrategySettings:
    entry = {name: value for name, value in section.values.items() if name not in (*keys.STRATEGY, "buffer")}
    scheduler = section.section("scheduler", keys.SCHEDULER)
    return StrategySettings(
        call=_call(section.config, section.key, entry),
        optimizer=section.call("optimizer"),
        scheduler=_scheduler(scheduler) if scheduler.values else None,
        loss=section.call("loss"),
        buffer=_buffer(section),
        plugins=section.calls("plugins"),
        train_mb_size=section["train_mb_size"],
        train_epochs=section["train_epochs"],
        eval_mb_size=section["eval_mb_size"],
        eval_every=section["eval_every"],
        eval_every_steps=section["eval_every_steps"],
    )


def _buffer(section: _Section) -> Call | None:
    """The buffer of a strategy, an argument that is itself a call."""
    entry = section.values.get("buffer")
    return None if entry is None else _call(section.config, section.place("buffer"), entry)


def _scheduler(section: _Section) -> SchedulerSettings:
    def call(key: str, entry: Mapping[str, Any]) -> Call:
        found = _call(section.config, key, entry)
        inner = entry.get("schedulers")
        if inner is None:
            return found
        return found.having(schedulers=[call(f"{key}.schedulers.{index}", child) for index, child in enumerate(inner)])

    entry = {name: value for name, value in section.values.items() if name not in keys.SCHEDULER}
    return SchedulerSettings(call(section.key, entry), section["by"], section["reset"], section["watch"])
