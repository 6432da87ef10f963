"""Line charts: a group's accuracy over time, and several groups side by side, each with a band of one deviation."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from clearctl.metrics import Matrix
from clearctl.report.curves import Curves, downsample
from clearctl.report.groups import Group
from clearctl.report.plot_heat import classes_heatmap
from clearctl.report.plot_style import (
    WIDTHS_IN,
    cut,
    legend_above,
    line_style,
    name_ticks,
    ticks_of,
    wrapped,
)
from clearctl.report.remarks import DAGGER
from clearctl.report.series import Kind, Series, bucket_names

MOST_PANELS = 16  # classes of more are a heatmap
_ON_TRAINING_IMAGES = f"{DAGGER} on training images"


def accuracy_figure(group: Group, width: str = "page") -> Figure:
    """Accuracy over time: on each bucket as training continues, and of each model over the buckets it is tested on.

    A dot is where a model is tested on the bucket that it was trained on last; a band is one standard deviation.
    """
    rows, columns = group.mean.shape
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, columns))
    beside = 1 if width == "column" else 2
    figure = Figure(figsize=(WIDTHS_IN[width], 2.7 * (3 - beside)), layout="constrained")
    over_time, over_buckets = figure.subplots(3 - beside, beside, sharey=True).flat
    std = np.zeros_like(group.mean) if group.std is None else group.std
    for bucket in range(columns):
        _bucket_line(
            over_time, group.mean[:, bucket], std[:, bucket], colours[bucket], bucket if bucket < rows else None
        )
    for trained in range(rows):
        _bucket_line(over_buckets, group.mean[trained], std[trained], colours[trained], trained)
    over_time.set(title="on each bucket, as training continues", xlabel="trained to bucket", ylabel="accuracy (%)")
    over_buckets.set(title="of each model, over the test buckets", xlabel="tested on bucket")
    if width == "column":
        over_buckets.set_ylabel("accuracy (%)")
    most = ticks_of(figure, group.bucket_names, beside)
    name_ticks(over_time.xaxis, group.bucket_names[:rows], most)
    name_ticks(over_buckets.xaxis, group.bucket_names, most)
    figure.suptitle(wrapped(f"{group.label}, {group.what}", 72 * WIDTHS_IN[width]))
    steps = BoundaryNorm(np.arange(columns + 1) - 0.5, columns)
    bar = figure.colorbar(
        ScalarMappable(steps, ListedColormap(colours)), ax=[over_time, over_buckets], pad=0.02, aspect=40
    )
    bar.set_label("bucket tested on (" + ("above" if beside == 1 else "left") + "), trained to")
    name_ticks(bar.ax.yaxis, group.bucket_names)
    bar.ax.minorticks_off()
    return figure


def kind_figure(kind: Kind, groups: Sequence[Group], width: str = "page") -> Figure:
    """A line for each group that has the kind's values, over the buckets."""
    drawn = [(group, series) for group in groups if (series := kind.series(group)) is not None]
    figure = Figure(figsize=(WIDTHS_IN[width], 2.2 if width == "column" else 2.7), layout="constrained")
    axes = figure.add_subplot()
    handles = []
    for index, (_, series) in enumerate(drawn):
        handles.append(_line(axes, np.arange(len(series.mean)), series, index))
    groups = [group for group, _ in drawn]
    axes.set(xlabel=kind.x_label, ylabel=kind.marked_label(groups))
    if kind.in_points:
        axes.axhline(0, color="#777777", linewidth=0.6, zorder=0)
    longest = max((len(series.mean) for _, series in drawn), default=0)
    names = bucket_names(groups)[:longest]
    name_ticks(axes.xaxis, names, ticks_of(figure, names))
    axes.grid(axis="y")
    if DAGGER in axes.get_ylabel():
        axes.annotate(
            _ON_TRAINING_IMAGES,
            (1, 0),
            (0, 3),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            size=7,
        )
    legend_above(figure, handles, _labels(groups), _legend_title(groups))
    return figure


