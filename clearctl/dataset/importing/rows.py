"""The images listed in a table, or in the tables of a Hugging Face imagefolder."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from clearctl.dataset.importing.dates import DatePattern, DateTaken, read_cell
from clearctl.dataset.importing.folders import SPLITS
from clearctl.dataset.importing.images import Found, SourceImage
from clearctl.dataset.importing.table import METADATA, Row, Table, read_table
from clearctl.dataset.recut.fields import shortened
from clearctl.errors import DatasetError
from clearctl.progress import Counted, Listener, Message
from clearctl.wording import counted, few


def metadata_tables(root: Path) -> list[tuple[Path, str | None]]:
    """(table, split) of the metadata of a Hugging Face imagefolder: in `root`, or in its train/, test/ and so on.

    Raises DatasetError if only some of these have one, OSError for a folder that cannot be listed.
    """
    folders: list[tuple[Path, str | None]] = [(root, None)]
    names = sorted(os.listdir(root))
    folders += [(root / name, SPLITS[name.lower()]) for name in names if name.lower() in SPLITS]
    tables = [(folder / name, split) for folder, split in folders for name in METADATA if (folder / name).is_file()]
    of_splits = {file.parent for file, split in tables if split is not None}
    without = [folder for folder, split in folders if split is not None and folder not in of_splits and folder.is_dir()]
    if of_splits and without:
        raise DatasetError(
            f"{min(of_splits)} has a table such as {METADATA[0]}, but {without[0].name}/ has none\n"
            "give each of them one, or say what the folders are with --layout"
        )
    return tables


def find_in_tables(
    root: Path,
    tables: list[tuple[Path, str | None]],
    columns: Mapping[str, str] | None,
    pattern: DatePattern | None,
    listener: Listener,
    image_root: Path | None = None,
) -> Found:
    """The images of `tables`, whose paths are relative to `image_root`, by default to the table's own folder.

    Names are relative to `root`. Without a column of labels the folder that an image is in is its label. Raises
    DatasetError for columns, dates, splits and paths that are not as they should be, as `read_table` does.
    """
    found = Found([], "table")
    for file, split in tables:
        table = read_table(file, columns)
        _report_columns(table, listener)
        _Reader(table, split, root, image_root or file.parent, pattern).read(found, listener)
    _check_missing(found, tables[0][0], image_root)
    _check_repeats(found, tables[0][0])
    return found


@dataclass
class _Reader:
    """Reads the images of a table that is of a `split`, or of None, with paths relative to `folder`."""

    table: Table
    split: str | None
    root: Path
    folder: Path
    pattern: DatePattern | None
    faulty_dates: list[str] = field(default_factory=list)

    def read(self, found: Found, listener: Listener) -> None:
        """Add the images of all rows to `found`, or to what it leaves out. Raises DatasetError."""
        for number, row in enumerate(self.table.rows, 1):
            path = self._path(number, row)
            name = _name(self.root, self.folder / path)
            label = _text(_scalar(self.table, number, row, "label"))
            if "label" not in self.table.columns:
                label = PurePosixPath(path).parent.name or None
            if label is None:
                found.left_out.add("without a label", [name])
            elif not os.path.isfile(self.folder / path):
                found.left_out.add(MISSING, [name])
            else:
                found.images.append(self._image(number, row, path, name, label))
            listener(Counted("look for images", number, len(self.table.rows), "rows"))
        if self.faulty_dates:
            number, column = len(self.faulty_dates), self.table.columns["date"]
            raise DatasetError(
                f"{self.table.file}: {counted(number, 'cell')} of {column!r} cannot be read as dates: "
                f"{few(self.faulty_dates)}\nexpected such as 2004-05-31, 2004 or 2004-05-31 12:00:00; "
                "--date-pattern says how they are written, such as %d/%m/%Y"
            )

    def _path(self, number: int, row: Row) -> str:
        path = self.table.cell(row, "path")
        if not isinstance(path, str):
            column, found = self.table.columns["path"], shortened(repr(path))
            raise DatasetError(f"{self.table.file}, row {number}: expected a path in {column!r}, found {found}")
        if "\\" in path and not os.path.isfile(self.folder / path):  # written on Windows
            path = path.replace("\\", "/")
        return path

    def _image(self, number: int, row: Row, path: str, name: str, label: str) -> SourceImage:
        bucket = _text(_scalar(self.table, number, row, "bucket"))
        split = _split(self.table, number, self.table.cell(row, "split")) or self.split
        return SourceImage(
            self.folder / path, name, label, bucket, split, self._date(row, name), self.table.others(row)
        )

    def _date(self, row: Row, name: str) -> DateTaken | None:
        """The date of a row; one that cannot be read is noted, for all of them together are an error."""
        cell = self.table.cell(row, "date")
        try:
            moment = read_cell(cell, self.pattern)
        except (ValueError, OverflowError):
            self.faulty_dates.append(f"{shortened(repr(cell))} of {name}")
            return None
        return DateTaken(moment, "table") if moment else None


MISSING = "that is missing"


def _report_columns(table: Table, listener: Listener) -> None:
    """Report the source of labels and dates that no column gives: a column of another name is easily overlooked."""
    found = ", ".join(table.names)
    if "label" not in table.columns:
        text = f"{table.file} has no column of labels (found {found}): the folders that images are in are their labels"
        listener(Message(f"{text}; --columns label=COLUMN names one", warning=True))
    if not {"date", "bucket"} & set(table.columns):
        text = f"{table.file} has no column of dates (found {found}): EXIF's are taken, or those in names"
        listener(Message(f"{text}; --columns date=COLUMN names one"))


def _check_missing(found: Found, table: Path, image_root: Path | None) -> None:
    """Raise DatasetError if no image exists."""
    missing = found.left_out.files.get(MISSING, [])
    if missing and not found.images:
        raise DatasetError(
            f"{table}: none of its {counted(len(missing), 'image')} is there: {few(missing)}\n"
            f"paths are taken relative to {image_root or table.parent}; --image-root names another folder"
        )
    if not found.images:
        raise DatasetError(f"{table} has no row with a label and an image")


def _check_repeats(found: Found, table: Path) -> None:
    """Leave out a second row of an image. Raises DatasetError if it says something else."""
    first: dict[str, SourceImage] = {}
    for image in found.images:
        earlier = first.setdefault(image.name, image)
        if earlier is not image:
            found.left_out.add("that the table names again", [image.name])
            for what in ("label", "bucket", "split"):
                one, other = getattr(earlier, what), getattr(image, what)
                if one != other:
                    raise DatasetError(
                        f"{table}: {image.name} has the {what} {one!r} in one row and {other!r} in another"
                    )
    found.images = list(first.values())


def _scalar(table: Table, number: int, row: Row, role: str) -> Any:
    """The cell of a role. Raises DatasetError for a list or an object: of several labels none is the image's class."""
    value = table.cell(row, role)
    if isinstance(value, list | dict):
        raise DatasetError(f"{table.file}, row {number}: expected one {role}, found {shortened(repr(value))}")
    return value


def _split(table: Table, number: int, value: Any) -> str | None:
    if value is None:
        return None
    if str(value).lower() not in SPLITS:
        raise DatasetError(f"{table.file}, row {number}: the split {value!r} is none of {', '.join(SPLITS)}")
    return SPLITS[str(value).lower()]


def _text(value: Any) -> str | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None else str(value).strip() or None


def _name(root: Path, file: Path) -> str:
    """The path of `file` as in messages: relative to `root` if it is in it."""
    normal = os.path.normpath(file)
    relative = os.path.relpath(normal, root)
    return normal if relative.startswith("..") else Path(relative).as_posix()
