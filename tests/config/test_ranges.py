"""Numbers that are of the right type and make no sense are faults, by one table that knows every number of a config."""

import dataclasses
import math
from dataclasses import replace
from pathlib import Path

import pytest

from clearctl.config.check import check
from clearctl.config.load import load
from clearctl.config.ranges import COUNT, FINITE, OF_CLASS, RANGES, Range, numbers, outside, range_of
from clearctl.config.registry import Registry, parameters
from clearctl.engine.build.catalogue import CATALOGUE

REGISTRIES: dict[str, Registry] = {
    found.kind: found
    for each in dataclasses.fields(CATALOGUE)
    if isinstance(found := getattr(CATALOGUE, each.name), Registry)
}


def faults(file: Path, *overrides: str) -> list[str]:
    return [str(fault) for fault in check(load(file, overrides), CATALOGUE)]


# The table


def test_the_table_has_a_row_for_every_number() -> None:
    """Of every class but networks, whose own code refuses what it cannot build."""
    missing = {
        (kind, name, parameter.name)
        for kind, registry in REGISTRIES.items()
        if kind not in ("backbone", "torch module", "logger")
        for name, factory in registry.classes.items()
        for parameter in parameters(factory)[0].values()
        if isinstance(parameter.default, int | float) and not isinstance(parameter.default, bool)
        if parameter.name not in RANGES.get(kind, {})
    }
    assert missing == set()


def test_the_table_has_no_row_for_what_does_not_exist() -> None:
    for kind, of_arguments in RANGES.items():
        there = {name for factory in REGISTRIES[kind].classes.values() for name in parameters(factory)[0]}
        assert set(of_arguments) - there == set(), kind
    for name, argument in OF_CLASS:
        [registry] = [found for found in REGISTRIES.values() if name in found.classes]
        assert argument in parameters(registry[name])[0]


def test_every_default_is_in_its_range() -> None:
    for kind, registry in REGISTRIES.items():
        for name, factory in registry.classes.items():
            for parameter in parameters(factory)[0].values():
                if not parameter.required and not isinstance(parameter.default, bool):
                    allowed = range_of(kind, name, parameter.name)
                    assert not outside(parameter.default, allowed), (kind, name, parameter.name, parameter.default)


@pytest.mark.parametrize(
    ("allowed", "inside", "beyond", "words"),
    [
        (FINITE, [0, -1e308, 5], [math.inf, -math.inf, math.nan], "a finite number"),
        (COUNT, [1, 2.0, 10**30], [0, -1, 1.5, math.nan, math.inf], "a whole number from 1"),
        (Range(0, 1), [0, 1, 0.5], [-1e-9, 1.0000001], "a number from 0 to 1"),
        (Range(0, 1, open_least=True, open_most=True), [0.5], [0, 1], "a number above 0 and below 1"),
        (Range(0, 1, also=(-1,)), [-1, 0.3], [-0.5, -2], "a number from 0 to 1 or -1"),
        (Range(0, infinite=True), [math.inf], [-math.inf, math.nan], "a number from 0 or infinity"),
        (Range(whole=True), [-3], [0.5], "a whole number"),
        (Range(most=0), [-3, 0], [0.5], "a number up to 0"),
    ],
)
def test_a_range(allowed: Range, inside: list[float], beyond: list[float], words: str) -> None:
    assert [value for value in inside if value not in allowed] == []
    assert [value for value in beyond if value in allowed] == []
    assert str(allowed) == words


def test_the_numbers_in_a_value() -> None:
    assert list(numbers([1, (2.5, {"a": 3, "b": "4"}), None, True])) == [1, 2.5, 3]
    assert outside([1, [2, -1]], COUNT)
    assert outside(True, COUNT)
    assert not outside(None, COUNT)
    assert not outside("auto", COUNT)


# Configs


