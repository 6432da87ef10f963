"""The colours of a page, each for its light and its dark theme: of heatmap cells, and of the buckets' lines.

Both run evenly from one end to the other in lightness too, so that they stay in order for the colour-blind and in grey.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clearctl.metrics import Matrix
from clearctl.report.series import MOST_LINES

HEAT_STEPS = 21
LINE_STEPS = 24

Rgb = tuple[int, int, int]

# From the lowest accuracy to the highest: what is high stands out from the page in either theme.
_HEAT_LIGHT = ("#f4f8fc", "#d0e1f2", "#94c4df", "#4a98c9", "#1764ab", "#08306b")
_HEAT_DARK = ("#1b2330", "#23405f", "#2c6496", "#4a90c6", "#86bbe4", "#cfe6f8")
# From the first bucket to the last: much like matplotlib's plasma, without what a page of that theme would swallow.
_LINES_LIGHT = ("#0d0887", "#5601a4", "#900da3", "#bf3984", "#dd5e5a", "#de791d")
_LINES_DARK = ("#b12a90", "#cc4778", "#e16462", "#f2844b", "#fca636", "#fcce25")
# Of groups, which have no order: Okabe and Ito's, darker or lighter where they would be faint. Their dashes differ too.
_GROUPS_LIGHT = ("#0072b2", "#c45500", "#00805e", "#b0568f", "#1c1f23", "#3a8fc0", "#a87000")
_GROUPS_DARK = ("#56b4e9", "#f2844b", "#3fc79a", "#e0a1c8", "#e4e8ec", "#9fd0f0", "#f0b840")
_GROUPS_DASHES = ("none", "7 3", "2 2", "9 2 2 2")


@dataclass(frozen=True)
class Scale:
    """The values of the lightest and the darkest cell of a heatmap."""

    low: float
    high: float

    def step(self, value: float) -> int:
        """The number of the colour of `value`, 0 to HEAT_STEPS − 1."""
        part = (value - self.low) / (self.high - self.low)
        return round(min(max(part, 0.0), 1.0) * (HEAT_STEPS - 1))


def scale_of(matrices: Sequence[Matrix]) -> Scale:
    """A scale for all accuracies of the matrices, its ends at the 5 % about them; NaN is skipped."""
    values = np.concatenate([matrix.ravel() for matrix in matrices]) if matrices else np.array([])
    values = values[np.isfinite(values)]
    if not values.size:
        return Scale(0.0, 1.0)
    # Rounded first: 0.15 × 20 is a little more than 3.
    low = math.floor(round(float(values.min()) * 20, 6)) / 20
    high = math.ceil(round(float(values.max()) * 20, 6)) / 20
    return Scale(low, high) if high > low else Scale(min(low, 0.95), min(low, 0.95) + 0.05)


def line_step(index: int, count: int) -> int:
    """The number of the colour of line `index` of `count`, 0 to LINE_STEPS − 1."""
    return round(index / max(count - 1, 1) * (LINE_STEPS - 1))


def style() -> str:
    """The style sheet's rules: .h0 and on for cells, with a text to be read on them, .c0 for buckets, .g0 groups."""
    heat = zip(_ramp(_HEAT_LIGHT, HEAT_STEPS), _ramp(_HEAT_DARK, HEAT_STEPS), strict=True)
    lines = zip(_ramp(_LINES_LIGHT, LINE_STEPS), _ramp(_LINES_DARK, LINE_STEPS), strict=True)
    return "\n".join(
        [
            *(
                f".h{i}{{background:light-dark({_hex(light)},{_hex(dark)});"
                f"color:light-dark({text_colour(light)},{text_colour(dark)})}}"
                for i, (light, dark) in enumerate(heat)
            ),
            *(f".c{i}{{--c:light-dark({_hex(light)},{_hex(dark)})}}" for i, (light, dark) in enumerate(lines)),
            *(
                f".g{i}{{--c:light-dark({_GROUPS_LIGHT[i % 7]},{_GROUPS_DARK[i % 7]});--d:{_GROUPS_DASHES[i % 4]}}}"
                for i in range(MOST_LINES)
            ),
        ]
    )


def heat(step: int) -> tuple[str, str]:
    """(background, text) of a cell of a heatmap on a light page, as CSS has colours."""
    colour = _ramp(_HEAT_LIGHT, HEAT_STEPS)[step]
    return _hex(colour), text_colour(colour)


def text_colour(background: Rgb) -> str:
    """Black or white, whichever is read better; one of them always has a contrast of 4.5 or more."""
    luminance = _luminance(background)
    return "#000" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "#fff"


def _luminance(colour: Rgb) -> float:
    """The relative luminance of WCAG 2, 0 to 1."""
    parts = [value / 255 for value in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _ramp(ends: Sequence[str], steps: int) -> list[Rgb]:
    """`steps` colours, evenly from the first to the last of `ends`."""
    fixed = [tuple(int(end[i : i + 2], 16) for i in (1, 3, 5)) for end in ends]
    found = []
    for step in range(steps):
        place = step / (steps - 1) * (len(fixed) - 1)
        below = min(int(place), len(fixed) - 2)
        pairs = zip(fixed[below], fixed[below + 1], strict=True)
        red, green, blue = (round(first + (place - below) * (second - first)) for first, second in pairs)
        found.append((red, green, blue))
    return found


def _hex(colour: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
