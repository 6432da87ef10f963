"""Faults of a condition: the part of its text that a message quotes, and the column."""

import ast
from typing import NoReturn

from clearctl.dataset.recut.fields import shortened
from clearctl.errors import UsageError

ALLOWED = (
    "allowed are fields, bucket, class_name, numbers, 'text', True, False, None, == != < <= > >=, in and not in with "
    "a list or a text field, and, or, not, brackets"
)


def text_of(source: str, node: ast.expr) -> str:
    """The text of a part, for a message."""
    return shortened(ast.get_source_segment(source, node) or "", 40)


def raise_fault(source: str, node: ast.AST, what: str, allowed: str = ALLOWED) -> NoReturn:
    """Raise UsageError for `what` at the column of `node`."""
    # Python counts bytes of UTF-8.
    column = len(source.encode()[: getattr(node, "col_offset", 0)].decode()) + 1
    raise UsageError(f"--where, column {column}: {what}" + (f"\n{allowed}" if allowed else ""))