def training_figure(curves: Sequence[tuple[Group, Curves]], width: str = "page") -> Figure:
    """Training loss and accuracy over the epochs of all buckets; shades distinguish the buckets."""
    beside = 1 if width == "column" else 2
    figure = Figure(figsize=(WIDTHS_IN[width], 1.75 * (3 - beside) + 0.6), layout="constrained")
    panels = figure.subplots(3 - beside, beside, sharex=True).flat
    handles: list[Any] = []
    for axes, label in zip(panels, ("training loss", "training accuracy (%)"), strict=True):
        of_loss = label == "training loss"
        handles = []
        for index, (_, found) in enumerate(curves):
            scale = 1 if of_loss else 100
            mean, std = (found.loss, found.loss_std) if of_loss else (found.accuracy, found.accuracy_std)
            kept = downsample(mean)
            series = Series(scale * mean[kept] / 100, None if std is None else scale * std[kept] / 100)
            handles.append(_line(axes, np.array(kept) + 1, series, index, every=max(1, len(kept) // 6)))
        axes.set_ylabel(label)
        axes.grid(axis="y")
        _shade_buckets(axes, max((found for _, found in curves), key=lambda found: len(found.loss)))
        if of_loss:
            axes.set_ylim(bottom=0)
    for axes in figure.axes[-beside:]:
        axes.set_xlabel("epoch; a shade for each bucket")
    groups = [group for group, _ in curves]
    legend_above(figure, handles, _labels(groups), _legend_title(groups))
    return figure


def classes_figure(names: Sequence[str], of_groups: Sequence[tuple[Group, Matrix]], width: str = "page") -> Figure:
    """Accuracy of each class over time: a panel for each class, or for each group if there are many classes."""
    groups = [group for group, _ in of_groups]
    buckets = bucket_names(groups)
    if len(names) > MOST_PANELS:
        return classes_heatmap(names, [(group.label, matrix) for group, matrix in of_groups], buckets, width)
    beside = min(len(names), 3 if width == "column" else 6)
    down = -(-len(names) // beside)
    figure = Figure(figsize=(WIDTHS_IN[width], 0.95 * down + 0.6), layout="constrained")
    panels = figure.subplots(down, beside, squeeze=False, sharex=True, sharey=True)
    handles: list[Any] = []
    for number, (panel, name) in enumerate(zip(panels.flat, names, strict=False)):
        handles = [
            _line(panel, np.arange(matrix.shape[1]), Series(matrix[number], None), index)
            for index, (_, matrix) in enumerate(of_groups)
        ]
        panel.set_title(wrapped(name, 72 * WIDTHS_IN[width] / beside), fontsize=7)
        panel.grid(axis="y")
        panel.tick_params(labelbottom=number + beside >= len(names))
    for panel in list(panels.flat)[len(names) :]:
        panel.remove()
    longest = buckets[: max(matrix.shape[1] for _, matrix in of_groups)]
    name_ticks(figure.axes[0].xaxis, longest, max(2, ticks_of(figure, longest, beside) // 2))
    figure.supxlabel("trained to bucket", fontsize="medium")
    figure.supylabel("accuracy of the class (%)", fontsize="medium")
    legend_above(figure, handles, _labels(groups), "means of n runs")
    return figure


def _line(axes: Axes, places: Any, series: Series, index: int, every: int = 1) -> Any:
    """A line in percent with its band, in the style of group `index`; a marker at every `every`-th point."""
    style = line_style(index)
    mean = 100 * series.mean
    if series.std is not None:
        std = 100 * series.std
        axes.fill_between(places, mean - std, mean + std, color=style["color"], alpha=0.15, linewidth=0)
    offset = index * every // 4 if every > 1 else 0
    [line] = axes.plot(places, mean, **style, markevery=(offset, every))
    return line


def _bucket_line(axes: Axes, means: Matrix, stds: Matrix, colour: Any, dot: int | None) -> None:
    """A line of accuracies [K], its band, and a dot at one place."""
    places = np.arange(len(means))
    axes.plot(places, 100 * means, color=colour)
    axes.fill_between(places, 100 * (means - stds), 100 * (means + stds), color=colour, alpha=0.15, linewidth=0)
    if dot is not None:
        axes.plot(dot, 100 * means[dot], "o", color=colour)


def _shade_buckets(axes: Axes, curves: Curves) -> None:
    if len(curves.parts) < 2:
        return
    for part in curves.parts[1::2]:
        axes.axvspan(part.first - 0.5, part.last + 0.5, color="#f0f0f0", linewidth=0, zorder=0)
    axes.set_xlim(0.5, curves.parts[-1].last + 0.5)


def _labels(groups: Sequence[Group]) -> list[str]:
    """The labels, with the number of runs if it is not the same for all."""
    counts = {len(group.counted) for group in groups}
    return [group.label if len(counts) == 1 else f"{cut(group.label)} (n = {len(group.counted)})" for group in groups]


def _legend_title(groups: Sequence[Group]) -> str:
    counts = {len(group.counted) for group in groups}
    if counts == {1}:
        return "single runs"
    n = f"n = {counts.pop()} runs" if len(counts) == 1 else "n runs"
    return f"mean ± sample standard deviation over {n}"
