"""Values of a state that do not depend on live objects."""

import random
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

_DTYPES = {str(kind).removeprefix("torch."): kind for kind in vars(torch).values() if isinstance(kind, torch.dtype)}

# {kind: what makes the value of the rest of its node}
SIMPLE: dict[str, Callable[..., Any]] = {
    "bytes": lambda values: bytes(values.tolist()),
    "dtype": _DTYPES.__getitem__,
    "path": Path,
    "range": range,
    "scalar": lambda name, value: np.dtype(name).type(value),
    "size": torch.Size,
    "slice": slice,
}


def insertion_order(values: list[Any]) -> list[Any]:
    """An order in which a set of `values` is made so that it gives them in that order again, if one is found soon.

    Where hashes collide the order of a set depends on its history, and Avalanche deals out a memory's places in it.
    """
    chance = random.Random(0)
    shuffled = (chance.sample(values, len(values)) for _ in range(200))
    for order in chain((values, values[::-1]), shuffled):
        made: set[Any] = set()
        for value in order:
            made.add(value)
        if list(made) == values:
            return order
    return values
