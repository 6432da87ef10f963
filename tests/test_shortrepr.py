from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clearctl.shortrepr import ShortRepr, short


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.123456, "0.1235"),
        (True, "True"),
        (None, "None"),
        ("a b", "'a b'"),
        (Path("a/b"), "'a/b'"),
        (["1", "2", "3"], "['1', '2', '3']"),
        (("1", "2", "3", "4"), "<4>"),
        ([{}], "<1>"),
        ({"a": 1}, "<1>"),
        (frozenset(), "<0>"),
        (np.zeros((10, 9)), "array[10, 9]"),
        (object(), "object"),
    ],
)
def test_values(value: object, expected: str) -> None:
    assert short(value) == expected


def test_a_dataclass_names_its_fields() -> None:
    @dataclass(frozen=True, repr=False)
    class Found(ShortRepr):
        run: Path
        rows: Any

    assert repr(Found(Path("r"), np.zeros(7))) == "Found(run='r', rows=array[7])"
