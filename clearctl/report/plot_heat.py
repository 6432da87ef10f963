"""Heatmaps: a group's accuracy matrix, those of several groups in a grid, and the difference of two.

The colours run evenly in lightness, so that they stay in order for the colour-blind and in grey; those of a difference
have signs in the cells.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from clearctl.metrics import Matrix
from clearctl.report.colours import Rgb, Scale, text_colour
from clearctl.report.fonts import BASE
from clearctl.report.groups import Group
from clearctl.report.plot_style import WIDTHS_IN, cut, name_ticks, plain, ticks_of, wrapped
from clearctl.report.tables import Cell, matrix_cells

_CELL_IN = 0.55  # of a matrix that is narrower than there is room
_LEAST_PT = 5.0  # of a letter that can be read
_LETTER = 0.6  # width of a digit, in its size


def matrix_figure(group: Group, scale: Scale, width: str = "page") -> Figure:
    """The mean accuracy matrix, each cell with its mean and standard deviation in percent if they can be read."""
    title = f"{group.label}, {group.what}"
    return heat_figure(group.mean, matrix_cells(group), group.bucket_names, title, scale, width)


def heat_figure(
    matrix: Matrix,
    cells: Sequence[Sequence[Cell]],
    bucket_names: Sequence[str],
    title: str,
    scale: Scale,
    width: str = "page",
) -> Figure:
    """An accuracy matrix [rows, N] with its `cells` written in it."""
    rows, columns = matrix.shape
    figure, axes, cell_in = _figure_of_one(rows, columns, width)
    image = axes.imshow(100 * matrix, cmap="Blues", vmin=100 * scale.low, vmax=100 * scale.high)
    _colour_bar(figure, image, axes, "accuracy (%)")
    _name(axes, bucket_names, rows, title, figure)
    _write_cells(axes, image, cells, 72 * cell_in)
    return figure


def difference_figure(first: Group, second: Group, width: str = "page") -> Figure:
    """The accuracies of `first` minus those of `second` in points, paired by seed if both have the same ones."""
    mean, std, pairs = paired_difference(first, second)
    rows, columns = mean.shape
    figure, axes, cell_in = _figure_of_one(rows, columns, width)
    most = 100 * float(np.abs(mean).max(initial=0.0)) or 1.0
    image = axes.imshow(100 * mean, cmap="PuOr_r", vmin=-most, vmax=most)
    _colour_bar(figure, image, axes, "difference (points)")
    over = f"mean of {pairs} pairs of seeds" if pairs > 1 else "one pair of seeds" if pairs else "of the means"
    _name(axes, first.bucket_names, rows, f"{cut(first.label)} − {cut(second.label)}, {over}", figure)
    stds = np.full_like(mean, np.nan) if std is None else std
    cells = [
        [
            Cell(f"{100 * value:+.1f}".replace("-", "−"), "" if np.isnan(other) else f"{100 * other:.1f}")
            for value, other in zip(*both, strict=True)
        ]
        for both in zip(mean.tolist(), stds.tolist(), strict=True)
    ]
    _write_cells(axes, image, cells, 72 * cell_in, signs=True)
    return figure


def paired_difference(first: Group, second: Group) -> tuple[Matrix, Matrix | None, int]:
    """(mean, sample standard deviation, pairs) of `first` minus `second` [rows, N], over the runs of equal seeds.

    Without such the mean is the difference of the means, of 0 pairs. Of groups that have come differently far it is as
    far as both have.
    """
    rows = min(len(first.mean), len(second.mean))
    others = {run.identity: run.matrix for run in second.counted if not run.foreign}
    pairs = [
        run.matrix[:rows] - others[run.identity][:rows]
        for run in first.counted
        if not run.foreign and run.identity in others
    ]
    if not pairs:
        return first.mean[:rows] - second.mean[:rows], None, 0
    return np.mean(pairs, axis=0), np.std(pairs, axis=0, ddof=1) if len(pairs) > 1 else None, len(pairs)


def matrices_figure(groups: Sequence[Group], scale: Scale, width: str = "page") -> Figure:
    """The mean accuracy matrices of several groups in a grid, with one scale of colours."""
    beside = min(len(groups), 2 if width == "column" else 4)
    down = -(-len(groups) // beside)
    panel_in = (WIDTHS_IN[width] - 0.8) / beside
    figure = Figure(figsize=(WIDTHS_IN[width], down * (0.88 * panel_in + 0.3) + 0.3), layout="compressed")
    panels = list(figure.subplots(down, beside, squeeze=False).flat)
    cells = [matrix_cells(group) for group in groups]
    widest = max(map(_widest, cells))
    for panel, group, its_cells in zip(panels, groups, cells, strict=False):
        rows, columns = group.mean.shape
        image = panel.imshow(100 * group.mean, cmap="Blues", vmin=100 * scale.low, vmax=100 * scale.high)
        _bare(panel)
        panel.set_title(wrapped(cut(group.label), 72 * panel_in))
        most = ticks_of(figure, group.bucket_names, beside)
        name_ticks(panel.xaxis, group.bucket_names, most)
        name_ticks(panel.yaxis, group.bucket_names[:rows], most)
        _write_cells(panel, image, its_cells, 72 * (panel_in - 0.3) / columns, std=False, widest=widest)
    for panel in panels[len(groups) :]:
        panel.remove()
    figure.supxlabel("tested on bucket", fontsize="medium")
    figure.supylabel("trained to bucket", fontsize="medium")
    _colour_bar(figure, image, figure.axes, "accuracy (%)")
    return figure


def classes_heatmap(
    names: Sequence[str], of_groups: Sequence[tuple[str, Matrix]], buckets: Sequence[str], width: str
) -> Figure:
    """Accuracy of many classes (rows) after each bucket (columns), a panel for each group."""
    tall = min(9.0, 0.11 * len(names) + 0.9)
    figure = Figure(figsize=(WIDTHS_IN[width], tall), layout="constrained")
    panels = figure.subplots(1, len(of_groups), squeeze=False, sharey=True).flat
    for panel, (label, matrix) in zip(panels, of_groups, strict=True):
        image = panel.imshow(100 * matrix, cmap="Blues", vmin=0, vmax=100, aspect="auto", interpolation="nearest")
        _bare(panel)
        panel.set_title(wrapped(cut(label), 72 * WIDTHS_IN[width] / (len(of_groups) + 1)))
        name_ticks(panel.xaxis, buckets[: matrix.shape[1]], ticks_of(figure, buckets, len(of_groups) + 1))
    step = -(-len(names) // int((tall - 0.7) / 0.09))
    figure.axes[0].set_yticks(range(0, len(names), step), [plain(cut(name)) for name in names[::step]], fontsize=5.5)
    figure.supxlabel("trained to bucket", fontsize="medium")
    _colour_bar(figure, image, figure.axes, "accuracy of the class (%)")
    return figure


def _figure_of_one(rows: int, columns: int, width: str) -> tuple[Figure, Axes, float]:
    """A figure for one matrix, its axes, and the width of a cell in inches."""
    cell_in = min(_CELL_IN, (WIDTHS_IN[width] - 1.25) / columns)
    figure = Figure(
        figsize=(min(WIDTHS_IN[width], cell_in * columns + 1.5), cell_in * rows + 0.85), layout="compressed"
    )
    return figure, figure.add_subplot(), cell_in


def _colour_bar(figure: Figure, image: AxesImage, axes: Any, label: str) -> None:
    bar = figure.colorbar(image, ax=axes, label=label, fraction=0.05, aspect=25)
    bar.outline.set_visible(False)


def _name(axes: Axes, names: Sequence[str], rows: int, title: str, figure: Figure) -> None:
    _bare(axes)
    axes.set(title=wrapped(title, 72 * figure.get_figwidth()), xlabel="tested on bucket", ylabel="trained to bucket")
    most = ticks_of(figure, names)
    name_ticks(axes.xaxis, names, most)
    name_ticks(axes.yaxis, names[:rows], most)


def _bare(axes: Axes) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _write_cells(
    axes: Axes,
    image: AxesImage,
    cells: Sequence[Sequence[Cell]],
    cell_pt: float,
    *,
    std: bool = True,
    signs: bool = False,
    widest: int | None = None,
) -> None:
    """The mean in each cell, on the diagonal in bold, and below it the deviation; what cannot be read is left out.

    `widest` is the length of the longest mean that the size of the letters is for; by default that of these `cells`.

    Of `signs` a minus is left of a number that cannot be read.
    """
    widest = _widest(cells) if widest is None else widest
    size = min(8.0, 0.92 * cell_pt / (_LETTER * widest))
    whole = size < _LEAST_PT  # a percent without its decimal is narrower
    if whole:
        size = min(8.0, 0.8 * cell_pt / (_LETTER * max(2, widest - 2)))
    if size < _LEAST_PT and not signs:
        return
    has_std = std and not whole and 0.75 * size >= _LEAST_PT - 0.5 and cell_pt >= 2.1 * size
    values = np.asarray(image.get_array())
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            colour = text_colour(_rgb(image.to_rgba(values[i, j])))
            place: dict[str, Any] = dict(
                textcoords="offset points", ha="center", va="center", color=colour, family=BASE
            )
            text = (
                f"{float(cell.mean.replace('−', '-')):{'+' if signs else ''}.0f}".replace("-", "−")
                if whole
                else cell.mean
            )
            if size < _LEAST_PT:
                text = "−" if values[i, j] < 0 else ""
            weight = "bold" if i == j and not signs else "normal"
            shown = cell.std and has_std
            axes.annotate(text, (j, i), (0, 0.4 * size if shown else 0), weight=weight, size=max(size, 4.0), **place)
            if shown:
                axes.annotate(f"±{cell.std}", (j, i), (0, -0.75 * size), size=0.75 * size, **place)


def _widest(cells: Sequence[Sequence[Cell]]) -> int:
    return max(len(cell.mean) for row in cells for cell in row)


def _rgb(colour: Any) -> Rgb:
    red, green, blue, _ = (round(255 * float(part)) for part in colour)
    return red, green, blue
