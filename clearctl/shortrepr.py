"""What a result says of itself in a line: its fields, those of many values by how many they are."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import fields
from pathlib import Path
from typing import Any

_MOST_SHOWN = 3
_PLAIN = (str, int, float, bool, type(None), Path)


class ShortRepr:
    """The base of dataclasses, made with repr=False, whose repr is short however much they hold."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{each.name}={short(getattr(self, each.name))}" for each in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({shown})"


def short(value: Any) -> str:
    """`value` as it is if it is one, or three in a list; else how many it has, or the shape of an array."""
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
