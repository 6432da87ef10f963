"""Conditions over metadata fields, such as `date_taken >= '2008' and class_name in ['camera', 'laptop']`.

Python's grammar reads them, nothing of Python runs them: of its syntax tree only what is listed here is taken, and each
comparison is bound to what its field holds. Conditions are read from left to right and only as far as needed, so that
`title != None and 'beach' in title` never asks a record without a title for it.
"""

import ast
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from clearctl.dataset.recut.binding import COMPARISONS, Binding, Condition
from clearctl.dataset.recut.condition_faults import ALLOWED, raise_fault, text_of
from clearctl.dataset.recut.fields import Field, shortened
from clearctl.errors import UsageError
from clearctl.nearby import closest

MAX_LENGTH = 100_000
MAX_DEPTH = 50
_WORDS = {
    ast.Call: "a call",
    ast.Attribute: "an attribute",
    ast.Subscript: "a subscript",
    ast.BinOp: "arithmetic",
    ast.IfExp: "an if",
    ast.Lambda: "a lambda",
    ast.JoinedStr: "an f-string",
    ast.NamedExpr: "an assignment",
    ast.Is: "`is`: write ==",
    ast.IsNot: "`is not`: write !=",
}


@dataclass(frozen=True)
class Where:
    """A condition that was read and found to be of the allowed parts.

    `fields` are the names in it, in lower case, each with its first place.
    """

    source: str
    tree: ast.expr
    fields: dict[str, ast.Name]

    def bind(self, fields: Mapping[str, Field]) -> Condition:
        """The condition as a function of a record; `fields` are those of `self.fields`, all values noted.

        Raises UsageError for a comparison of things that do not compare, and DatasetError as `Field.kind` and
        `Field.require_order`. The function raises MissingValue where it needs a field that a record lacks.
        """
        return Binding(self.source, fields).condition(self.tree)

    def require_known(self, names: Iterable[str]) -> None:
        """Raise UsageError for a field that is not among `names`."""
        candidates = sorted(names)
        for name, node in self.fields.items():
            if name not in candidates:
                raise_fault(self.source, node, f"no record has the field {name!r}{closest(name, candidates)}", "")


def parse_where(text: str) -> Where:
    """Read a condition. Raises UsageError, naming the column, for whatever is not of the allowed parts."""
    if len(text) > MAX_LENGTH:
        raise UsageError(f"--where is {len(text):,} characters long; at most {MAX_LENGTH:,} are read")
    source = text.replace("\n", " ").replace("\r", " ").strip()
    if not source:
        raise UsageError("--where is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's advice on programs
            tree = ast.parse(source, mode="eval").body
    except SyntaxError as error:
        column = error.offset or len(source) + 1
        raise UsageError(f"--where, column {column}: {error.msg}\n{ALLOWED}") from None
    except (ValueError, MemoryError, RecursionError):
        # Python's message about deep nesting depends on its version, and so does whether it reads it at all.
        raise UsageError(f"--where cannot be read: {shortened(source)}\n{ALLOWED}") from None
    names: dict[str, ast.Name] = {}
    _Structure(source, names).condition(tree, 0)
    return Where(source, tree, names)


@dataclass(frozen=True)
class _Structure:
    """Checks that a syntax tree is of the allowed parts only, and collects the names in it."""

    source: str
    names: dict[str, ast.Name]

    def condition(self, node: ast.expr, depth: int) -> None:
        """Check a condition."""
        if depth > MAX_DEPTH:
            raise_fault(self.source, node, f"nested more than {MAX_DEPTH} deep", "")
        match node:
            case ast.BoolOp(values=parts):
                for part in parts:
                    self.condition(part, depth + 1)
            case ast.UnaryOp(op=ast.Not(), operand=part):
                self.condition(part, depth + 1)
            case ast.Compare():
                self._comparison(node)
            case ast.Name():
                self._operand(node)
            case ast.Constant(value=bool()):
                pass
            case ast.Constant():
                self._refuse(node, "is not a condition: compare it with a field")
            case _:
                self._refuse(node, f"is {_words(node)}")

    def _comparison(self, node: ast.Compare) -> None:
        self._operand(node.left)
        for symbol, right in zip(node.ops, node.comparators, strict=True):
            if type(symbol) not in COMPARISONS and not isinstance(symbol, ast.In | ast.NotIn):
                self._refuse(node, f"has {_words(symbol)}")
            if isinstance(symbol, ast.In | ast.NotIn) and isinstance(right, ast.List | ast.Tuple | ast.Set):
                for member in right.elts:
                    if isinstance(member, ast.Name):
                        self._refuse(member, "is a field; a list may hold numbers and 'text' only")
                    self._operand(member)
            else:
                self._operand(right)

    def _operand(self, node: ast.expr) -> None:
        """Check one side of a comparison: a field, or a literal."""
        match node:
            case ast.Name(id=name):
                self.names.setdefault(name.lower(), node)
            case ast.Constant(value=None | bool() | int() | float() | str()):
                pass
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=ast.Constant(value=int() | float() as number)):
                if isinstance(number, bool):
                    self._refuse(node, "is arithmetic")
            case ast.List() | ast.Tuple() | ast.Set():
                self._refuse(node, "is a list, which only `in` and `not in` compare with")
            case _:
                self._refuse(node, f"is {_words(node)}")

    def _refuse(self, node: ast.expr, what: str) -> NoReturn:
        raise_fault(self.source, node, f"{text_of(self.source, node)} {what}")


def _words(node: ast.AST) -> str:
    return _WORDS.get(type(node), "not allowed")
