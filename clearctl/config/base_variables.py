"""Base variables, `{{ _base_.name }}`, in places where mmcv cannot substitute them.

mmcv writes a placeholder into the source for each of them, and substitutes it if it is a whole value of the config.
Anywhere else the placeholder stays: inside a string, in arithmetic, in a comparison.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from clearctl.errors import ConfigError

_IN_TEXT = re.compile(r"\{\{\s*_base_\.[\w.]+\s*\}\}")
# Places that may have a base variable as their value: an assignment, an item of a dict or list, an argument by name.
_HOLDERS = (ast.Assign, ast.AnnAssign, ast.Dict, ast.List, ast.Tuple, ast.keyword)


def require_alone(file: Path, tree: ast.Module) -> None:
    """Raise ConfigError, with the line, for a base variable in `file` that mmcv would not substitute."""
    for node, found in _misplaced(tree):
        raise ConfigError(
            f"{file}, line {node.lineno}: found a base variable in {found}, where mmcv does not substitute it\n"
            "write it outside quotes, as a whole value of the config: name = {{ _base_.name }}"
        )


def _misplaced(tree: ast.Module) -> Iterator[tuple[ast.expr, str]]:
    for parent in ast.walk(tree):
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and not isinstance(parent, ast.Expr):
                if _IN_TEXT.search(node.value):
                    yield node, f"a string, {node.value!r}"
            elif isinstance(node, ast.JoinedStr) and "_base_" in ast.unparse(node):
                yield node, f"a string, {ast.unparse(node)}"
            elif _is_variable(node) and not isinstance(parent, _HOLDERS):
                assert isinstance(node, ast.expr)
                yield node, f"an expression, {_unparsed(parent)}"


def _is_variable(node: ast.AST) -> bool:
    """Whether `node` is `{{ _base_.name }}`, to Python a set in a set."""
    for _ in range(2):
        if not (isinstance(node, ast.Set) and len(node.elts) == 1):
            return False
        node = node.elts[0]
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id == "_base_"


def _unparsed(node: ast.AST) -> str:
    return ast.unparse(node).replace("{{_base_", "{{ _base_").replace("}}", " }}")
