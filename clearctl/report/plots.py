"""The figures of a report as PNG and PDF: each group's matrix and accuracy over time, the groups' numbers side by side.

The colours run evenly in lightness (viridis and Blues), so that they stay in order for the colour-blind and in grey.
"""

import math
import re
import textwrap
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from clearctl import atomic
from clearctl.metrics import Matrix
from clearctl.progress import Counted, Listener, ignore
from clearctl.report.colours import Rgb, Scale, scale_of, text_colour
from clearctl.report.groups import Group
from clearctl.report.numbers import NUMBERS, Numbers
from clearctl.report.tables import Cell, matrix_cells, measured_by

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
}
_DPI = 200
_MOST_LETTERS = 60  # of a file name, and of a label in a figure
_MOST_TICKS = 20
_MOST_IN_CELLS = 24  # buckets; the numbers of more would be too small to read
_POINT = "#0072b2"


def write_plots(
    groups: Sequence[Group], folder: Path, listener: Listener = ignore, numbers: Numbers = NUMBERS
) -> list[Path]:
    """Draw everything into `folder` and return the names of the figures, without suffix. Raises OSError."""
    jobs: list[tuple[str, Callable[[], Figure]]] = [("metrics", partial(numbers_figure, groups, numbers))]
    scale = scale_of([group.mean for group in groups])
    for name, group in zip(file_names([group.label for group in groups]), groups, strict=True):
        jobs.append((f"matrix-{name}", partial(matrix_figure, group, scale)))
        jobs.append((f"accuracy-{name}", partial(accuracy_figure, group)))
    for done, (name, draw) in enumerate(jobs, 1):
        with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # of a label that the font lacks
            _save(draw(), folder / name)
        listener(Counted("plots", done, len(jobs), "figures"))
    return [folder / name for name, _ in jobs]


def file_names(labels: Sequence[str]) -> list[str]:
    """A name for each label that every file system takes; no two are equal, even where case is ignored."""
    names: list[str] = []
    for label in labels:
        stem = re.sub(r"[^A-Za-z0-9.=+-]+", "_", _cut(label)).strip("._-") or "group"
        taken = {name.lower() for name in names}
        endings = ("", *(f"-{number}" for number in range(2, len(labels) + 2)))
        names.append(next(stem + ending for ending in endings if (stem + ending).lower() not in taken))
    return names


def matrix_figure(group: Group, scale: Scale) -> Figure:
    """The mean accuracy matrix as a heatmap, each cell with its mean and standard deviation in percent."""
    rows, columns = group.mean.shape
    cell = 0.55 if columns <= _MOST_IN_CELLS else 8 / columns
    figure = Figure(figsize=(cell * columns + 2.2, cell * rows + 1.2), layout="compressed")
    axes = figure.add_subplot()
    image = axes.imshow(100 * group.mean, cmap="Blues", vmin=100 * scale.low, vmax=100 * scale.high)
    figure.colorbar(image, ax=axes, label="accuracy (%)")
    axes.spines[:].set_visible(False)
    axes.set(title=_title(group, figure), xlabel="tested on bucket", ylabel="trained to bucket")
    _name_ticks(axes.xaxis, group.bucket_names)
    _name_ticks(axes.yaxis, group.bucket_names[:rows])
    if columns <= _MOST_IN_CELLS:
        for i, cells in enumerate(matrix_cells(group)):
            for j, found in enumerate(cells):
                _write_in_cell(axes, i, j, found, text_colour(_rgb(image.to_rgba(100 * group.mean[i, j]))))
    return figure


def accuracy_figure(group: Group) -> Figure:
    """Accuracy over time: on each bucket as training goes on, and of each model over the buckets it is tested on.

    A dot is where a model is tested on the bucket that it was trained on last; a band is one standard deviation.
    """
    rows, columns = group.mean.shape
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, columns))
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    over_time, over_buckets = figure.subplots(1, 2, sharey=True)
    std = np.zeros_like(group.mean) if group.std is None else group.std
    for bucket in range(columns):
        _line(over_time, group.mean[:, bucket], std[:, bucket], colours[bucket], bucket if bucket < rows else None)
    for trained in range(rows):
        _line(over_buckets, group.mean[trained], std[trained], colours[trained], trained)
    over_time.set(title="on each bucket, as training goes on", xlabel="trained to bucket", ylabel="accuracy (%)")
    over_buckets.set(title="of each model, over the test buckets", xlabel="tested on bucket")
    _name_ticks(over_time.xaxis, group.bucket_names[:rows])
    _name_ticks(over_buckets.xaxis, group.bucket_names)
    figure.suptitle(_title(group, figure), fontsize=10)
    steps = BoundaryNorm(np.arange(columns + 1) - 0.5, columns)
    bar = figure.colorbar(ScalarMappable(steps, ListedColormap(colours)), ax=[over_time, over_buckets], pad=0.02)
    bar.set_label("bucket tested on (left), trained to (right)")
    _name_ticks(bar.ax.yaxis, group.bucket_names)
    bar.ax.minorticks_off()
    return figure


