"""An accuracy matrix for a notebook: a coloured table with inline styles, and the summary numbers."""

from collections.abc import Mapping, Sequence, Set
from html import escape

from clearctl.metrics import NUMBERS, Matrix
from clearctl.report.colours import heat, scale_of
from clearctl.report.groups import shown
from clearctl.report.remarks import DAGGER
from clearctl.report.tables import in_units
from clearctl.units import percent

_LEFT = "text-align:left"


def matrix_html(
    matrix: Matrix,
    row_names: Sequence[str],
    bucket_names: Sequence[str],
    numbers: Mapping[str, float] | None = None,
    on_training_images: Set[str] = frozenset(),
) -> str:
    """R [rows, N] in percent, a row for each trained model, a column for each tested bucket, and `numbers` below it.

    The `numbers` in `on_training_images` are marked.
    """
    scale = scale_of([matrix])
    lines = [f"<table><caption style='{_LEFT}'>accuracy (%) on each bucket</caption><tr><th>trained to</th>"]
    lines += [f"<th>{escape(name)}</th>" for name in bucket_names]
    lines.append("</tr>")
    for number, (name, row) in enumerate(zip(row_names, matrix.tolist(), strict=False)):
        cells = [_cell(value, *heat(scale.step(value)), number == column) for column, value in enumerate(row)]
        lines.append(f"<tr><th>{escape(name)}</th>{''.join(cells)}</tr>")
    lines.append("</table>")
    if numbers:
        lines.append(_numbers_html(numbers, on_training_images))
    return "".join(lines)


def _cell(value: float, background: str, text: str, diagonal: bool) -> str:
    weight = ";font-weight:bold" if diagonal else ""
    return f"<td style='background:{background};color:{text}{weight}'>{percent(value)}</td>"


def _numbers_html(numbers: Mapping[str, float], on_training_images: Set[str]) -> str:
    rows = []
    for name, value in numbers.items():
        number = NUMBERS[name]
        mark = DAGGER if name in on_training_images else ""
        what = f"<td style='{_LEFT}'>{escape(number.explanation)}</td>"
        rows.append(
            f"<tr><td style='{_LEFT}'>{escape(number.title)}{mark}</td><td>{shown(name, value)}</td>{what}</tr>"
        )
    below = f"<p>{DAGGER} on training images</p>" if on_training_images & numbers.keys() else ""
    units = f"%{in_units({name: NUMBERS[name] for name in numbers})}"
    caption = f"<caption style='{_LEFT}'>summary numbers ({units})</caption>"
    return f"<table>{caption}{''.join(rows)}</table>{below}"
