"""Dates of photographs: from EXIF, from names of files, from the cells of a table.

All are without a time zone, as cameras write them; a table's date with a zone is taken in UTC.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, NamedTuple

from PIL import Image

from clearctl.dataset.recut.fields import is_missing, parse_date
from clearctl.errors import UsageError

_ORIENTATION, _TURNED = 0x0112, range(2, 9)
_EXIF_IFD = 0x8769
_DATE_TIME_ORIGINAL = 0x9003
# Cameras and editors write other separators than the standard's colons, and leave the time out.
_EXIF = re.compile(r"(\d{4})[:/.-](\d\d?)[:/.-](\d\d?)(?:[ T](\d\d?):(\d\d?)(?::(\d\d?))?)?.*", re.ASCII | re.DOTALL)
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)", re.ASCII)
_FIELDS = {
    "%Y": r"(?P<Y>\d{4})",
    "%y": r"(?P<y>\d\d)",
    "%m": r"(?P<m>\d\d?)",
    "%d": r"(?P<d>\d\d?)",
    "%H": r"(?P<H>\d\d?)",
    "%M": r"(?P<M>\d\d?)",
    "%S": r"(?P<S>\d\d?)",
    "%s": r"(?P<s>\d{9,10})",
    "%%": "%",
}
# Where another digit follows, a field of one or two digits has to have two.
_FIXED = {name: field.replace(r"\d\d?", r"\d\d") for name, field in _FIELDS.items()}
_EPOCH = datetime(1970, 1, 1)
EARLIEST = datetime(1900, 1, 1)
_LATEST = datetime(9000, 1, 1)


@dataclass(frozen=True)
class DateTaken:
    """The date of a photograph; `origin` is where it was found: "exif", "name", "table" or "bucket"."""

    moment: datetime
    origin: str


class DatePattern:
    """A format of dates in names of files or in a column: `%Y%m%d_%H%M%S`, `%d/%m/%Y`, with `*` for anything.

    %Y, %m, %d, %H, %M, %S are those of strptime, %y a year of two digits (69 is 1969, 68 is 2068), %s seconds since
    1970. It may be anywhere in the text. Raises UsageError for a pattern without a year, or with another field.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        parts = re.findall(r"%.?|\*|[^%*]+", text, re.DOTALL)
        named = [part for part in parts if part in _FIELDS and part != "%%"]
        wrong = [part for part in parts if part.startswith("%") and part not in _FIELDS]
        if wrong or len(set(named)) < len(named) or not {"%Y", "%y", "%s"} & set(named):
            what = f"{wrong[0]} is unknown" if wrong else "expected one year, %Y, %y or %s, and each field once"
            raise UsageError(
                f"--date-pattern {text}: {what}\n"
                "fields are %Y %y %m %d %H %M %S %s, such as IMG_%Y%m%d_%H%M%S; * matches anything"
            )
        expressions = []
        for part, following in zip(parts, [*parts[1:], ""], strict=True):
            fields = _FIXED if following.startswith("%") else _FIELDS
            expressions.append(".*?" if part == "*" else fields.get(part, re.escape(part)))
        before = r"(?<!\d)" if parts[0] in _FIELDS else ""
        after = r"(?!\d)" if parts[-1] in _FIELDS else ""
        self._expression = re.compile(before + "".join(expressions) + after, re.ASCII | re.DOTALL)

    def find(self, text: str) -> datetime | None:
        """The first date in `text` that is one; None if there is none."""
        for match in self._expression.finditer(text):
            found = {name: int(value) for name, value in match.groupdict().items()}
            year = found.get("Y", 1900 + found.get("y", 0) + (100 if found.get("y", 69) < 69 else 0))
            try:
                if "s" in found:
                    return _EPOCH + timedelta(seconds=found["s"])
                return _moment([year, *(found.get(name, first) for name, first in _FIRST.items())])
            except (ValueError, OverflowError):
                continue
        return None


_FIRST = {"m": 1, "d": 1, "H": 0, "M": 0, "S": 0}


class ExifTags(NamedTuple):
    """Values from EXIF: DateTimeOriginal as it is written, and whether the pixels are to be turned or mirrored."""

    date: str | None = None
    is_turned: bool = False


def exif_tags(image: Image.Image) -> ExifTags:
    """The EXIF values of an image; empty if it has none, or if they cannot be read."""
    try:
        tags = image.getexif()
        is_turned = tags.get(_ORIENTATION) in _TURNED
        value = tags.get_ifd(_EXIF_IFD).get(_DATE_TIME_ORIGINAL)
    except Exception:  # Pillow raises many kinds for damaged EXIF: struct.error, SyntaxError, KeyError, ...
        return ExifTags()
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    text = value.strip("\0 ") if isinstance(value, str) else ""
    return ExifTags(text or None, is_turned)


def read_exif(text: str) -> datetime | None:
    """The moment in the text of an EXIF date; None for "0000:00:00 00:00:00" and other text that is not a date."""
    match = _EXIF.fullmatch(text)
    if not match:
        return None
    try:
        return _moment([int(part or 0) for part in match.groups()])
    except ValueError:
        return None


def read_cell(value: Any, pattern: DatePattern | None = None) -> datetime | None:
    """The moment in a cell of a table; None for an empty one. Raises ValueError for what is not a date.

    Numbers of four digits are years, of eight YYYYMMDD, larger ones seconds or (13 digits) milliseconds since 1970.
    """
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    if is_missing(value):
        return None
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
    found = pattern.find(text) if pattern else parse_date(text) or read_exif(text) or _read_number(text)
    if found is None or isinstance(value, bool):
        raise ValueError(text)
    return found


def _read_number(text: str) -> datetime | None:
    """YYYYMMDD, or the seconds or milliseconds since 1970."""
    if match := _COMPACT.fullmatch(text):
        try:
            return _moment([*map(int, match.groups()), 0, 0, 0])
        except ValueError:
            return None
    if not re.fullmatch(r"-?\d{9,13}(\.\d+)?", text, re.ASCII):
        return None
    seconds = float(text) / (1000 if len(text.lstrip("-").partition(".")[0]) > 11 else 1)
    return _EPOCH + timedelta(seconds=seconds)


def _moment(parts: Sequence[int]) -> datetime:
    """The moment of year, month, day, hour, minute and second. Raises ValueError if there is none."""
    year, month, day, hour, minute, second = parts
    return datetime(year, month, day, hour, minute, second)


def implausible(moment: datetime, now: datetime) -> str | None:
    """The reason why a camera's date cannot be right, or None: before 1900, or later than `now` by more than a day."""
    if moment < EARLIEST:
        return "before 1900"
    return "in the future" if moment > now + timedelta(days=1) else None


def period_of(bucket: str) -> tuple[datetime, datetime] | None:
    """The first moment, and the first after the last, of a bucket that is called by a date: 2004, 2004-05, 2004-05-31.

    None for other names.
    """
    first = parse_date(bucket)
    if first is None or not EARLIEST <= first < _LATEST or len(bucket) > len("2004-05-31"):
        return None
    if len(bucket) == len("2004"):
        return first, first.replace(year=first.year + 1)
    if len(bucket) == len("2004-05"):
        return first, (first + timedelta(days=32)).replace(day=1)
    return first, first + timedelta(days=1)
