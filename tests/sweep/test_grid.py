"""Ranges among the values of a sweep's `--set`."""

import pytest

from clearctl.errors import UsageError
from clearctl.sweep.grid import Range, grid_texts, read_grid, read_ranges, require_no_ranges


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1..5", Range(1, 5)),
        ("0.001..0.1:log", Range(0.001, 0.1, log=True)),
        ("1..2.5", Range(1, 2.5)),
        ("-1..1", Range(-1, 1)),
        (".5...75", Range(0.5, 0.75)),
        ("1e-4..1e-2:log", Range(1e-4, 1e-2, log=True)),
        ("1..32:log", Range(1, 32, log=True)),
    ],
)
def test_a_range(text: str, expected: Range) -> None:
    assert read_ranges(read_grid([f"a.b={text}", "c=1,2"])) == {"a.b": expected}
    with pytest.raises(UsageError, match=rf"--set a.b={text}: a range needs --engine optuna; .* a.b=V1,V2"):
        require_no_ranges(read_grid([f"a.b={text}"]))


def test_whole_where_both_ends_are() -> None:
    assert [Range(1, 5).is_whole, Range(1, 5.0).is_whole, Range(0.5, 2).is_whole] == [True, False, False]


@pytest.mark.parametrize("text", ["1", "'1..5'", "../data", "a..b", "1..", "..5", "True..5", "1..5:lin", "[1..2]"])
def test_what_is_no_range(text: str) -> None:
    assert read_ranges({"a": [text]}) == {}


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        (["5..1"], "expected LOW..HIGH with LOW below HIGH"),
        (["1..1"], "expected LOW..HIGH with LOW below HIGH"),
        (["1..1e999"], "expected LOW..HIGH with LOW below HIGH"),
        (["0..1:log"], "a log scale needs LOW above 0"),
        (["1..5", "7"], "expected one range, or values only"),
        (["7", "1..5"], "expected one range, or values only"),
    ],
)
def test_a_range_that_cannot_be(texts: list[str], fault: str) -> None:
    with pytest.raises(UsageError, match=rf"^--set a={','.join(texts)}: {fault}"):
        read_ranges({"a": texts})


@pytest.mark.parametrize(
    ("range_", "value", "expected"),
    [
        (Range(0.0001, 1.0, log=True), 0.012345678, 0.01235),
        (Range(0.1, 0.5), 0.123456789, 0.1235),
        (Range(1000.5, 1000.6), 1000.5123456, 1000.5123),
        (Range(0.123456789, 0.5), 0.123444, 0.123456789),  # never out of the range
        (Range(1, 100.5), 100.49999, 100.5),
    ],
)
def test_a_drawn_number_has_few_digits(range_: Range, value: float, expected: float) -> None:
    assert range_.rounded(value) == expected


def test_values_of_a_grid_that_are_no_texts() -> None:
    grid = {"a": ["0.1", 0.1, 3, True, None, "Adam"]}
    assert grid_texts(grid) == {"a": ["0.1", "0.1", "3", "True", "None", "Adam"]}
    assert grid_texts(None) == {}
