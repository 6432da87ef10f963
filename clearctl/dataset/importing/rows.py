"""The images that a table names, or the tables of a Hugging Face imagefolder."""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from clearctl.dataset.importing.dates import DatePattern, DateTaken, read_cell
from clearctl.dataset.importing.folders import SPLITS
from clearctl.dataset.importing.images import Found, SourceImage
from clearctl.dataset.importing.table import METADATA, Table, read_table
from clearctl.errors import DatasetError
from clearctl.progress import Counted, Listener
from clearctl.wording import counted, few


def metadata_tables(root: Path) -> list[tuple[Path, str | None]]:
    """(table, split) of the metadata of a Hugging Face imagefolder: in `root`, or in its train/, test/ and so on."""
    folders: list[tuple[Path, str | None]] = [(root, None)]
    names = sorted(os.listdir(root))
    folders += [(root / name, SPLITS[name.lower()]) for name in names if name.lower() in SPLITS]
    return [(folder / name, split) for folder, split in folders for name in METADATA if (folder / name).is_file()]


def find_in_tables(
    root: Path,
    tables: list[tuple[Path, str | None]],
    columns: Mapping[str, str] | None,
    pattern: DatePattern | None,
    listener: Listener,
    image_root: Path | None = None,
) -> Found:
    """The images of `tables`, whose paths are relative to `image_root`, by default to the table's own folder.

    Names are relative to `root`. A row without a label gets the folder that its image is in. Raises DatasetError for
    columns, dates, splits and paths that are not as they should be, as `read_table` does.
    """
    found = Found([], "table")
    for file, split in tables:
        table = read_table(file, columns)
        _read_images(found, table, split, root, image_root or file.parent, pattern, listener)
    _check_missing(found, tables[0][0], image_root)
    _check_repeats(found, tables[0][0])
    return found


def _read_images(
    found: Found,
    table: Table,
    split: str | None,
    root: Path,
    folder: Path,
    pattern: DatePattern | None,
    listener: Listener,
) -> None:
    faulty_dates: list[str] = []
    for number, row in enumerate(table.rows, 1):
        path = table.cell(row, "path")
        if not isinstance(path, str):
            raise DatasetError(
                f"{table.file}, row {number}: expected a path in {table.columns['path']!r}, found {path!r}"
            )
        if "\\" in path and not os.path.isfile(folder / path):  # written on Windows
            path = path.replace("\\", "/")
        name = _name(root, folder / path)
        label = _text(table.cell(row, "label"))
        if "label" not in table.columns:
            label = PurePosixPath(path).parent.name or None
        listener(Counted("look for images", number, len(table.rows), "rows"))
        if label is None:
            found.left_out.add("without a label", [name])
            continue
        if not os.path.isfile(folder / path):
            found.left_out.add(MISSING, [name])
            continue
        date = None
        try:
            moment = read_cell(table.cell(row, "date"), pattern)
            date = DateTaken(moment, "table") if moment else None
        except (ValueError, OverflowError):
            faulty_dates.append(f"{table.cell(row, 'date')!r} of {name}")
        found.images.append(
            SourceImage(
                folder / path,
                name,
                label,
                _text(table.cell(row, "bucket")),
                _split(table, number, table.cell(row, "split")) or split,
                date,
                table.others(row),
            )
        )
    if faulty_dates:
        column = table.columns["date"]
        raise DatasetError(
            f"{table.file}: {counted(len(faulty_dates), 'cell')} of {column!r} cannot be read as dates: "
            f"{few(faulty_dates)}\nexpected such as 2004-05-31, 2004 or 2004-05-31 12:00:00; "
            "--date-pattern says how they are written, such as %d/%m/%Y"
        )


MISSING = "that is not there"


def _check_missing(found: Found, table: Path, image_root: Path | None) -> None:
    """Raise DatasetError where no image is there."""
    missing = found.left_out.files.get(MISSING, [])
    if missing and not found.images:
        raise DatasetError(
            f"{table}: none of its {counted(len(missing), 'image')} is there: {few(missing)}\n"
            f"paths are taken relative to {image_root or table.parent}; --image-root names another folder"
        )
    if not found.images:
        raise DatasetError(f"{table} has no row with a label and an image")


def _check_repeats(found: Found, table: Path) -> None:
    """Leave out a second row of an image. Raises DatasetError where it says something else."""
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
    """The path of `file` as messages have it: relative to `root` where it lies in it."""
    normal = os.path.normpath(file)
    relative = os.path.relpath(normal, root)
    return normal if relative.startswith("..") else Path(relative).as_posix()
