"""The small language of a sweep's `--set`: a key, and the values that it takes in turn."""

from collections.abc import Sequence

from clearctl.errors import UsageError


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
            raise UsageError(f"--set {text}: {key.strip()} is given twice; put all its values into one --set")
        grid[key.strip()] = parts
    return grid


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
