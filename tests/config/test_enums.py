"""What a config cannot hold is given by name, or refused: enumerations, functions, tensors, networks."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from torchvision import transforms
from torchvision.transforms import AutoAugmentPolicy, InterpolationMode

from clearctl.config.check_strategy import check_strategy
from clearctl.config.enums import enumeration, member, names, with_members
from clearctl.config.findings import Findings, takes_function
from clearctl.config.load import Config, load
from clearctl.config.registry import Registry, parameters
from clearctl.engine.build.catalogue import CATALOGUE

REGISTRIES: list[Registry] = [
    found for each in dataclasses.fields(CATALOGUE) if isinstance(found := getattr(CATALOGUE, each.name), Registry)
]
# What clearctl gives itself.
FILLED = {"params", "optimizer", "model", "criterion", "evaluator", "strategy", "device", "plugins"}
NOT_LITERAL = re.compile(r"\b(function|Callable|Tensor|Module|dtype|Transformer\w+Layer)\b|~T")


def test_every_class_that_is_listed_can_be_given() -> None:
    cannot = {
        (name, parameter.name)
        for registry in REGISTRIES
        for name, factory in registry.classes.items()
        for parameter in parameters(factory)[0].values()
        if parameter.required and parameter.name not in FILLED
        if NOT_LITERAL.search(parameter.documented) or NOT_LITERAL.search(str(parameter.annotation))
    }
    assert cannot == {("RandomApply", "transforms")}  # which takes calls


def enumerations() -> list[tuple[Registry, str, str, Any]]:
    return [
        (registry, name, parameter.name, kind)
        for registry in REGISTRIES
        for name, factory in registry.classes.items()
        for parameter in parameters(factory)[0].values()
        if (kind := enumeration(parameter)) is not None
    ]


def test_every_member_of_every_enumeration_is_taken_by_its_name() -> None:
    found = enumerations()
    assert {(name, argument) for _, name, argument, _ in found} >= {
        ("Resize", "interpolation"),
        ("AutoAugment", "policy"),
        ("RandomPerspective", "interpolation"),
    }
    for registry, name, argument, kind in found:
        parameter = parameters(registry[name])[0][argument]
        for each, text in zip(kind, names(kind), strict=True):
            for given in (text, text.upper(), each.name, each.name.lower()):
                assert with_members(registry[name], {argument: given}) == {argument: each}
                assert faults(given, parameter) == []
        assert faults("no such", parameter) != []
        assert faults(1.5, parameter) != []
        assert faults(True, parameter) != []


def faults(value: object, parameter: Any) -> list[str]:
    found = Findings(Config({}, "config.py"))
    found.argument("key", value, parameter)
    return [fault.message for fault in found.faults]


def test_the_nearest_member_is_named() -> None:
    parameter = parameters(transforms.Resize)[0]["interpolation"]
    assert faults("bicubik", parameter)[0].endswith("or 'lanczos'; did you mean 'bicubic'?")
    assert faults(3, parameter) == []  # Pillow's number for bicubic
    assert faults(6, parameter) != []
    assert faults(0, parameters(transforms.AutoAugment)[0]["policy"]) != []
    assert member(InterpolationMode, InterpolationMode.BOX) is InterpolationMode.BOX


def test_members_themselves_in_a_config(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(
        "from torchvision.transforms import AutoAugmentPolicy, InterpolationMode\n"
        "a = dict(x=InterpolationMode.NEAREST_EXACT, y=[AutoAugmentPolicy.CIFAR10])\n"
    )
    values = load(tmp_path / "config.py").values
    assert values == {"a": {"x": "nearest-exact", "y": ["cifar10"]}}
    assert member(AutoAugmentPolicy, values["a"]["y"][0]) is AutoAugmentPolicy.CIFAR10


def test_a_function_cannot_be_given() -> None:
    scheduler = {"type": "CyclicLR", "base_lr": 0.1, "max_lr": 0.2, "scale_fn": "lambda x: x"}
    section = {"type": "Naive", "optimizer": {"type": "SGD", "lr": 0.1}, "scheduler": scheduler}
    found = Findings(Config({"cl_strategy": section}, "config.py"), CATALOGUE.traits_of)
    check_strategy(found, "cl_strategy", section, CATALOGUE)
    assert [(fault.key, fault.message) for fault in found.faults] == [
        (
            "cl_strategy.scheduler.scale_fn",
            "found 'lambda x: x', but it takes a function, which a config cannot contain: leave it out",
        )
    ]


@pytest.mark.parametrize(
    ("factory", "argument", "takes"),
    [("Transformer", "activation", False), ("TripletMarginWithDistanceLoss", "distance_function", True)],
)
def test_what_takes_a_function_alone(factory: str, argument: str, takes: bool) -> None:
    assert takes_function(parameters(CATALOGUE.torch_models[factory])[0][argument]) == takes