NONSENSE = {
    "scenario.buckets=['1', '1']": "scenario.buckets: found '1' more than once: list each once",
    "scenario.buckets=['1', 1]": "scenario.buckets: found '1' more than once: list each once",
    "seed=18446744073709551616": "seed: found a number of 65 bits, expected one of at most 63",
    f"cl_strategy.optimizer.lr={10**40}": "lr: found a number of 133 bits, expected one of at most 63",
    f"cl_strategy.train_mb_size={2**63}": "cl_strategy.train_mb_size: found a number of 64 bits",
    "metrics=[{'type': 'topk_acc_metrics', 'top_k': {}}]": "top_k: found {}, expected a whole number from 1",
    "metrics=[{'type': 'topk_acc_metrics', 'top_k': [1]}]": "top_k: found [1], expected a whole number from 1",
    "cl_strategy.scheduler={'type': 'StepLR', 'step_size': 'x'}": "scheduler.step_size: found 'x', expected int",
    "cl_strategy.scheduler={'type': 'StepLR', 'step_size': [1]}": "scheduler.step_size: found [1], expected int",
    "cl_strategy.scheduler={'type': 'MultiStepLR', 'milestones': 3}": "milestones: found 3, expected list",
    "seed=True": "seed: found True, expected a whole number from 0",
    "data={'workers': 100000}": "data.workers: found 100000, expected a whole number from 0 to 1024",
    "model.head.topk=0": "model.head.topk: found 0, expected a whole number from 1",
    "model.head.num_classes=0": "model.head.num_classes: found 0, expected a whole number from 1",
    "metrics=[{'type': 'topk_acc_metrics', 'top_k': 50}]": "metrics.0.top_k: found 50, but model.head has 3 classes",
    "loggers=[{'type': 'TextLogger'}, {'type': 'TextLogger'}]": "loggers.1: writes to the same file as loggers.0",
    "loggers=[{'type': 'CSVLogger', 'log_folder': 'a'}, {'type': 'CSVLogger', 'log_folder': 'a'}]": "loggers.1: writes",
    "cl_strategy.optimizer.lr=-0.1": "cl_strategy.optimizer.lr: found -0.1, expected a number from 0",
    "cl_strategy.optimizer.lr=1e999": "cl_strategy.optimizer.lr: found inf, expected a number from 0",
    "cl_strategy.optimizer.momentum=5": "cl_strategy.optimizer.momentum: found 5, expected a number from 0 and below 1",
    "cl_strategy.optimizer={'type': 'Adam', 'betas': (0.9, 1.5)}": "found (0.9, 1.5), expected a number from 0 and bel",
    "cl_strategy.optimizer.weight_decay=-1": "cl_strategy.optimizer.weight_decay: found -1, expected a number from 0",
    "cl_strategy.scheduler={'type': 'StepLR', 'step_size': 0}": "step_size: found 0, expected a whole number from 1",
    "cl_strategy.scheduler={'type': 'MultiStepLR', 'milestones': [2, 0]}": "found [2, 0], expected a whole number from",
    "cl_strategy={'type': 'Replay', 'mem_size': -1}": "cl_strategy.mem_size: found -1, expected a whole number from 1",
    "cl_strategy={'type': 'Replay', 'mem_size': 0}": "cl_strategy.mem_size: found 0, expected a whole number from 1",
    "cl_strategy={'type': 'LwF', 'alpha': 1, 'temperature': 0}": "temperature: found 0, expected a number above 0",
    "cl_strategy={'type': 'LwF', 'alpha': [0, -1], 'temperature': 2}": "alpha: found [0, -1], expected a number from 0",
    "cl_strategy={'type': 'EWC', 'ewc_lambda': -1}": "cl_strategy.ewc_lambda: found -1, expected a number from 0",
    "cl_strategy={'type': 'BiC', 'val_percentage': 1}": "val_percentage: found 1, expected a number above 0 and below",
    "cl_strategy.plugins=[{'type': 'EMA', 'decay': 1.0}]": "no plugin is called 'EMA'",
    "cl_strategy.plugins=[{'type': 'ExponentialMovingAverage', 'decay': 1.0}]": "decay: found 1.0, expected a number f",
    "cl_strategy.plugins=[{'type': 'ReplayPlugin', 'mem_size': True}]": "mem_size: found True, expected a whole number",
    "cl_strategy.loss={'type': 'LabelSmoothLoss', 'label_smooth_val': 1.5}": "found 1.5, expected a number from 0 and",
    "cl_strategy.train_mb_size=0": "cl_strategy.train_mb_size: found 0, expected a whole number from 1",
    "scenario.train_transform=[{'type': 'RandomHorizontalFlip', 'p': 5}]": "0.p: found 5, expected a number from 0 to",
    "scenario.train_transform=[{'type': 'Normalize', 'mean': [0], 'std': [0]}]": "std: found [0], expected a number ab",
    "scenario.train_transform=[{'type': 'RandomApply', 'p': -1, 'transforms': []}]": "0.p: found -1, expected a number",
    "model.train_cfg={'augments': {'type': 'BatchMixup', 'alpha': 0, 'num_classes': 3}}": "alpha: found 0, expected a",
}


@pytest.mark.parametrize("override", NONSENSE)
def test_nonsense_is_refused(override: str, features_config: Path) -> None:
    assert NONSENSE[override] in "\n".join(faults(features_config, override))


def test_not_a_number_in_a_config(tmp_path: Path, features_config: Path) -> None:
    file = tmp_path / "config.py"
    file.write_text(f"_base_ = [{str(features_config)!r}]\ncl_strategy = dict(optimizer=dict(lr=float('nan')))\n")
    assert faults(file) == [f"{file}: cl_strategy.optimizer.lr: found nan, expected a number from 0"]


def test_nothing_is_asked_of_a_run_that_was_made(features_config: Path) -> None:
    loaded = load(features_config, ["cl_strategy.optimizer.momentum=5", "scenario.buckets=['1', '1']"])
    assert len(check(loaded, CATALOGUE)) == 2
    assert check(replace(loaded, of_run=True), CATALOGUE) == []


def test_infinity_where_it_has_a_meaning(tmp_path: Path, features_config: Path) -> None:
    file = tmp_path / "config.py"
    plugin = "dict(type='GradientClipping', max_norm=1.0, norm_type=float('inf'))"
    file.write_text(f"_base_ = [{str(features_config)!r}]\ncl_strategy = dict(plugins=[{plugin}])\n")
    assert faults(file) == []


@pytest.mark.parametrize(
    "key",
    ["cl_strategy.train_mb_size", "cl_strategy.eval_mb_size", "cl_strategy.train_epochs", "cl_strategy.optimizer.lr"],
)
@pytest.mark.parametrize("value", [2**63, 10**30])
def test_an_integer_of_more_than_64_bits(key: str, value: int, tiny_config: Path) -> None:
    """torch would raise an OverflowError, a ValueError or a RuntimeError for it, later."""
    expected = f"--set: {key}: found a number of {value.bit_length()} bits, expected one of at most 63"
    assert faults(tiny_config, f"{key}={value}") == [expected]
    assert faults(tiny_config, f"{key}={2**63 - 1}") == []


def test_an_integer_that_python_does_not_print(tiny_config: Path) -> None:
    config = load(tiny_config)
    config.values["seed"] = 10**5000
    expected = f"seed: found a number of {(10**5000).bit_length()} bits, expected one of at most 63"
    assert [f"{fault.key}: {fault.message}" for fault in check(config, CATALOGUE)] == [expected]
