"""The figures of a report as PNG, PDF and SVG, and the data of each."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from clearctl import atomic
from clearctl.errors import UsageError
from clearctl.nearby import closest
from clearctl.progress import Counted, Listener, Message, ignore
from clearctl.report.classes import class_accuracies
from clearctl.report.colours import scale_of
from clearctl.report.curves import training_curves
from clearctl.report.fonts import families
from clearctl.report.groups import Group
from clearctl.report.numbers import NUMBERS, Numbers
from clearctl.report.plot_heat import difference_figure, matrices_figure, matrix_figure
from clearctl.report.plot_lines import accuracy_figure, classes_figure, kind_figure, training_figure
from clearctl.report.plot_style import COLOURS, STYLE, WIDTHS_IN, breadth, cut, file_names, plain, wrapped
from clearctl.report.series import KINDS, MOST_LINES, Kind
from clearctl.report.tables import measured_by, with_unit
from clearctl.report.view import DEFAULT, View
from clearctl.wording import all_of

SUFFIXES = ("png", "pdf", "svg")
_DPI = 300

Job = tuple[str, Callable[[], Figure]]  # the name of a file, and what draws it


@dataclass(frozen=True)
class Drawing:
    """A kind of figure: what it shows, its files for some groups, and its requirements if it has none of them."""

    shows: str
    jobs: Callable[[Sequence[Group], View], Iterator[Job]]
    needs: str = ""


def _metrics(groups: Sequence[Group], view: View) -> Iterator[Job]:
    yield "metrics", partial(numbers_figure, groups, view.columns(groups), view.width)


def _matrix(groups: Sequence[Group], view: View) -> Iterator[Job]:
    scale = scale_of([group.mean for group in groups])
    for name, group in zip(file_names([group.label for group in groups]), groups, strict=True):
        if group.counted:
            yield f"matrix-{name}", partial(matrix_figure, group, scale, view.width)


def _accuracy(groups: Sequence[Group], view: View) -> Iterator[Job]:
    for name, group in zip(file_names([group.label for group in groups]), groups, strict=True):
        if group.counted:
            yield f"accuracy-{name}", partial(accuracy_figure, group, view.width)


def _kind(kind: Kind, groups: Sequence[Group], view: View) -> Iterator[Job]:
    if any(kind.series(group) is not None for group in groups):
        yield kind.name, partial(kind_figure, kind, groups[:MOST_LINES], view.width)


def _difference(groups: Sequence[Group], view: View) -> Iterator[Job]:
    pair = groups
    if view.comparison is not None:
        by_label = {group.label: group for group in groups}
        pair = [by_label[label] for label in (view.comparison.first, view.comparison.second)]
    if len(pair) == 2 and pair[0].bucket_names == pair[1].bucket_names and all(group.counted for group in pair):
        yield "difference", partial(difference_figure, pair[0], pair[1], view.width)


def _matrices(groups: Sequence[Group], view: View) -> Iterator[Job]:
    counted = [group for group in groups if group.counted]
    if len(counted) > 1:
        scale = scale_of([group.mean for group in counted])
        yield "matrices", partial(matrices_figure, counted[:MOST_LINES], scale, view.width)


def _classes(groups: Sequence[Group], view: View) -> Iterator[Job]:
    found = [(group, class_accuracies(group)) for group in groups[:MOST_LINES]]
    drawn = [(group, one.names, one.over_time) for group, one in found if one is not None and one.over_time is not None]
    drawn = [each for each in drawn if each[1] == drawn[0][1]]  # of the same classes
    if drawn:
        yield (
            "classes",
            partial(classes_figure, drawn[0][1], [(group, matrix) for group, _, matrix in drawn], view.width),
        )


def _training(groups: Sequence[Group], view: View) -> Iterator[Job]:
    found = [(group, training_curves(group.counted)) for group in groups[:MOST_LINES]]
    drawn = [(group, curves) for group, curves in found if curves is not None]
    if drawn:
        yield "training", partial(training_figure, drawn, view.width)


DRAWINGS: dict[str, Drawing] = {
    "metrics": Drawing("every summary number of every group, with error bars", _metrics),
    "matrix": Drawing("the accuracy matrix of each group", _matrix, "a run that counts"),
    "accuracy": Drawing("the accuracy on each bucket over time, for each group", _accuracy, "a run that counts"),
    "over-time": Drawing(
        "the accuracy on the buckets so far, a line for each group", partial(_kind, KINDS[0]), "a run"
    ),
    "next-domain": Drawing("the accuracy on the next bucket", partial(_kind, KINDS[1]), "two buckets"),
    "forgetting": Drawing("the forgetting of each bucket", partial(_kind, KINDS[2]), "a finished run of two buckets"),
    "difference": Drawing(
        "the accuracy matrix of one group minus another's", _difference, "--compare A B, or exactly two groups"
    ),
    "matrices": Drawing("the accuracy matrices of all groups in a grid", _matrices, "two groups"),
    "classes": Drawing(
        "the accuracy of each class over time",
        _classes,
        "metrics=[dict(type='class_accuracy_metrics', stream=True)] in the config",
    ),
    "training": Drawing("training loss and accuracy over the epochs", _training, "a run that trained for an epoch"),
}


def check_drawings(names: Sequence[str]) -> None:
    """Raise UsageError for an unknown figure."""
    for name in names:
        if name not in DRAWINGS:
            hint = closest(name, DRAWINGS)
            raise UsageError(f"--draw {name}: no such figure{hint}\nexpected some of {', '.join(DRAWINGS)}")


def write_plots(
    groups: Sequence[Group],
    folder: Path,
    listener: Listener = ignore,
    view: View = DEFAULT,
    names: Sequence[str] = (),
) -> list[Path]:
    """Draw the figures `names` of DRAWINGS, or all that there can be, into `folder`; return them without suffix.

    Raises UsageError for an unknown figure, or one that these groups do not suffice for, and OSError.
    """
    check_drawings(names)
    jobs: list[Job] = []
    for name in dict.fromkeys(names or DRAWINGS):
        found = list(DRAWINGS[name].jobs(groups, view))
        if names and not found:
            raise UsageError(f"--draw {name}: these runs are not enough; it needs {DRAWINGS[name].needs}")
        jobs += found
    if len(groups) > MOST_LINES and {name for name, _ in jobs} & {*DRAWINGS} - {"metrics"}:
        text = f"figures of several groups show the first {MOST_LINES} of {len(groups)}"
        listener(Message(f"{text}: give fewer runs, or choose the first ones with --sort"))
    fonts = _fonts(groups, listener)
    for done, (name, draw) in enumerate(jobs, 1):
        with matplotlib.rc_context({**STYLE, "font.family": fonts}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # of a label, which has been said
            _save(draw(), folder / name)
        listener(Counted("plots", done, len(jobs), "figures"))
    return [folder / name for name, _ in jobs]


def numbers_figure(groups: Sequence[Group], numbers: Numbers = NUMBERS, width: str = "page") -> Figure:
    """Every summary number of every group next to each other, with error bars of one standard deviation."""
    numbers = measured_by(groups, numbers)
    columns = min(len(numbers), 2 if width == "column" else 4)
    rows = -(-len(numbers) // columns)
    labels = [plain(cut(group.label)) for group in groups]
    figure = Figure(figsize=(WIDTHS_IN[width], rows * (0.75 + 0.16 * len(groups))), layout="constrained")
    places = np.arange(len(groups))
    panel_pt = max(45.0, (72 * WIDTHS_IN[width] - 4 * max(map(breadth, labels))) / columns)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
    for axes in list(panels)[len(numbers) :]:
        axes.remove()
    for axes, (name, number) in zip(figure.axes, numbers.items(), strict=True):
        scale = 100 if number.unit == "fraction" else 1
        found = [group.numbers.get(name) for group in groups]
        means = [math.nan if one is None else scale * one.mean for one in found]
        stds = [math.nan if one is None or one.std is None else scale * one.std for one in found]
        axes.errorbar(means, places, xerr=stds, fmt="o", markersize=3, capsize=2, color=COLOURS[0])
        axes.set(title=wrapped(with_unit(number.title, number), panel_pt), ylim=(len(groups) - 0.5, -0.5))
        axes.set_yticks(places, labels)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.locator_params(axis="x", nbins=4)
    return figure


def _fonts(groups: Sequence[Group], listener: Listener) -> list[str]:
    """The families that have the letters of labels, buckets and classes; a warning names what none has."""
    texts = [group.label for group in groups] + [name for group in groups for name in group.bucket_names]
    for group in groups:
        texts += group.runs[0].environment["dataset"].get("class_names") or []
    found, lacking = families(texts)
    if lacking:
        what = f"no installed font has {all_of(list(lacking[:5]))}{' and more' if len(lacking) > 5 else ''}"
        advice = "install one, such as Debian's fonts-noto-cjk, or use --label"
        listener(Message(f"{what}: figures show boxes instead; {advice}", warning=True))
    return found


def _save(figure: Figure, path: Path) -> None:
    """Write a figure in every format, without a date, so that the same report gives the same files."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # it is laid out now, and need not be for each file
    for suffix in SUFFIXES:
        metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(suffix)
        save = partial(figure.savefig, format=suffix, dpi=_DPI, metadata=metadata)
        atomic.write_with(path.with_name(f"{path.name}.{suffix}"), save)
