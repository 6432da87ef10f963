"""A short repr for results: large fields are shown as their size."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import fields
from pathlib import Path
from typing import Any

_MOST_SHOWN = 3
_PLAIN = (str, int, float, bool, type(None), Path)


class ShortRepr:
    """Base of dataclasses (declared with repr=False) with a short repr."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{each.name}={short(getattr(self, each.name))}" for each in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({shown})"


def short(value: Any) -> str:
    """The repr of a single value or of up to three in a list; else the number of values, or an array's shape."""
    if hasattr(value, "shape"):
        return f"array{list(value.shape)}"
    if isinstance(value, Path):
        return repr(str(value))
    if isinstance(value, _PLAIN):
        return f"{value:.4g}" if type(value) is float else repr(value)
    if isinstance(value, Mapping | Set | Sequence):
        if isinstance(value, Sequence) and len(value) <= _MOST_SHOWN and all(isinstance(one, _PLAIN) for one in value):
            return f"[{', '.join(map(short, value))}]"
        return f"<{len(value)}>"
    return type(value).__name__
