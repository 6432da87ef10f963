"""Arguments of the importable functions: wrong types are refused by name, and what Python code has is taken."""

import inspect
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import clearctl
from clearctl.arguments import checking_arguments
from clearctl.errors import UsageError

VERBS = [getattr(clearctl, name) for name in clearctl.__all__ if not name.startswith("__")]
WRONG = object()


def takes(
    number: int = 0,
    real: float = 0.0,
    flag: bool = False,
    text: str | None = None,
    path: Path | str = "",
    texts: Sequence[str] = (),
    numbers: Sequence[int] | None = None,
    paths: Sequence[Path | str] | Path | str = (),
    table: Mapping[str, Sequence[str]] | None = None,
    pair: tuple[str, str] | None = None,
    anything: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return locals()


def taken(**argument: Any) -> Any:
    (name,) = argument
    return checking_arguments(takes)(**argument)[name]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_no_argument_of_a_verb_takes_an_object_of_no_use(verb: Any) -> None:
    """Whatever the other arguments are: all are checked before the function is called."""
    parameters = inspect.signature(verb).parameters.values()
    needed = {each.name: WRONG for each in parameters if each.default is inspect.Parameter.empty}
    for each in parameters:
        with pytest.raises(UsageError, match=rf"^{verb.__name__}: \w+: found <object object .*>, expected \w+"):
            verb(**{**needed, each.name: WRONG})


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ({"number": 1.0}, "number: found 1.0, expected a whole number"),
        ({"number": True}, "number: found True, expected a whole number"),
        ({"number": "1"}, "number: found '1', expected a whole number"),
        ({"number": None}, "number: found None, expected a whole number"),
        ({"number": Decimal(1)}, "number: found Decimal('1'), expected a whole number"),
        ({"real": "0.5"}, "real: found '0.5', expected a number"),
        ({"real": 1j}, "real: found 1j, expected a number"),
        ({"flag": 1}, "flag: found 1, expected True or False"),
        ({"flag": None}, "flag: found None, expected True or False"),
        ({"text": b"x"}, "text: found b'x', expected None or a text"),
        ({"text": "a\0b"}, "text: found 'a\\x00b', expected None or a text"),
        ({"path": b"x"}, "path: found b'x', expected a path"),
        ({"path": Path("a\0b")}, "path: found PosixPath('a\\x00b'), expected a path"),
        ({"texts": [1]}, "texts: found [1], expected a list, each item a text"),
        ({"texts": {"a": 1}}, "texts: found {'a': 1}, expected a list, each item a text"),
        ({"texts": b"ab"}, "texts: found b'ab', expected a list, each item a text"),
        ({"numbers": 3}, "numbers: found 3, expected None or a list, each item a whole number"),
        ({"numbers": "0-4"}, "numbers: found '0-4', expected None or a list, each item a whole number"),
        ({"numbers": np.zeros((2, 2), int)}, "expected None or a list, each item a whole number"),
        ({"numbers": torch.tensor(1)}, "expected None or a list, each item a whole number"),
        ({"paths": [None]}, "paths: found [None], expected a path or a list, each item a path"),
        ({"table": {"a": [1]}}, "expected None or a dict from a text to a list, each item a text"),
        ({"table": [("a", "b")]}, "expected None or a dict from a text to a list, each item a text"),
        ({"pair": ("a",)}, "pair: found ('a',), expected None or 2 values, each a text"),
        ({"pair": "ab"}, "pair: found 'ab', expected None or 2 values, each a text"),
        ({"anything": {1: 2}}, "anything: found {1: 2}, expected None or a dict"),
    ],
)
def test_wrong_types(argument: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        taken(**argument)
    assert str(caught.value).startswith("takes: ")
    assert str(caught.value).endswith(expected)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ({"number": np.int64(3)}, 3),
        ({"real": np.float32(0.5)}, 0.5),
        ({"real": 1}, 1.0),
        ({"texts": "one"}, ("one",)),
        ({"texts": iter(["a", "b"])}, ["a", "b"]),
        ({"numbers": range(3)}, [0, 1, 2]),
        ({"numbers": np.arange(3)}, [0, 1, 2]),
        ({"numbers": {4}}, [4]),
        ({"paths": Path("x")}, (Path("x"),)),
        ({"paths": (Path(name) for name in "ab")}, [Path("a"), Path("b")]),
        ({"table": {"a": "x", "b": ("y", "z")}}, {"a": ("x",), "b": ["y", "z"]}),
        ({"pair": ["a", "b"]}, ("a", "b")),
        ({"anything": {"a": WRONG}}, {"a": WRONG}),
    ],
)
def test_what_is_taken_besides(argument: dict[str, Any], value: Any) -> None:
    found = taken(**argument)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("array", [np.arange(2), torch.arange(2), np.zeros(0)])
def test_a_dict_of_anything_takes_arrays(array: Any) -> None:
    assert taken(anything={"a": array})["a"] is array
    with pytest.raises(UsageError, match="anything: found"):
        taken(anything={"a": array, 1: array})


def test_a_long_value_is_cut_short() -> None:
    with pytest.raises(UsageError) as caught:
        taken(number="x" * 10_000)
    assert len(str(caught.value)) < 300


def test_missing_and_unknown_arguments_are_pythons_own_error() -> None:
    with pytest.raises(TypeError, match=r"^takes\(\) got an unexpected keyword argument 'nothing'"):
        checking_arguments(takes)(nothing=1)


def test_a_function_stays_the_same_one() -> None:
    assert clearctl.train is clearctl.train
    assert clearctl.train.__doc__
