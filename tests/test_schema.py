"""A value of a file against the shape that is expected of it: the first part that does not fit, with its place."""

from typing import Any

import pytest

from clearctl.schema import ANY, NUMBER, Schema, misfit

RUN: Schema = {"seed": int, "name?": str, "sizes?": [int], "metrics?": {ANY: (*NUMBER, None)}, "data": {"root?": str}}

FITTING: list[Any] = [
    {"seed": 0, "data": {}},
    {"seed": 0, "data": {"root": None, "more": 5}, "name": None, "more": []},
    {"seed": 10**30, "data": {}, "sizes": [], "metrics": {"a": 1, "b": 0.5, "c": None}},
]

MISFITS: dict[str, Any] = {
    "the whole: found [], expected an object": [],
    "the whole: found None, expected an object": None,
    "seed: missing": {"data": {}},
    "seed: found None, expected int": {"seed": None, "data": {}},
    "seed: found True, expected int": {"seed": True, "data": {}},
    "data: found 5, expected an object": {"seed": 0, "data": 5},
    "data.root: found 5, expected str": {"seed": 0, "data": {"root": 5}},
    "sizes: found {}, expected a list": {"seed": 0, "data": {}, "sizes": {}},
    "sizes.1: found 'b', expected int": {"seed": 0, "data": {}, "sizes": [1, "b"]},
    "metrics.a: found 'x', expected int or float or null": {"seed": 0, "data": {}, "metrics": {"a": "x"}},
}


@pytest.mark.parametrize("value", FITTING)
def test_what_fits(value: Any) -> None:
    assert misfit(value, RUN) is None


@pytest.mark.parametrize("text", MISFITS)
def test_what_does_not(text: str) -> None:
    assert misfit(MISFITS[text], RUN) == text


def test_a_list_of_lists_and_dicts() -> None:
    assert misfit([[{"a": 1}], [{"a": "b"}]], [[{"a": int}]]) == "1.0.a: found 'b', expected int"
    assert misfit(None, None) is None
    assert misfit(0, None) == "the whole: found 0, expected null"
    assert misfit(5, (list, dict)) == "the whole: found 5, expected a list or an object"
