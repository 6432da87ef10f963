"""Types of arguments come from annotations, else from docstrings, and every published value is of them."""

import importlib.util
import inspect
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from clearctl.config.check import check
from clearctl.config.documented import documented_types, kinds
from clearctl.config.findings import Findings, expected_types
from clearctl.config.load import Config, load
from clearctl.config.registry import Parameter, Registry, parameters
from clearctl.engine.build.catalogue import CATALOGUE

REGISTRIES = [field.name for field in fields(CATALOGUE) if isinstance(getattr(CATALOGUE, field.name), Registry)]
MMCLS = importlib.util.find_spec("mmcls")
PUBLISHED = Path(MMCLS.origin).parent / ".mim" / "configs" / "_base_" / "models" if MMCLS else Path()
NONE = type(None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bool", {bool}),
        ("boolean", {bool}),
        ("int, optional", {int, NONE}),
        ("bool,optional", {bool, NONE}),
        ("dict | None", {dict, NONE}),
        ("dict | optional", {dict, NONE}),
        ("None or Sequence[int]", {NONE, list, tuple}),
        ("str or dict", {str, dict}),
        ("dict, str", {str, dict}),
        ("Sequence[int]", {list, tuple}),
        ("list[int] | int", {list, tuple, int}),
        ("bool | list[bool]", {bool, list, tuple}),
        ("List[int | tuple]", {list, tuple}),
        ("tuple(int)", {list, tuple}),
        ("dict or list[dict], optional", {dict, list, tuple, NONE}),
        ("sequence or number", {list, tuple, float}),
        ("float or tuple of float (min, max)", {float, list, tuple}),
        ("int, default: 3", {int}),
        ("int, default to (1, 2)", {int}),
        # what names something unknown allows anything
        ("Tensor", set()),
        ("sequence or torch.nn.Module", set()),
        ("InterpolationMode", set()),
        ("Squeue(int) | None", set()),
        (":class:`torch.device`, optional", set()),
        ("", set()),
    ],
)
def test_types_as_docstrings_spell_them(text: str, expected: set[type]) -> None:
    assert kinds(text) == expected


class Base:
    """A base.

    Args:
        shared (int): of the base.
        own (int): which the class below says better.
    """

    def __init__(self, shared=0, own=0):
        pass


class Derived(Base):
    """A class.

    Args:
        own (bool |
            list[bool]): which spans lines (and has more in brackets): so.
        value: what fills it. Default is 0.
            If a str of 'random', it is random.
        plain: how much.
    """

    def __init__(self, own=False, value=0, plain=0.5, unsaid=1, text="a", annotated: float = 1, **kwargs):
        """Make one.

        :param plain: how much
        :type unsaid: float
        """
        super().__init__(**kwargs)


def test_documented_types_of_a_class_and_its_bases() -> None:
    assert documented_types(Derived) == {
        "shared": "int",
        "own": "bool | list[bool]",
        "value": "what fills it. Default is 0. If a str of 'random', it is random.",
        "unsaid": "float",
    }
    assert documented_types(lambda size: size) == {}


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("shared", [1, None], ["1", 0.5, [1], {}]),
        ("own", [True, [True, False], (True,), None], ["True", 1, {}]),
        ("value", [0, 0.5, "random", (1, 2, 3)], []),
        ("plain", [1, 0.5, [0.5], {"a": 1}, None, True], ["0.5"]),
        ("unsaid", [1, 0.5], ["1", [1]]),
        ("text", [1, "b", [1], None], []),
        ("annotated", [1, 0.5], ["1", [0.5]]),
    ],
)
def test_what_an_argument_takes(name: str, allowed: list, refused: list) -> None:
    parameter = parameters(Derived)[0][name]
    assert [_fault(parameter, value) for value in allowed] == [None] * len(allowed)
    assert None not in [_fault(parameter, value) for value in refused]


class Called:
    """Called as a function, and without a hash."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def __call__(self, size: int) -> None: ...


def test_they_are_looked_up_once_and_nobody_can_change_them() -> None:
    parameters(Derived)[0].clear()
    assert parameters(Derived)[0]["own"] is parameters(Derived)[0]["own"]
    assert list(parameters(Called())[0]) == ["size"]


def test_the_message_names_what_is_documented() -> None:
    accepted = parameters(Derived)[0]
    assert _fault(accepted["own"], {}) == "found {}, expected bool or list"
    assert _fault(accepted["plain"], "half") == "found 'half', expected float"


@pytest.mark.parametrize("of", REGISTRIES)
def test_every_default_is_accepted_by_its_own_rule(of: str) -> None:
    faults = {
        f"{name}.{parameter.name}": fault
        for name, parameter in _every_parameter(getattr(CATALOGUE, of))
        if not parameter.required and (fault := _fault(parameter, parameter.default))
    }
    assert faults == {}


def test_documented_types_are_found_in_the_catalogue() -> None:
    """A library that writes its docstrings otherwise would turn the check off."""
    said = [
        parameter
        for _, parameter in _every_parameter(CATALOGUE.backbones)
        if parameter.annotation is inspect.Parameter.empty and expected_types(parameter)
    ]
    assert len(said) > 300


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"backbone": {"type": "SVT", "arch": "small", "norm_after_stage": [False, True]}}, None),
        ({"backbone": {"type": "SVT", "arch": "small", "norm_after_stage": "yes"}}, "'yes', expected bool or list"),
        ({"backbone": {"type": "RegNet", "arch": "regnetx_400mf"}}, None),
        ({"backbone": {"type": "ResNet", "depth": "50"}}, "backbone.depth: found '50', expected int"),
        ({"backbone": {"type": "ResNet", "depth": 50, "strides": 2}}, "strides: found 2, expected list"),
        ({"backbone": {"type": "VisionTransformer", "init_cfg": [{"type": "Kaiming", "layer": "Conv2d"}]}}, None),
        ({"head": {"type": "ConformerHead", "num_classes": 3, "in_channels": [1, 2]}}, None),
    ],
)
def test_published_forms_are_taken_and_wrong_ones_named(model: dict, message: str | None, tiny_config: Path) -> None:
    config = load(tiny_config)
    config.values["model"] |= model
    found = [str(fault) for fault in check(config, CATALOGUE)]
    assert found == [] if message is None else len(found) == 1
    assert message is None or message in found[0]


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="this mmcls comes without its configs")
def test_every_network_that_mmcls_publishes_is_taken(tiny_config: Path) -> None:
    config = load(tiny_config)
    files = sorted(PUBLISHED.glob("*.py"))
    faults = []
    for file in files:
        values: dict = {}
        exec(file.read_text(), values)  # each is a literal alone
        config.values["model"] = values["model"]
        # A head of several labels is refused whatever its arguments are.
        found = [fault for fault in check(config, CATALOGUE) if fault.key != "model.head.type"]
        faults += [f"{file.name}: {fault}" for fault in found]
    assert len(files) > 50
    assert faults == []


def _every_parameter(registry: Registry) -> Iterator[tuple[str, Parameter]]:
    for name, factory in registry.classes.items():
        for parameter in parameters(factory)[0].values():
            yield name, parameter


def _fault(parameter: Parameter, value: object) -> str | None:
    findings = Findings(Config({}, "x.py"))
    findings.argument("key", value, parameter)
    return findings.faults[0].message if findings.faults else None
