"""A table of images: CSV, TSV, JSON, JSON lines or parquet, with a row for each and columns of path, label and date.

The metadata.csv, .jsonl or .parquet of a Hugging Face imagefolder is such a table too.
"""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from clearctl import regular
from clearctl.errors import CapabilityError, DatasetError, UsageError
from clearctl.nearby import closest
from clearctl.wording import any_of, in_one_line

Row = Mapping[str, Any]

# The names that a column may have, whatever their case, unless --columns names it.
COLUMNS: dict[str, tuple[str, ...]] = {
    "path": ("path", "file_name", "filename", "file", "image", "img_path", "image_path", "filepath"),
    "label": ("label", "class", "class_name", "category", "labels"),
    "date": ("date", "date_taken", "datetime", "taken", "timestamp", "created_at", "year"),
    "bucket": ("bucket",),
    "split": ("split", "subset"),
}
REQUIRED = ("path",)
SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


@dataclass(frozen=True)
class Table:
    """The rows of `file`, the `columns` by role, and all `names` of columns."""

    file: Path
    rows: Sequence[Row]
    columns: Mapping[str, str]
    names: Sequence[str]

    def cell(self, row: Row, role: str) -> Any:
        """A row's value in the column of a role; None for an empty cell and if there is no such column."""
        value = row.get(self.columns[role]) if role in self.columns else None
        if isinstance(value, str):
            value = value.strip() or None
        return None if isinstance(value, float) and math.isnan(value) else value

    def others(self, row: Row) -> dict[str, Any]:
        """The columns without a role, as in JSON; what is not a text, number or truth value is left out."""
        used = set(self.columns.values())
        kept = {name: _plain(value) for name, value in row.items() if name not in used}
        return {name: value for name, value in kept.items() if value is not None}


def read_table(file: Path, columns: Mapping[str, str] | None = None) -> Table:
    """The table in `file`, by its suffix; `columns` is {role of COLUMNS: name of the column}.

    Raises UsageError for roles that there are not; DatasetError for a file that cannot be read, has no rows, or lacks a
    column that is named or needed; CapabilityError for parquet if pyarrow is not installed.
    """
    for role in columns or {}:
        if role not in COLUMNS:
            raise UsageError(f"--columns {role}=…: expected {any_of(list(COLUMNS))}")
    rows = _read_rows(file)
    if not rows:
        raise DatasetError(f"{file} has no rows")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Table(file, rows, _find_columns(file, names, columns or {}), names)


def _find_columns(file: Path, names: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    for role, name in given.items():
        if name not in names:
            raise DatasetError(
                f"{file} has no column {name!r} (--columns {role}={name}){closest(name, list(names))}\n"
                f"it has {', '.join(names)}"
            )
    lower = {name.strip().lower(): name for name in reversed(names)}
    found = dict(given)
    for role, known in COLUMNS.items():
        free = [lower[each] for each in known if each in lower and lower[each] not in found.values()]
        if role not in found and free:
            found[role] = free[0]
    missing = [role for role in REQUIRED if role not in found]
    if missing:
        role = missing[0]
        raise DatasetError(
            f"{file} has no column for the {role}: found {', '.join(names)}; expected {any_of(COLUMNS[role])}\n"
            f"name it: --columns {role}=COLUMN,label=COLUMN,date=COLUMN"
        )
    return found


def _read_rows(file: Path) -> list[Row]:
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        return _read_parquet(file)
    try:
        text = regular.read_text(file, "utf-8-sig")
    except FileNotFoundError:
        raise DatasetError(f"{file} is missing") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file} is not UTF-8 (byte {error.start:,}): save it as UTF-8") from None
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}") from None
    if suffix in (".csv", ".tsv"):
        return list(_csv_rows(file, text))
    return _json_rows(file, text, by_line=suffix != ".json")


def _csv_rows(file: Path, text: str) -> Iterator[Row]:
    header = text.split("\n", 1)[0]
    delimiter = "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DatasetError(f"{file} has two columns {twice!r}")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(names):
                what = f"line {reader.line_num} has {len(cells)} cells, the header has {len(names)}"
                raise DatasetError(
                    f'{file}, {what}: a cell that contains the separator {delimiter!r} needs quotes, "…"'
                )
            yield dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise DatasetError(f"{file}, line {reader.line_num}: {error}") from None


def _json_rows(file: Path, text: str, *, by_line: bool) -> list[Row]:
    number = 0
    try:
        rows = [] if by_line else json.loads(text)
        for line in text.split("\n") if by_line else ():
            number += 1
            if line.strip():
                rows.append(json.loads(line))
    except (ValueError, RecursionError) as error:
        where = f", line {number}" if by_line else ""
        raise DatasetError(f"{file}{where} is not JSON: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DatasetError(
            f'{file}: expected a list of objects, such as [{{"path": "a.jpg", "label": "cat", "date": "2004-05-31"}}]'
        )
    return rows


def _read_parquet(file: Path) -> list[Row]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise CapabilityError(
            f"{file}: reading parquet needs pyarrow, which is not installed\n"
            "run `pip install pyarrow`, or save the table as CSV or JSON lines"
        ) from None
    try:
        rows: list[Row] = parquet.read_table(file).to_pylist()
    except FileNotFoundError:
        raise DatasetError(f"{file} is missing") from None
    except (OSError, ArrowException) as error:
        raise DatasetError(f"{file} cannot be read: {in_one_line(error)}") from None
    return rows


def _plain(value: Any) -> str | int | float | bool | None:
    if isinstance(value, date):  # a datetime too
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool) else None
