"""Conditions over metadata fields, such as `date_taken >= '2008' and class_name in ['camera', 'laptop']`.

Python's grammar reads them, nothing of Python runs them: of its syntax tree only what is listed here is taken, and each
comparison is bound to what its field holds. Conditions are read from left to right and only as far as needed, so that
`title != None and 'beach' in title` never asks a record without a title for it.
"""

import ast
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from clearctl.config.registry import closest
from clearctl.dataset.recut.fields import (
    Field,
    FieldValue,
    Kind,
    MissingValue,
    is_missing,
    parse_date,
    parse_number,
    read_value,
    shortened,
)
from clearctl.errors import UsageError

MAX_LENGTH = 100_000
MAX_DEPTH = 50
ALLOWED = (
    "allowed are fields, bucket, class_name, numbers, 'text', True, False, None, == != < <= > >=, in and not in with "
    "a list or a text field, and, or, not, brackets"
)

# The values of a record, by lower-case name.
MetadataRecord: TypeAlias = Mapping[str, Any]
Condition: TypeAlias = Callable[[MetadataRecord], bool]
Reader: TypeAlias = Callable[[MetadataRecord], FieldValue]

_ORDERINGS = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
_COMPARISONS = {ast.Eq: operator.eq, ast.NotEq: operator.ne, **_ORDERINGS}
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
_SPELLINGS = {
    Kind.NUMBER: "write a number",
    Kind.DATE: "write '2008', '2008-05' or '2008-05-31 12:00:00', in quotes",
    Kind.TEXT: "write text, in quotes",
    Kind.TRUTH: "write True or False",
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
        return _Binding(self.source, fields).condition(self.tree)

    def require_known(self, names: Iterable[str]) -> None:
        """Raise UsageError for a field that is not among `names`."""
        candidates = sorted(names)
        for name, node in self.fields.items():
            if name not in candidates:
                _fault(self.source, node, f"no record has the field {name!r}{closest(name, candidates)}", "")


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
        # What Python says of deep nesting depends on its version, and so does whether it reads it at all.
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
            _fault(self.source, node, f"nested more than {MAX_DEPTH} deep", "")
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
            if type(symbol) not in _COMPARISONS and not isinstance(symbol, ast.In | ast.NotIn):
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
        _fault(self.source, node, f"{_text(self.source, node)} {what}")


@dataclass(frozen=True)
class _Binding:
    """Turns the parts of a checked syntax tree into functions of a record."""

    source: str
    fields: Mapping[str, Field]

    def condition(self, node: ast.expr) -> Condition:
        """The function that a condition is."""
        match node:
            case ast.BoolOp(op=symbol, values=values):
                parts = [self.condition(value) for value in values]
                if isinstance(symbol, ast.And):
                    return lambda record: all(part(record) for part in parts)
                return lambda record: any(part(record) for part in parts)
            case ast.UnaryOp(operand=operand):
                part = self.condition(operand)
                return lambda record: not part(record)
            case ast.Compare(left=left, ops=symbols, comparators=others):
                operands = [left, *others]
                pairs = [self._pair(*pair) for pair in zip(operands, symbols, others, strict=False)]
                return lambda record: all(pair(record) for pair in pairs)
            case ast.Name():
                if self._kind(node) not in (Kind.TRUTH, None):
                    self._refuse(node, f"is {self._held(node)}: compare it with something")
                reader = self._reader(node, Kind.TRUTH)
                return lambda record: bool(reader(record))
            case _:
                always = bool(_literal(node))
                return lambda record: always

    def _pair(self, left: ast.expr, symbol: ast.cmpop, right: ast.expr) -> Condition:
        """The function of one comparison, of two operands."""
        if _is_none(left) or _is_none(right):
            return self._presence(left, symbol, right)
        if isinstance(symbol, ast.In | ast.NotIn):
            is_in = self._membership(left, right)
            return is_in if isinstance(symbol, ast.In) else lambda record: not is_in(record)
        kind = next((kind for kind in map(self._kind, _fields_first(left, right)) if kind), Kind.TEXT)
        if type(symbol) in _ORDERINGS:
            for node in (left, right):
                if isinstance(node, ast.Name):
                    self.fields[node.id.lower()].require_order()
        compare = _COMPARISONS[type(symbol)]
        value, other = self._reader(left, kind), self._reader(right, kind)
        return lambda record: bool(compare(value(record), other(record)))

    def _presence(self, left: ast.expr, symbol: ast.cmpop, right: ast.expr) -> Condition:
        """`field == None` and `field != None`: whether a record lacks the field, or has it."""
        name = right if _is_none(left) else left
        if not isinstance(name, ast.Name) or not isinstance(symbol, ast.Eq | ast.NotEq):
            self._refuse(left, "beside None: None is for == and != with a field")
        key, wanted = name.id.lower(), isinstance(symbol, ast.Eq)
        return lambda record: is_missing(record.get(key)) is wanted

    def _membership(self, left: ast.expr, right: ast.expr) -> Condition:
        """`value in [...]`, or `'part' in text`."""
        kind = self._kind(left)
        if isinstance(right, ast.List | ast.Tuple | ast.Set):
            value = self._reader(left, kind or Kind.TEXT)
            members = frozenset(self._as(member, kind or self._kind(member) or Kind.TEXT) for member in right.elts)
            return lambda record: value(record) in members
        if self._kind(right) not in (Kind.TEXT, None):
            self._refuse(right, f"holds {self._held(right)}: `in` looks into a list or into text")
        part, text = self._reader(left, Kind.TEXT), self._reader(right, Kind.TEXT)
        return lambda record: str(part(record)) in str(text(record))

    def _reader(self, node: ast.expr, kind: Kind) -> Reader:
        """The function that gives an operand's value, which is to be of `kind`."""
        if not isinstance(node, ast.Name):
            literal = self._as(node, kind)
            return lambda record: literal
        if self._kind(node) not in (kind, None):
            self._refuse(node, f"holds {self._held(node)}, which do not compare with {kind.value}")
        name = node.id.lower()

        def read(record: MetadataRecord) -> FieldValue:
            value = record.get(name)
            if is_missing(value):
                raise MissingValue(name)
            return read_value(value, kind)

        return read

    def _as(self, node: ast.expr, kind: Kind) -> FieldValue:
        """The value of a literal that is compared with what is of `kind`."""
        value = _literal(node)
        read: FieldValue | None = None
        if kind is Kind.NUMBER:
            read = parse_number(value) if isinstance(value, str) else value
        elif kind is Kind.DATE and isinstance(value, str):
            read = parse_date(value)
        elif (kind is Kind.TEXT and isinstance(value, str)) or kind is Kind.TRUTH:
            read = value
        if read is None or isinstance(read, bool) is not (kind is Kind.TRUTH):
            self._refuse(node, f"is compared with {kind.value}: {_SPELLINGS[kind]}")
        return read

    def _kind(self, node: ast.expr) -> Kind | None:
        """What an operand is; None for a field that no record has a value of."""
        if isinstance(node, ast.Name):
            return self.fields[node.id.lower()].kind()
        value = _literal(node)
        if isinstance(value, str):
            return Kind.TEXT
        return Kind.TRUTH if isinstance(value, bool) else Kind.NUMBER

    def _held(self, node: ast.expr) -> str:
        kind = self._kind(node)
        return kind.value if kind else "nothing"

    def _refuse(self, node: ast.expr, what: str) -> NoReturn:
        _fault(self.source, node, f"{_text(self.source, node)} {what}", "")


def _fields_first(left: ast.expr, right: ast.expr) -> list[ast.expr]:
    """A literal is read as what the field next to it holds, whichever side it is on."""
    return [left, right] if isinstance(left, ast.Name) else [right, left]


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _literal(node: ast.expr) -> Any:
    """The value of a checked literal, or of the number under a sign."""
    return ast.literal_eval(node)


def _text(source: str, node: ast.expr) -> str:
    """The text of a part, for a message."""
    return shortened(ast.get_source_segment(source, node) or "", 40)


def _words(node: ast.AST) -> str:
    return _WORDS.get(type(node), "not allowed")


def _fault(source: str, node: ast.AST, what: str, allowed: str = ALLOWED) -> NoReturn:
    """Raise UsageError for `what` at the column of `node`."""
    # Python counts bytes of UTF-8.
    column = len(source.encode()[: getattr(node, "col_offset", 0)].decode()) + 1
    raise UsageError(f"--where, column {column}: {what}" + (f"\n{allowed}" if allowed else ""))
