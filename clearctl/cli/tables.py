"""Results on a terminal: the accuracy matrix as a coloured grid, numbers and checks as tables."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from clearctl.cli.lines import Label
from clearctl.dataset.checks.findings import Check
from clearctl.metrics import NUMBERS as METRICS
from clearctl.metrics import Number, by_owner
from clearctl.report.groups import Group, shown
from clearctl.report.numbers import ADDED, NUMBERS, Numbers
from clearctl.report.remarks import DAGGER
from clearctl.report.tables import (
    IN_BOLD,
    MOST_COLUMNS,
    Cell,
    Extra,
    heading,
    in_order,
    in_units,
    is_marked,
    matrix_cells,
    setting,
    setting_keys,
    summary,
)
from clearctl.units import percent
from clearctl.wording import counted

if TYPE_CHECKING:
    from clearctl.dataset.importing.plan import ImportedBucket
    from clearctl.engine.predict.records import Answer

BEST = "*"
_MOST_NUMBERS = 7  # beside each other
_PLAIN: dict[str, Any] = {"box": None, "title_justify": "left"}

# With more classes or buckets than these, the table of images has a line for each bucket.
MOST_CLASSES, MOST_BUCKETS = 29, 12


def matrix_table(
    rows: Sequence[Sequence[float]], row_names: Sequence[str], bucket_names: Sequence[str], width: int
) -> Table:
    """Accuracy in percent: a row for each trained model, a column for each tested bucket.

    In whole percent where it would be wider than `width` with a decimal.
    """
    cells = [[Cell(percent(value), "") for value in row] for row in rows]
    return _matrix_table("\naccuracy (%) on each bucket", rows, cells, row_names, bucket_names, width)


def numbers_tables(numbers: dict[str, float], on_training_images: frozenset[str] = frozenset()) -> list[Table]:
    """The summary numbers of a run: a table for each of those who defined them."""
    return [
        numbers_table(f"{of}'s metrics" if of else "other metrics", found, on_training_images)
        for of, found in by_owner(numbers).items()
    ]


def numbers_table(title: str, numbers: dict[str, float], on_training_images: frozenset[str] = frozenset()) -> Table:
    """Summary numbers with what each one is; those on training images are marked, and come last."""
    title = f"{title} (%{in_units({name: METRICS[name] for name in numbers})})"
    table = Table(title=_title(title), **_PLAIN, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", style="bold", no_wrap=True)
    table.add_column(style="dim")
    for name in sorted(numbers, key=lambda name: name in on_training_images):
        marked = "; on training images" if name in on_training_images else ""
        table.add_row(name, shown(name, numbers[name]), f"{METRICS[name].explanation}{marked}")
    return table


def spread_table(group: Group, width: int) -> Table:
    """The mean accuracy matrix of a group in percent, and the standard deviation below each number.

    In whole percent where it would be wider than `width` with a decimal.
    """
    names = group.bucket_names
    what = group.what.replace("mean of", "mean ± std of")
    if group.on_training_images:
        trained = "all of it" if "next_domain" in group.on_training_images else "the diagonal and below"
        what = f"{what}; {trained} on training images"
    title = _title(f"{group.label}: accuracy (%), {what}")
    return _matrix_table(title, group.mean.tolist(), matrix_cells(group), names, names, width)


def _matrix_table(
    title: str | Text,
    means: Sequence[Sequence[float]],
    cells: Sequence[Sequence[Cell]],
    row_names: Sequence[str],
    bucket_names: Sequence[str],
    width: int,
) -> Table:
    """`cells` [rows, N] of the `means`, with a decimal where `width` has room for it."""
    longest = max((len(text) for row in cells for cell in row for text in (cell.mean, f"±{cell.std}")), default=4)
    beside = max(len("trained to "), *(len(name) + 1 for name in row_names), 0)
    fitting = (room for room in (longest, 4) if beside + (room + 1) * len(bucket_names) <= width)
    room = next(fitting, 3)
    table = Table(title=title, **_PLAIN, padding=(0, 0))
    table.add_column("trained to ", justify="right", style="bold", no_wrap=True, min_width=11)
    for name in bucket_names:
        table.add_column(f"{name:>{room}} ", justify="right", no_wrap=True, min_width=room + 1)
    for number, (values, row) in enumerate(zip(means, cells, strict=True)):
        shown = [
            _spread_cell(value, cell, diagonal=number == column, room=room)
            for column, (value, cell) in enumerate(zip(values, row, strict=True))
        ]
        table.add_row(f"{row_names[number]} ", *shown)
    return table


def side_by_side(numbers: Numbers, *, chosen: bool = False) -> list[Numbers]:
    """The columns in tables that fit 80 letters: those of every report, those that were added, and what was measured.

    Those that were `chosen` are in their own order, in as many tables as they need.
    """
    if chosen:
        names = list(numbers)
        parts = (names[start : start + _MOST_NUMBERS] for start in range(0, len(names), _MOST_NUMBERS))
        return [{name: numbers[name] for name in part} for part in parts]
    kinds: dict[tuple[bool, bool], dict[str, Number]] = {}
    for name, number in numbers.items():
        kinds.setdefault((number.measured is not None, number.added), {})[name] = number
    return [kinds[kind] for kind in sorted(kinds)]


def summary_table(groups: Sequence[Group], numbers: Numbers | None = None, *, bold: bool = True) -> Table:
    """A row for each group: the runs that count, and each number in percent with its standard deviation below it.

    The best numbers have an asterisk where it is printed without `bold`, as into a file.
    """
    best = f"; {IN_BOLD if bold else IN_BOLD.replace('bold', BEST)}" if len(groups) > 1 else ""
    numbers = in_order(groups, NUMBERS) if numbers is None else numbers
    title = "added" if numbers.keys() <= ADDED.keys() else heading(groups)
    if all(number.measured is not None for number in numbers.values()):
        title = f"also measured, in percent{in_units(numbers)}"
    table = Table(title=_title(f"{title}{best}"), **_PLAIN, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("\ngroup", overflow="fold", min_width=12)
    table.add_column("\nn", justify="right", no_wrap=True)
    for name in numbers:
        table.add_column(_marked(groups, name), justify="right", no_wrap=True)
    for group, cells in zip(groups, summary(groups, numbers), strict=True):
        texts = [
            Text.assemble(
                (cell.mean + cell.mark + ("" if bold or not cell.best else BEST), "bold green" if cell.best else ""),
                (f"\n±{cell.std}" if cell.std else "", "dim"),
            )
            for cell in cells
        ]
        table.add_row(Label(group.label), str(len(group.counted)), *texts)
    return table


def extra_table(extra: Extra, groups: Sequence[Group], numbers: Numbers) -> Table:
    """A further table with the summary's columns; deviations and bounds are on lines of their own."""
    table = Table(title=_title(extra.title), **_PLAIN, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("\ngroup", overflow="fold", min_width=12)
    table.add_column("\nn", justify="right", no_wrap=True)
    for name in numbers:
        table.add_column(_marked(groups, name), justify="right", no_wrap=True)
    for label, n, cells in extra.rows:
        parts = (cell.strip("[]").replace(" ± ", "\n±").replace(", ", "\n") for cell in cells)
        table.add_row(Label(label), str(n), *map(Text, parts))
    return table


def _title(text: str) -> Text:
    filled = textwrap.fill(text.replace(" %", "\xa0%"), 80)  # no line begins with a percent sign
    return Text("\n" + filled.replace("\xa0", " "))


def _marked(groups: Sequence[Group], number: str) -> str:
    return f"{METRICS[number].short}{DAGGER if is_marked(groups, number) else ''}"


def settings_table(groups: Sequence[Group]) -> Table:
    """The settings in which the groups differ: beside each other if they are few, else a line for each."""
    keys = setting_keys(groups)
    table = Table(title="\nsettings in which the groups differ", **_PLAIN, padding=(0, 2, 0, 0), header_style="dim")
    if len(keys) <= MOST_COLUMNS:
        for heading in ("group", *(key[::-1].replace(".", "\n.", 1)[::-1] for key in keys)):
            table.add_column(heading, overflow="fold", vertical="bottom")
        for group in groups:
            table.add_row(Label(group.label), *(Text(setting(group, key)) for key in keys))
    else:
        for heading in ("group", "setting", "value"):
            table.add_column(heading, overflow="fold")
        for group in groups:
            for number, key in enumerate(group.settings):
                table.add_row(Label("" if number else group.label), Label(key, after="."), Text(setting(group, key)))
    return table


def checks_table(checks: Sequence[Check]) -> Table:
    """A line for each check: how much it checked, its result, and its notes."""
    table = Table(box=None, padding=(0, 2, 0, 0), title_justify="left", header_style="dim")
    table.add_column("check", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("looked at")
    table.add_column("result", no_wrap=True)
    table.add_column("notes", justify="right", no_wrap=True)
    for check in checks:
        faults = Text(counted(check.faults, "fault"), style="bold red")
        result = faults if check.faults else Text("ok" if check.looked_at else "-", style="green")
        table.add_row(check.name, f"{check.looked_at:,}", check.unit, result, f"{check.notes:,}" if check.notes else "")
    return table


def counts_table(images: Mapping[str, Mapping[str, int]]) -> Table:
    """The number of images by class and bucket; if that is too large, by bucket with the range over the classes."""
    table = Table(title="\nimages", box=None, padding=(0, 2, 0, 0), title_justify="left", header_style="dim")
    class_names = list(next(iter(images.values())))
    if len(class_names) > MOST_CLASSES or len(images) > MOST_BUCKETS:
        for heading in ("bucket", "images", "fewest of a class", "most of a class"):
            table.add_column(heading, justify="right", no_wrap=True)
        for bucket, counts in images.items():
            numbers = counts.values()
            table.add_row(bucket, f"{sum(numbers):,}", f"{min(numbers):,}", f"{max(numbers):,}")
        return table
    table.add_column("class")
    for bucket in images:
        table.add_column(bucket, justify="right", no_wrap=True)
    for name in class_names:
        table.add_row(name, *(str(counts[name] or "-") for counts in images.values()))
    table.add_row("all", *(str(sum(counts.values())) for counts in images.values()), style="bold")
    return table


def imported_table(buckets: Sequence["ImportedBucket"], images: Mapping[str, Mapping[str, int]]) -> Table:
    """A line for each new bucket: what it is called in the source, the dates of its images, and their number."""
    table = Table(title="\nbuckets", box=None, padding=(0, 2, 0, 0), title_justify="left", header_style="dim")
    table.add_column("bucket", justify="right", no_wrap=True)
    table.add_column("name", overflow="fold")
    for name in ("first", "last"):
        table.add_column(name, no_wrap=True)
    table.add_column("images", justify="right", no_wrap=True)
    for bucket in buckets:
        dates = [f"{date:%Y-%m-%d}" if date else "-" for date in (bucket.first, bucket.last)]
        table.add_row(bucket.number, Text(bucket.name), *dates, f"{sum(images[bucket.number].values()):,}")
    return table


def predictions_table(answers: Iterable["Answer"], value: str, several: bool, folder: Path) -> Table:
    """The answers for each image: a line for each rank, or, of `several` models, for each bucket.

    `value` is what the numbers are. An image is named in its first line alone, as it is below `folder`.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("image", overflow="fold")
    if several:
        table.add_column("trained to", justify="right", no_wrap=True)
    table.add_column("label", overflow="fold")
    is_probability = value == "probability"
    table.add_column("probability (%)" if is_probability else value, justify="right", no_wrap=True)
    named = None
    for each in answers:
        image = each.image.relative_to(folder) if folder.parts else each.image
        name = "" if each.image == named else str(image)
        named = each.image
        number = percent(each.value) if is_probability else f"{each.value:.4g}"
        table.add_row(Text(name), *([each.bucket] if several else []), Text(each.label), number)
    return table


def _spread_cell(value: float, cell: Cell, diagonal: bool, room: int) -> Text:
    """The mean, coloured, and below it the standard deviation, each in `room` letters."""
    mean = _coloured(f"{_fitting(cell.mean, room):>{room}} ", value, diagonal)
    if cell.std:
        mean.append("\n").append(_coloured(f"{'±' + _fitting(cell.std, room - 1):>{room}} ", value, diagonal=False))
    return mean


def _fitting(number: str, room: int) -> str:
    """`number`, without its decimal if there is no room for it."""
    return number if len(number) <= room else f"{float(number):.0f}"


def _coloured(text: str, value: float, diagonal: bool) -> Text:
    """Red through yellow to green in the background; the diagonal in bold and underlined."""
    red, green = (1.0, 2 * value) if value < 0.5 else (2 * (1 - value), 1.0)
    cell = Text(text, style=f"rgb(0,0,0) on rgb({int(60 + 150 * red)},{int(60 + 150 * green)},70)")
    if diagonal:
        cell.stylize("bold underline", len(cell) - len(cell.plain.lstrip()), len(cell) - 1)
    return cell
