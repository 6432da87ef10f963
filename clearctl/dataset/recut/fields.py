"""The kind of a metadata field: numbers, dates, text or truth values, inferred from all of its values together.

The metadata spells nearly everything as a string: DATE_UPLOADED "1072915200" is a number, DATE_TAKEN
"2004-01-05 12:00:00.0" a date. The names of fields are matched in lower case.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from itertools import combinations
from typing import Any, NamedTuple, TypeAlias

from clearctl.errors import DatasetError

FieldValue: TypeAlias = int | float | str | bool | datetime

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s?(Z|[+-]\d\d(?::?\d\d)?)?)?)?)?",
    re.ASCII | re.IGNORECASE,
)
# The values that databases write for no date, or for nothing at all.
_NOTHING = re.compile(r"\s*|null|0000-00-00([ T][0:.]*)?", re.IGNORECASE)


class Kind(Enum):
    """The kind of a field's values; the value is its name in messages."""

    NUMBER = "numbers"
    DATE = "dates"
    TEXT = "text"
    TRUTH = "true or false"


# The forms of a single value, and the forms that a field of each kind may have.
_NUMBER_VALUE, _NUMERAL, _DATE_TEXT, _TEXT = "a number", "a number in quotes", "a date", "text"
_TRUTH, _OTHER = "true or false", "a list or an object"
_READINGS = {
    Kind.NUMBER: {_NUMBER_VALUE, _NUMERAL},
    Kind.DATE: {_DATE_TEXT},
    Kind.TRUTH: {_TRUTH},
    Kind.TEXT: {_NUMERAL, _DATE_TEXT, _TEXT},
}


class RecordKey(NamedTuple):
    """The record that a value is from."""

    bucket: str
    class_name: str
    id: str

    def __str__(self) -> str:
        return f"bucket {self.bucket}, class {self.class_name!r}, id {self.id!r}"


class MissingValue(Exception):
    """A record lacks the field `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass
class Field:
    """The values of one field, noted one after another; every one of them counts for the field's kind.

    `counts` and `first` are by what a value is by itself: how many there are, and the first with its place.
    """

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, tuple[Any, RecordKey]] = field(default_factory=dict)

    def note(self, value: Any, place: RecordKey) -> None:
        """Take in the value of a record; a missing one is skipped."""
        if is_missing(value):
            return
        reading = _reading(value)
        self.counts[reading] += 1
        if reading not in self.first:
            self.first[reading] = (value, place)

    def kind(self) -> Kind | None:
        """The kind of the field's values; None if no record has it.

        Numbers and strings that spell numbers are numbers; strings that all spell dates are dates; other strings are
        text. Raises DatasetError, naming two values, if they do not go together.
        """
        if not self.counts:
            return None
        if _OTHER in self.counts:
            raise DatasetError(f"{self.name} cannot be compared: {self._sighting(_OTHER)}")
        for kind, readings in _READINGS.items():
            if self.counts.keys() <= readings:
                return kind
        one, other = next(
            pair for pair in combinations(self.first, 2) if not any({*pair} <= kind for kind in _READINGS.values())
        )
        raise DatasetError(
            f"{self.name} mixes values that cannot be compared\n{self._sighting(one)}; {self._sighting(other)}"
        )

    def require_order(self) -> None:
        """Raise DatasetError for text of which most is numbers or dates: "9" would come after "10" unnoticed."""
        if self.kind() is not Kind.TEXT:
            return
        total = sum(self.counts.values())
        for reading in (_NUMERAL, _DATE_TEXT):
            if total > self.counts[reading] > total / 2:
                other = next(other for other in self.first if other != reading)
                value, place = self.first[other]
                raise DatasetError(
                    f"{self.name} is {reading} in {self.counts[reading]:,} of {total:,} records, and "
                    f"{shortened(repr(value))} in {place}\n"
                    f"leave out the others, such as with --where {f'{self.name} != {value!r}'!r}"
                )

    def _sighting(self, reading: str) -> str:
        value, place = self.first[reading]
        return f"{shortened(repr(value))} ({place}) is {reading}"


def is_missing(value: Any) -> bool:
    """Whether `value` is none: null, NaN, blank, "null" or the date 0000-00-00, as databases write it."""
    if isinstance(value, str):
        return _NOTHING.fullmatch(value) is not None
    return value is None or (isinstance(value, float) and math.isnan(value))


def read_value(value: Any, kind: Kind) -> FieldValue:
    """`value` as what its field holds. Raises ValueError if it is not that."""
    read: FieldValue | None = value
    if isinstance(value, str) and kind is Kind.NUMBER:
        read = parse_number(value)
    elif kind is Kind.DATE:
        read = parse_date(value)
    if read is None:
        raise ValueError(f"{value!r} is not of {kind.value}")
    return read


def parse_number(text: str) -> int | float | None:
    """The number that `text` spells, a whole one exactly; None for other text."""
    match = _NUMBER.fullmatch(text.strip())
    if not match:
        return None
    try:
        return int(text)
    except ValueError:  # not whole, or of more digits than Python reads
        return float(text)


def parse_date(text: str) -> datetime | None:
    """The moment that `text` spells, from the year alone to a fraction of a second; None for other text.

    It is the beginning of what is named, in UTC; without a zone it is taken as UTC.
    """
    match = _DATE.fullmatch(text.strip())
    if not match:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    microsecond = int(((fraction or "") + "000000")[:6])
    try:
        moment = datetime(
            int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0), microsecond
        )
        return moment - _offset(zone)
    except (ValueError, OverflowError):
        return None


def shortened(text: str, length: int = 60) -> str:
    """`text` for a message, its end left out if it is long."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _offset(zone: str | None) -> timedelta:
    """The offset from UTC of a zone such as +01:00."""
    if zone is None or zone in "Zz":
        return timedelta()
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -offset if zone[0] == "-" else offset


def _reading(value: Any) -> str:
    """The kind of a single value."""
    if isinstance(value, bool):
        return _TRUTH
    if isinstance(value, int | float):
        return _NUMBER_VALUE
    if not isinstance(value, str):
        return _OTHER
    if parse_number(value) is not None:
        return _NUMERAL
    return _TEXT if parse_date(value) is None else _DATE_TEXT
