"""The syntax of a sweep's `--set`: a key, and its values or range."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clearctl.config.words import read_literal
from clearctl.errors import UsageError

_LOG = ":log"
_DIGITS = 4


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, both included: whole ones where both are. `log` draws on a log scale."""

    low: float
    high: float
    log: bool = False

    def rounded(self, value: float) -> float:
        """A number of the range with few digits, which make its name short: 4, or a ten thousandth of the range."""
        digits = _DIGITS - math.floor(math.log10(value if self.log else self.high - self.low)) - 1
        return min(max(round(value, digits), float(self.low)), float(self.high))

    @property
    def is_whole(self) -> bool:
        """Whether it is a range of whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


def read_grid(texts: Sequence[str]) -> dict[str, list[str]]:
    """{key: texts of its values} of `KEY=VALUE,VALUE,...` texts; commas inside brackets or quotes part nothing.

    Raises UsageError.
    """
    grid: dict[str, list[str]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        parts = [part.strip() for part in _split_values(values)]
        if not equals or not key.strip() or not all(parts):
            raise UsageError(f"--set {text}: expected KEY=VALUE,VALUE, such as cl_strategy.optimizer.lr=0.1,1.0")
        if key.strip() in grid:
            raise UsageError(f"--set {text}: {key.strip()} is given twice: put all its values into one --set")
        grid[key.strip()] = parts
    return grid


# The values of each key: texts as on the command line, or what they stand for.
Grid = Mapping[str, Sequence[str | bool | int | float | None]]


def grid_texts(grid: Grid | None) -> dict[str, list[str]]:
    """The grid with all values as texts, as on the command line."""
    values = (grid or {}).items()
    return {key: [value if isinstance(value, str) else repr(value) for value in of_key] for key, of_key in values}


def read_ranges(grid: Mapping[str, Sequence[str]]) -> dict[str, Range]:
    """{key: range} of the keys of a grid whose value is `LOW..HIGH` or `LOW..HIGH:log`. Raises UsageError."""
    ranges = {}
    for key, texts in grid.items():
        found = [_range(key, text) for text in texts]
        for range_ in found:
            if range_ is not None:
                ranges[key] = range_
        if key in ranges and len(texts) > 1:
            raise UsageError(f"--set {key}={','.join(texts)}: expected one range, or values only")
    return ranges


def require_no_ranges(grid: Mapping[str, Sequence[str]]) -> None:
    """Raise UsageError for a range, which only Optuna draws from."""
    for key in read_ranges(grid):
        text = grid[key][0]
        raise UsageError(f"--set {key}={text}: a range needs --engine optuna; for a grid give values: {key}=V1,V2")


def _range(key: str, text: str) -> Range | None:
    """The range that `text` is; None if it is not a range, such as the path `../x`."""
    first, dots, last = text.removesuffix(_LOG).partition("..")
    low, high = read_literal(first), read_literal(last)
    if not dots or not all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high)):
        return None
    if not low < high or math.isinf(low) or math.isinf(high):
        raise UsageError(f"--set {key}={text}: expected LOW..HIGH with LOW below HIGH, such as 0.001..0.1")
    if text.endswith(_LOG) and low <= 0:
        raise UsageError(f"--set {key}={text}: a log scale needs LOW above 0")
    return Range(low, high, text.endswith(_LOG))


def _split_values(text: str) -> list[str]:
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += character
    return parts
