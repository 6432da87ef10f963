"""Values of the command line as Python values: read as mmcv's and Hydra's users write them, and never run."""

import ast
from typing import Any

_WORDS = {"true": True, "false": False, "null": None}


def read_literal(text: str) -> Any:
    """`text` parsed as a Python literal, else `text` itself: command-line values are never run as code.

    Besides literals it takes true, false and null, `dict(type='Adam', lr=0.1)` as in configs, and in lists and
    dicts text without quotes: `[cat, dog]`.
    """
    try:
        source = text.strip()
        return _value(ast.parse(source, mode="eval").body, source)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # all that ast may raise
        return text


def _value(node: ast.expr, source: str) -> Any:
    """The value of `node`. Raises ValueError if it has none."""
    if isinstance(node, ast.List):
        return [_item(child, source) for child in node.elts]
    if isinstance(node, ast.Tuple) and source[node.col_offset :].startswith("("):  # not the text `a,b`
        return tuple(_item(child, source) for child in node.elts)
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {_item(key, source): _item(child, source) for key, child in pairs if key is not None}
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "dict" and not node.args:
        return {child.arg: _item(child.value, source) for child in node.keywords if child.arg is not None}
    if isinstance(node, ast.Name) and node.id.lower() in _WORDS:
        return _WORDS[node.id.lower()]
    return ast.literal_eval(node)


def _item(node: ast.expr, source: str) -> Any:
    """The same; what has no value is text without quotes."""
    try:
        return _value(node, source)
    except ValueError:
        return ast.get_source_segment(source, node)
