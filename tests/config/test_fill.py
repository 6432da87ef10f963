"""A checked config as typed settings: every default is that of the documented keys."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from clearctl.config import keys
from clearctl.config.fill import fill
from clearctl.config.load import Config
from clearctl.config.settings import Call, CheckpointSettings, DataSettings, Settings
from clearctl.engine.build.config import open_config
from clearctl.errors import ConfigError
from clearctl.selection import Selection

LEAST: dict[str, Any] = {
    "scenario": {"dataset_root": "/data"},
    "model": {"head": {"type": "LinearClsHead", "num_classes": 3, "in_channels": 5}},
    "cl_strategy": {"type": "Naive", "optimizer": {"type": "SGD", "lr": 0.1}},
    "work_dir": "/runs",
    "seed": 0,
}


def filled(**sections: Any) -> Settings:
    """Those of the least config, with other values in some of its sections."""
    values = {**LEAST, **{name: {**LEAST.get(name, {}), **value} for name, value in sections.items()}}
    return fill(Config(values, "x.py"))


@pytest.mark.parametrize(
    ("section", "known"),
    [("scenario", keys.SCENARIO), ("data", keys.DATA), ("checkpoints", keys.CHECKPOINTS), ("compute", keys.TOP)],
)
def test_what_a_config_leaves_out_has_the_documented_default(section: str, known: keys.Keys) -> None:
    found = getattr(filled(), section)
    for field in dataclasses.fields(found):
        if field.name not in ("dataset_root", "train_transform", "eval_transform", "selection", "left_out"):
            assert getattr(found, field.name) == known[field.name].default, field.name


def test_a_config_that_says_nothing_of_classes_has_all() -> None:
    assert filled().scenario.selection == Selection()
    assert (keys.SCENARIO["classes"].default, keys.SCENARIO["drop_classes"].default) == (None, [])
    some = filled(scenario=dict(buckets="1-2", classes=["a", "b"], max_per_class=3)).scenario
    assert (some.buckets, some.selection) == (["1", "2"], Selection(("a", "b"), (), 3))


def test_none_is_the_default_too() -> None:
    found = filled(data=dict(workers=None, cache=None), checkpoint_config=dict(interval=None))
    assert found.data == DataSettings(0, "auto", "auto", None, False, "off")
    assert found.checkpoints == CheckpointSettings(1, "epoch")


def test_a_strategy_is_given_what_its_config_gives_and_no_default() -> None:
    strategy = filled(
        cl_strategy=dict(train_epochs=3, buffer=dict(type="ReservoirSamplingBuffer", max_size=9))
    ).strategy
    assert strategy.call == Call("Naive", {"train_epochs": 3}, "cl_strategy", "x.py")
    assert (strategy.train_epochs, strategy.train_mb_size, strategy.eval_mb_size, strategy.eval_every) == (
        3,
        1,
        None,
        -1,
    )
    assert strategy.buffer == Call("ReservoirSamplingBuffer", {"max_size": 9}, "cl_strategy.buffer", "x.py")


def test_schedulers_inside_of_one_are_calls() -> None:
    inner = [dict(type="ConstantLR"), dict(type="SequentialLR", schedulers=[dict(type="StepLR", step_size=1)])]
    entry = dict(type="SequentialLR", schedulers=inner, milestones=[1], by="step")
    found = filled(cl_strategy=dict(scheduler=entry)).strategy.scheduler
    assert found is not None
    assert (found.by, found.reset, found.call.arguments["milestones"]) == ("step", None, [1])
    first, second = found.call.arguments["schedulers"]
    assert first == Call("ConstantLR", {}, "cl_strategy.scheduler.schedulers.0", "x.py")
    (third,) = second.arguments["schedulers"]
    assert third == Call("StepLR", {"step_size": 1}, "cl_strategy.scheduler.schedulers.1.schedulers.0", "x.py")


@pytest.mark.parametrize("one", [True, False])
def test_one_neck_is_not_a_list_of_one(one: bool) -> None:
    """mmcls names the weights of a list by their numbers."""
    entry = dict(type="GlobalAveragePooling")
    found = filled(model=dict(neck=entry if one else [entry])).model.neck
    assert found == (
        Call("GlobalAveragePooling", {}, "model.neck", "x.py")
        if one
        else (Call("GlobalAveragePooling", {}, "model.neck.0", "x.py"),)
    )


@pytest.mark.parametrize("entry", [dict(type="BatchMixup", alpha=1.0), [dict(type="BatchMixup", alpha=1.0)]])
def test_one_augmentation_or_a_list_of_them(entry: Any) -> None:
    (found,) = filled(model=dict(train_cfg=dict(augments=entry))).model.augments
    assert found.entry == dict(type="BatchMixup", alpha=1.0)


def test_a_fault_names_the_file_that_its_value_came_from(tiny_config: Path) -> None:
    settings = fill(open_config(tiny_config, overrides=("cl_strategy.optimizer.lr=0.5",)))
    optimizer = settings.strategy.optimizer
    assert optimizer is not None
    assert str(optimizer.fault("too large", "lr")).endswith("cl_strategy.optimizer.lr: too large")
    with pytest.raises(ConfigError, match=r"^--set: cl_strategy.optimizer.lr: too large"):
        raise settings.error("cl_strategy.optimizer.lr", "too large")
