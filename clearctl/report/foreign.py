"""An accuracy matrix from a CSV file that clearctl did not write: a row of a report, named by its file.

N rows of N fractions from 0 to 1, R[i, j] the accuracy on bucket j after training on bucket i; with a first line of
bucket names or not, with a first column of them or not, as accuracy_matrix.csv has both.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clearctl.errors import RunError
from clearctl.metrics import Matrix
from clearctl.regular import read_text

CsvLine = tuple[int, list[str]]  # its number in the file, from 1, and its cells


def read_foreign(file: Path) -> tuple[Matrix, list[str] | None]:
    """(R [N, N], the names of the buckets, None if the file has none).

    Raises RunError, which names the line and what was found there, for anything but N rows of N fractions.
    """
    heading, rows = _split(file, _read(file))
    if heading is not None and len({*heading}) < len(heading):
        raise RunError(f"{file}, line 1: found a bucket twice in {', '.join(heading)}, expected a name for each")
    if heading is not None and {row[1][0] for row in rows} == {*heading}:
        for (number, cells), expected in zip(rows, heading, strict=True):
            if cells[0] != expected:
                raise RunError(f"{file}, line {number}: found the row of {cells[0]!r}, expected {expected!r}")
    size = len(rows)
    matrix = np.array([[_fraction(file, number, cell) for cell in cells[-size:]] for number, cells in rows])
    return matrix, heading


def _read(file: Path) -> list[CsvLine]:
    """The lines that are not blank, all of one width."""
    try:
        reader = csv.reader(io.StringIO(read_text(file, "utf-8-sig")))
        every = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{file} cannot be read as CSV: {error}") from None
    lines = [(number, cells) for number, cells in every if any(cells)]
    if not lines:
        raise RunError(f"{file} is empty: expected an accuracy matrix, N rows of N fractions")
    first, width = lines[0][0], len(lines[0][1])
    for number, cells in lines:
        if len(cells) != width:
            raise RunError(f"{file}, line {number}: found {len(cells)} cells, expected {width} as in line {first}")
    if width == 1 and len(lines) > 1:
        raise RunError(f"{file}, line {first}: found {lines[0][1][0]!r}, expected comma-separated numbers")
    return lines


def _split(file: Path, lines: Sequence[CsvLine]) -> tuple[list[str] | None, Sequence[CsvLine]]:
    """The bucket names of a first line, None without one, and the rows, which may begin with a name."""
    height, width = len(lines), len(lines[0][1])
    if height == width + 1 and _are_names(lines[0][1]):
        return lines[0][1], lines[1:]
    if height + 1 == width and _are_names([cells[0] for _, cells in lines]):
        return None, lines
    if height == width:
        corner = lines[0][1][0]
        return (None, lines) if height == 1 or _is_number(corner) else (lines[0][1][1:], lines[1:])
    raise RunError(
        f"{file}: found {height} lines of {width} cells, expected an accuracy matrix, N rows of N fractions,\n"
        "optionally with a first line and a first column of bucket names; all N rows are needed"
    )


def _are_names(cells: Sequence[str]) -> bool:
    """Whether these are names of buckets, and no row or column of fractions that is one too many."""
    numbers = [_is_number(cell) for cell in cells]
    if not any(numbers):
        return True
    return all(map(str.isdecimal, cells)) and all(int(a) < int(b) for a, b in zip(cells, cells[1:], strict=False))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _fraction(file: Path, line: int, cell: str) -> float:
    value = float(cell) if _is_number(cell) else None
    if value is not None and 0 <= value <= 1:
        return value
    percent = cell.endswith("%") or (value is not None and 1 < value <= 100)
    hint = ": divide percentages by 100" if percent else ""
    raise RunError(f"{file}, line {line}: found {cell!r}, expected a fraction from 0 to 1{hint}")
