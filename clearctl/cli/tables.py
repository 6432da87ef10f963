"""Results as a terminal shows them: the accuracy matrix as a coloured grid, numbers and checks as tables."""

import math
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from clearctl.dataset.checks.findings import Check

# More classes or buckets than these make too large a table of images: it then has a line for each bucket.
MOST_CLASSES, MOST_BUCKETS = 29, 12

EXPLANATIONS = {
    "in_domain": "mean of the diagonal",
    "next_domain": "mean just right of the diagonal: the next bucket",
    "accuracy": "mean of the diagonal and below",
    "backward_transfer": "mean below the diagonal: buckets seen before",
    "forward_transfer": "mean above the diagonal: buckets not seen yet",
    "gem_bwt": "GEM: how much the last model lost or gained on earlier buckets",
    "gem_fwt": "GEM: next bucket before training on it, over the untrained model",
}


def matrix_table(rows: Sequence[Sequence[float]], row_names: Sequence[str], bucket_names: Sequence[str]) -> Table:
    """Accuracy in percent: a row for each trained model, a column for each tested bucket."""
    table = Table(title="\naccuracy (%) on each bucket", box=None, padding=(0, 0), title_justify="left")
    table.add_column("trained to ", justify="right", style="bold", no_wrap=True)
    for name in bucket_names:
        table.add_column(f"{name:>4} ", justify="right", no_wrap=True)
    for number, row in enumerate(rows):
        cells = [_cell(value, diagonal=number == column) for column, value in enumerate(row)]
        table.add_row(f"{row_names[number]} ", *cells)
    return table


def numbers_table(title: str, numbers: dict[str, float]) -> Table:
    """Summary numbers with what each one is."""
    table = Table(title=f"\n{title}", box=None, padding=(0, 2, 0, 0), title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", style="bold", no_wrap=True)
    table.add_column(style="dim")
    for name, value in numbers.items():
        table.add_row(name, "-" if math.isnan(value) else f"{value:.4f}", EXPLANATIONS.get(name, ""))
    return table


def checks_table(checks: Sequence[Check]) -> Table:
    """A line for each check: how much it looked at, whether that is as it should be, and its notes."""
    table = Table(box=None, padding=(0, 2, 0, 0), title_justify="left", header_style="dim")
    table.add_column("check", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("looked at")
    table.add_column("result", no_wrap=True)
    table.add_column("notes", justify="right", no_wrap=True)
    for check in checks:
        faults = Text(f"{check.faults:,} fault{'s' * (check.faults > 1)}", style="bold red")
        result = faults if check.faults else Text("ok" if check.looked_at else "-", style="green")
        table.add_row(check.name, f"{check.looked_at:,}", check.unit, result, f"{check.notes:,}" if check.notes else "")
    return table


def counts_table(images: Mapping[str, Mapping[str, int]]) -> Table:
    """The number of images by class and bucket; where that is too large, by bucket with the range over the classes."""
    table = Table(title="\nimages", box=None, padding=(0, 2, 0, 0), title_justify="left", header_style="dim")
    class_names = list(next(iter(images.values())))
    if len(class_names) > MOST_CLASSES or len(images) > MOST_BUCKETS:
        for heading in ("bucket", "images", "least of a class", "most of a class"):
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


def _cell(value: float, diagonal: bool) -> Text:
    """Red through yellow to green in the background; the diagonal in bold and underlined."""
    red, green = (1.0, 2 * value) if value < 0.5 else (2 * (1 - value), 1.0)
    cell = Text(f"{100 * value:4.0f} ", style=f"rgb(0,0,0) on rgb({int(60 + 150 * red)},{int(60 + 150 * green)},70)")
    if diagonal:
        cell.stylize("bold underline", len(cell) - len(cell.plain.lstrip()), len(cell) - 1)
    return cell