def numbers_figure(groups: Sequence[Group], numbers: Numbers = NUMBERS) -> Figure:
    """Every summary number of every group beside each other, with error bars of one standard deviation."""
    columns = 4
    numbers = measured_by(groups, numbers)
    rows = -(-len(numbers) // columns)
    labels = [_plain(_cut(group.label)) for group in groups]
    width = 8.5 + 0.07 * min(max(map(len, labels)), _MOST_LETTERS)
    figure = Figure(figsize=(width, rows * (1.1 + 0.24 * len(groups))), layout="constrained")
    places = np.arange(len(groups))
    places_of_axes = figure.subplots(rows, columns, sharey=True).flat
    for axes in places_of_axes[len(numbers) :]:
        axes.remove()
    for axes, (name, number) in zip(places_of_axes, numbers.items(), strict=False):
        scale = 100 if number.unit == "fraction" else 1
        found = [group.numbers.get(name) for group in groups]
        means = [math.nan if one is None else scale * one.mean for one in found]
        stds = [math.nan if one is None or one.std is None else scale * one.std for one in found]
        axes.errorbar(means, places, xerr=stds, fmt="o", markersize=4, capsize=3, color=_POINT)
        unit = {"fraction": " (%)", "nats": " (nats)"}.get(number.unit, "")  # seconds are in the title
        axes.set(title=f"{number.title}{unit}", ylim=(len(groups) - 0.5, -0.5))
        axes.set_yticks(places, labels)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", alpha=0.3)
        axes.locator_params(axis="x", nbins=4)
    return figure


def _save(figure: Figure, path: Path) -> None:
    """As PNG and as PDF, which has no date in it, so that the same report gives the same file."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # it is laid out now, and need not be for each file
    for suffix, metadata in (("png", None), ("pdf", {"CreationDate": None})):
        save = partial(figure.savefig, format=suffix, dpi=_DPI, metadata=metadata)
        atomic.write_with(path.with_name(f"{path.name}.{suffix}"), save)


def _line(axes: Axes, means: Matrix, stds: Matrix, colour: Any, dot: int | None) -> None:
    """A line of accuracies [K], its band, and a dot at one place."""
    places = np.arange(len(means))
    axes.plot(places, 100 * means, color=colour, linewidth=1.4)
    axes.fill_between(places, 100 * (means - stds), 100 * (means + stds), color=colour, alpha=0.15, linewidth=0)
    if dot is not None:
        axes.plot(dot, 100 * means[dot], "o", color=colour, markersize=4)


def _rgb(colour: Any) -> Rgb:
    red, green, blue, _ = (round(255 * float(part)) for part in colour)
    return red, green, blue


def _write_in_cell(axes: Axes, i: int, j: int, found: Cell, colour: str) -> None:
    """The mean, on the diagonal in bold, and below it the standard deviation."""
    place: dict[str, Any] = dict(textcoords="offset points", ha="center", va="center", color=colour)
    weight = "bold" if i == j else "normal"
    axes.annotate(found.mean, (j, i), (0, 3 if found.std else 0), weight=weight, size=8, **place)
    if found.std:
        axes.annotate(f"±{found.std}", (j, i), (0, -7), size=6, **place)


def _name_ticks(axis: Axis, names: Sequence[str]) -> None:
    """A tick for each bucket, or for every second, third … where there are too many."""
    step = -(-len(names) // _MOST_TICKS)
    axis.set_ticks(list(range(0, len(names), step)), list(names[::step]))


def _title(group: Group, figure: Figure) -> str:
    text = f"{group.label}, {group.what}"
    letters = int(12 * figure.get_figwidth())
    return "\n".join(textwrap.wrap(_plain(text), letters))


def _cut(label: str) -> str:
    """A long label without its middle: what distinguishes it from others is at its end."""
    half = _MOST_LETTERS // 2
    return label if len(label) <= _MOST_LETTERS else f"{label[: half - 3]}...{label[-half:]}"


def _plain(text: str) -> str:
    """A dollar sign would begin a formula."""
    return text.replace("$", r"\$")
