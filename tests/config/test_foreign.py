"""Keys of mmcls's configs that run the training there, and say here what to write instead."""

from pathlib import Path
from typing import Any

import pytest

from clearctl.config.check import check
from clearctl.config.foreign import DATA, RUNTIME, runtime_keys
from clearctl.config.load import load
from clearctl.engine.build.catalogue import CATALOGUE

# As mmcls 0.25's configs have them.
MMCLS: dict[str, Any] = {
    "optimizer": dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=0.0001),
    "optimizer_config": dict(grad_clip=dict(max_norm=5.0)),
    "lr_config": dict(policy="step", step=[30, 60, 90], warmup="linear", warmup_iters=500, warmup_ratio=0.25),
    "fp16": dict(loss_scale=512.0),
    "runner": dict(type="EpochBasedRunner", max_epochs=100),
    "custom_hooks": [dict(type="EMAHook", momentum=4e-5, priority="ABOVE_NORMAL")],
    "resume_from": "work_dirs/latest.pth",
    "evaluation": dict(interval=1, metric="accuracy"),
    "log_config": dict(interval=100, hooks=[dict(type="TextLoggerHook")]),
    "dist_params": dict(backend="nccl"),
    "workflow": [("train", 1)],
}


@pytest.mark.parametrize("name", MMCLS)
def test_it_is_a_fault_that_says_what_to_write(name: str, features_config: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(f"_base_ = [{str(features_config)!r}]\n{name} = {MMCLS[name]!r}\n")
    (fault,) = check(load(file), CATALOGUE)
    assert str(fault) == f"{file}: {name}: this key of mmcls does nothing here: {RUNTIME[name]}, and leave it out"


@pytest.mark.parametrize("name", DATA)
def test_data_of_mmcls(name: str, features_config: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(f"_base_ = [{str(features_config)!r}]\ndata = dict(workers=0, {name}=3)\n")
    (fault,) = check(load(file), CATALOGUE)
    assert str(fault).startswith(f"{file}: data.{name}: this key of mmcls does nothing here: {DATA[name]}")


@pytest.mark.parametrize("name", ["resume_from", "fp16", "optimizer_config"])
@pytest.mark.parametrize("value", [None, {}, []])
def test_a_key_that_holds_nothing_says_nothing(name: str, value: object) -> None:
    assert list(runtime_keys({name: value})) == []


def test_a_variable_that_a_section_uses_is_none() -> None:
    sgd = {"type": "SGD", "lr": 0.1}
    hooks = [{"type": "WarmUp", "steps": 3}]
    values = {
        "optimizer": sgd,
        "custom_hooks": hooks,
        "total_epochs": 3,
        "cl_strategy": {"optimizer": sgd, "plugins": hooks, "train_epochs": 3},
    }
    assert [key for key, _ in runtime_keys(values)] == ["total_epochs"]  # nothing says that this 3 is that one
    assert [key for key, _ in runtime_keys({**values, "optimizer": {"type": "SGD", "lr": 0.2}})] == [
        "optimizer",
        "total_epochs",
    ]


def test_what_to_write_can_be_written(features_config: Path) -> None:
    plugins = [
        dict(type="GradientClipping", max_norm=35.0),
        dict(type="ExponentialMovingAverage", decay=0.999),
        dict(type="WarmUp", steps=500),
    ]
    overrides = [
        f"cl_strategy.plugins={plugins!r}",
        "cl_strategy.optimizer={'type': 'SGD', 'lr': 0.01, 'momentum': 0.9}",
        "cl_strategy.scheduler={'type': 'StepLR', 'step_size': 30, 'gamma': 0.1}",
        "loggers=[{'type': 'TextLogger'}]",
    ]
    assert check(load(features_config, overrides), CATALOGUE) == []
