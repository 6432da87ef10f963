"""Binds a condition to the fields of records: each part of its syntax tree becomes a function of a record."""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from clearctl.dataset.recut.condition_faults import raise_fault, text_of
from clearctl.dataset.recut.fields import (
    Field,
    FieldValue,
    Kind,
    MissingValue,
    is_missing,
    parse_date,
    parse_number,
    read_value,
)

# The values of a record, by lower-case name.
MetadataRecord: TypeAlias = Mapping[str, Any]
Condition: TypeAlias = Callable[[MetadataRecord], bool]
Reader: TypeAlias = Callable[[MetadataRecord], FieldValue]

_ORDERINGS = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
COMPARISONS = {ast.Eq: operator.eq, ast.NotEq: operator.ne, **_ORDERINGS}
_SPELLINGS = {
    Kind.NUMBER: "write a number",
    Kind.DATE: "write '2008', '2008-05' or '2008-05-31 12:00:00', in quotes",
    Kind.TEXT: "write text, in quotes",
    Kind.TRUTH: "write True or False",
}


@dataclass(frozen=True)
class Binding:
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
        compare = COMPARISONS[type(symbol)]
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
        """The kind of an operand; None for a field that no record has a value of."""
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
        raise_fault(self.source, node, f"{text_of(self.source, node)} {what}", "")


def _fields_first(left: ast.expr, right: ast.expr) -> list[ast.expr]:
    """A literal is read as what the field next to it holds, whichever side it is on."""
    return [left, right] if isinstance(left, ast.Name) else [right, left]


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _literal(node: ast.expr) -> Any:
    """The value of a checked literal, or of the number under a sign."""
    return ast.literal_eval(node)
