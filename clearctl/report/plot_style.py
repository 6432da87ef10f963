"""The style of figures: the width of a paper's column or page, its font size, lines distinguishable in grey."""

import re
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import Any

from matplotlib.axis import Axis
from matplotlib.figure import Figure

WIDTHS_IN = {"column": 3.3, "page": 7.0}
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.title_fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.8,  # long enough for two periods of a dashed line
    "legend.columnspacing": 1.2,
    "figure.titlesize": 8,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.6,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.linewidth": 0.4,
    "grid.alpha": 0.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "clearctl",  # the same report gives the same file
}
# Okabe and Ito's colours, without the yellow that white paper swallows. Markers and dashes tell them apart in grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#56b4e9", "#e69f00")
MARKERS = "os^Dv"
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
MOST_LETTERS = 60  # of a label
_MOST_TICKS = 20
_LETTER_PT, _WIDE_LETTER_PT = 3.9, 4.6  # of the legend's type, on average and at most
_HANDLE_PT = 34  # of the line before a label
_LEGEND_ROW_IN = 0.15


def line_style(index: int) -> dict[str, Any]:
    """The colour, marker and dashes of line `index`: the first 140 differ."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": DASHES[index % len(DASHES)],
    }


def legend_above(figure: Figure, handles: Sequence[Any], labels: Sequence[str], title: str) -> None:
    """The legend over the axes, in as many columns as the figure is wide for; the figure grows by its rows."""
    width_pt = 72 * figure.get_figwidth()
    most = int((width_pt - _HANDLE_PT) / _WIDE_LETTER_PT)
    texts = [plain(cut(label, most * len(label) // max(1, breadth(label)))) for label in labels]
    columns = max(1, min(len(texts), int(width_pt / (max(map(breadth, texts)) * _LETTER_PT + _HANDLE_PT))))
    figure.set_figheight(figure.get_figheight() + _LEGEND_ROW_IN * -(-len(texts) // columns))
    figure.legend(handles, texts, loc="outside upper center", ncols=columns, title=title)


def ticks_of(figure: Figure, names: Sequence[str], axes_beside: int = 1) -> int:
    """The number of the ticks `names` that fit below one of the axes next to each other."""
    room_pt = 72 * (figure.get_figwidth() / axes_beside - 0.6)
    return max(2, min(_MOST_TICKS, int(room_pt / (max(map(breadth, names)) * 4.2 + 5))))


def name_ticks(axis: Axis, names: Sequence[str], most: int = _MOST_TICKS) -> None:
    """A tick for each bucket, or for every second, third … if there are too many."""
    step = -(-len(names) // most)
    axis.set_ticks(list(range(0, len(names), step)), [plain(name) for name in names[::step]])


def breadth(text: str) -> int:
    """The width of a text, in letters: Chinese ones are as wide as two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def wrapped(text: str, width_pt: float) -> str:
    """A title in as many lines as it needs."""
    letters = max(8, int(width_pt / 4.6 * len(text) / max(1, breadth(text))))
    return "\n".join(textwrap.wrap(plain(text), letters))


def cut(label: str, most: int = MOST_LETTERS) -> str:
    """A label of more than `most` letters without its middle: what distinguishes it from others is at its end."""
    half = min(most, MOST_LETTERS) // 2
    return label if len(label) <= 2 * half else f"{label[: half - 3]}...{label[-half:]}"


def plain(text: str) -> str:
    """A dollar sign would begin a formula."""
    return text.replace("$", r"\$")


def file_names(labels: Sequence[str]) -> list[str]:
    """A name for each label that every file system takes; no two are equal, even if case is ignored."""
    names: list[str] = []
    for label in labels:
        stem = re.sub(r"[^A-Za-z0-9.=+-]+", "_", cut(label)).strip("._-") or "group"
        taken = {name.lower() for name in names}
        endings = ("", *(f"-{number}" for number in range(2, len(labels) + 2)))
        names.append(next(stem + ending for ending in endings if (stem + ending).lower() not in taken))
    return names
