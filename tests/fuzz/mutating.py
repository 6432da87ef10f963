"""What a fuzzer does to a nested value: one of its parts goes, changes its name, or becomes something else."""

import os
import random
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

# How often a fuzzer tries: `make fuzz` sets it higher.
TIMES = int(os.environ.get("CLEARCTL_FUZZ") or 1)

NONSENSE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    3,
    10**30,
    2.5,
    -0.5,
    1e-300,
    1e300,
    float("nan"),
    float("inf"),
    "",
    "x",
    "Näive ✓",
    "\x1b[31mred\x00\n",
    "../../x",
    "a:b",
    "{{ _base_.x }}",
    [],
    [1],
    ["a", "a"],
    [[[]]],
    {},
    {"type": "x"},
    {"type": None},
    {"a": {"b": [1, {"c": 2}]}},
)


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of each part of `value`, as the keys and indices that lead to it."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*place, key)
        yield from places(child, (*place, key))


def mutated(value: Any, draw: random.Random, nonsense: Sequence[Any] = NONSENSE) -> Any:
    """A copy of `value` with one to three mutations."""
    value = deepcopy(value)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        every = list(places(value))
        if not every:
            break
        *above, last = draw.choice(every)
        parent = value
        for key in above:
            parent = parent[key]
        what = draw.random()
        if what < 0.12:
            del parent[last]
        elif what < 0.2 and isinstance(parent, dict):
            parent[str(last)[:-1] + "_"] = parent.pop(last)
        elif what < 0.28 and isinstance(parent, list):
            parent.append(deepcopy(parent[last]))
        elif what < 0.5 and isinstance(parent[last], int | float):
            parent[last] = draw.choice((-parent[last], parent[last] * 10**6, parent[last] / 3, str(parent[last])))
        else:
            parent[last] = deepcopy(draw.choice(nonsense))
    return value
