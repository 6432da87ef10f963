"""Line charts as SVG, drawn small enough to be readable on a phone.

A chart has no colours of its own: its classes take those of the page's theme.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 420, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 10, 38
_CHARACTER = 6.5  # the width of a digit in the charts' font
_NOTHING = 1e-12  # what is smaller is 0 in a chart
_MOST_DOTS = 400  # of a chart; more hide the lines
_MOST_TICKS = 6

Tick = tuple[float, str]


@dataclass(frozen=True)
class ChartLine:
    """A line through the points (x[i], y[i]), broken where y is NaN.

    `colour` is the class of its colour, `title` what hovering over it says, `titles` the same for each point: a line
    that has them has dots. The dot `marked` is larger. A band reaches as far as `spread[i]` to either side.
    """

    x: Sequence[float]
    y: Sequence[float]
    colour: str
    title: str
    titles: Sequence[str] = ()
    marked: int | None = None
    spread: Sequence[float] = ()


@dataclass(frozen=True)
class Band:
    """A part of the x axis that differs in shade from its neighbours, named below it; hovering over it says `title`."""

    first: float
    last: float
    name: str
    title: str


@dataclass(frozen=True)
class _Axes:
    """The positions of values in the figure."""

    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, value: float) -> float:
        low, high = self.x
        return _LEFT + (value - low) / ((high - low) or 1) * (WIDTH - _LEFT - _RIGHT)

    def up(self, value: float) -> float:
        low, high = self.y
        return HEIGHT - _BOTTOM - (value - low) / ((high - low) or 1) * (HEIGHT - _TOP - _BOTTOM)


def line_chart(
    lines: Sequence[ChartLine],
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[Tick] = (),
    bands: Sequence[Band] = (),
    from_zero: bool = False,
    at_most: float = math.inf,
) -> Markup:
    """An <svg> of the lines, with named axes and values on hovering.

    `x_ticks` are (x, name); with `bands` these are named instead. The y axis reaches over all values, and down
    to 0 if that is wanted; it has no tick above `at_most`, which no value is.
    """
    ends = (line.y if not line.spread else [*_ends(line, 1), *_ends(line, -1)] for line in lines)
    ys = [value for values in ends for value in values if math.isfinite(value)]
    xs = [value for line in lines for value in line.x] + [end for band in bands for end in (band.first, band.last)]
    low, high = min(ys, default=0.0), max(ys, default=1.0)
    y_ticks = [tick for tick in nice_ticks(min(low, 0.0) if from_zero else low, high) if tick <= at_most]
    axes = _Axes((min(xs, default=0.0), max(xs, default=1.0)), (min(low, y_ticks[0]), max(high, y_ticks[-1])))
    dotted = sum(len(line.titles) for line in lines) <= _MOST_DOTS
    parts = [
        *_bands(bands, axes),
        *_y_axis(y_ticks, axes),
        *_x_axis([((band.first + band.last) / 2, band.name) for band in bands] or x_ticks, axes),
        *(_spread(line, axes) for line in lines if line.spread),
        *(_curve(line, axes) for line in lines),
        *(dot for line in lines if dotted for dot in _dots(line, axes)),
        f'<text class="name" x="{(WIDTH + _LEFT - _RIGHT) / 2:g}" y="{HEIGHT - 5}">{escape(x_label)}</text>',
        f'<text class="name" transform="translate(11 {(HEIGHT - _BOTTOM + _TOP) / 2:g}) rotate(-90)">'
        f"{escape(y_label)}</text>",
    ]
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
    return Markup("".join([head, *parts, "</svg>"]))


def nice_ticks(low: float, high: float) -> list[float]:
    """Round values evenly over [low, high], 2 to 6 of them, the outer ones at its ends or just beyond."""
    largest = max(abs(low), abs(high))
    span = high - low
    if span <= 1e-9 * largest or span < _NOTHING:  # all are the same value
        span = largest if largest > _NOTHING else 1.0
    power = 10.0 ** math.floor(math.log10(span / (_MOST_TICKS - 1)))
    for factor in (1, 2, 5, 10, 20):
        step = factor * power
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < _MOST_TICKS:
            break
    return [float(f"{number * step:.12g}") for number in range(first, max(last, first + 1) + 1)]


def _y_axis(ticks: Sequence[float], axes: _Axes) -> Iterator[str]:
    for tick in ticks:
        height = axes.up(tick)
        yield f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>'
        yield f'<text class="y" x="{_LEFT - 6}" y="{height + 4:.1f}">{tick:g}</text>'


def _x_axis(ticks: Sequence[Tick], axes: _Axes) -> Iterator[str]:
    """The names, or every n-th of them so that they do not overlap."""
    room = (WIDTH - _LEFT - _RIGHT) / max(len(ticks), 1)
    widest = max((len(name) for _, name in ticks), default=0) * _CHARACTER + 8
    for place, name in ticks[:: max(1, math.ceil(widest / room))]:
        yield f'<text class="x" x="{axes.across(place):.1f}" y="{HEIGHT - _BOTTOM + 15}">{escape(name)}</text>'


def _bands(bands: Sequence[Band], axes: _Axes) -> Iterator[str]:
    for number, band in enumerate(bands):
        left, right = axes.across(band.first), axes.across(band.last)
        yield (
            f'<rect class="band b{number % 2}" x="{left:.1f}" y="{_TOP}" width="{right - left:.1f}"'
            f' height="{HEIGHT - _TOP - _BOTTOM}"><title>{escape(band.title)}</title></rect>'
        )


def _ends(line: ChartLine, sign: int) -> list[float]:
    return [y + sign * spread for y, spread in zip(line.y, line.spread, strict=True)]


def _spread(line: ChartLine, axes: _Axes) -> str:
    """The band of a line, all of whose values there are."""
    upper = list(zip(line.x, _ends(line, 1), strict=True))
    lower = list(zip(line.x, _ends(line, -1), strict=True))
    corners = " ".join(f"{axes.across(x):.1f},{axes.up(y):.1f}" for x, y in [*upper, *reversed(lower)])
    return f'<polygon class="spread {line.colour}" points="{corners}"/>'


def _curve(line: ChartLine, axes: _Axes) -> str:
    return f'<path class="{line.colour}" d="{_path(line, axes)}"><title>{escape(line.title)}</title></path>'


def _path(line: ChartLine, axes: _Axes) -> str:
    """The `d` of the line: a new start after each gap."""
    commands, pen = [], "M"
    for x, y in zip(line.x, line.y, strict=True):
        if not math.isfinite(y):
            pen = "M"
            continue
        commands.append(f"{pen}{axes.across(x):.1f} {axes.up(y):.1f}")
        pen = "L"
    return "".join(commands)


def _dots(line: ChartLine, axes: _Axes) -> Iterator[str]:
    for index, title in enumerate(line.titles):
        if math.isfinite(line.y[index]):
            radius = 4 if index == line.marked else 2
            yield (
                f'<circle class="{line.colour}" cx="{axes.across(line.x[index]):.1f}"'
                f' cy="{axes.up(line.y[index]):.1f}" r="{radius}"><title>{escape(title)}</title></circle>'
            )
