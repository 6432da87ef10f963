"""Colours: each text can be read, dark and light stay in order, and a scale holds its values."""

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clearctl.report.colours import HEAT_STEPS, LINE_STEPS, line_step, scale_of, style

COLOUR = r"(#[0-9a-f]{3,6})"


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def rules() -> dict[str, list[str]]:
    return {name: re.findall(COLOUR, rule) for name, rule in re.findall(r"\.(\w+)\{(.*)\}", style())}


def test_every_cells_text_can_be_read_in_both_themes() -> None:
    cells = [rules()[f"h{step}"] for step in range(HEAT_STEPS)]
    for light, dark, on_light, on_dark in cells:
        assert contrast(luminance(light), luminance(on_light)) >= 4.5
        assert contrast(luminance(dark), luminance(on_dark)) >= 4.5


def test_colours_stay_in_order_without_hue() -> None:
    cells = [[luminance(colour) for colour in rules()[f"h{step}"][:2]] for step in range(HEAT_STEPS)]
    lines = [[luminance(colour) for colour in rules()[f"c{step}"]] for step in range(LINE_STEPS)]
    assert cells == sorted(cells, key=lambda pair: -pair[0]) == sorted(cells, key=lambda pair: pair[1])
    for theme in (0, 1):
        of_theme = [pair[theme] for pair in lines]
        assert of_theme == sorted(of_theme)


def test_every_line_stands_out_from_the_page() -> None:
    for step in range(LINE_STEPS):
        light, dark = map(luminance, rules()[f"c{step}"])
        assert contrast(light, luminance("#ffffff")) >= 3
        assert contrast(dark, luminance("#12161c")) >= 3


def test_lines_go_from_the_first_colour_to_the_last() -> None:
    assert [line_step(i, 3) for i in range(3)] == [0, 12, 23]
    assert line_step(0, 1) == 0
    assert len({line_step(i, 11) for i in range(11)}) == 11


def test_a_scale_ends_at_the_five_percent_about_its_values() -> None:
    scale = scale_of([np.array([[0.15, 0.62]]), np.array([[np.nan, 0.81]])])
    assert (scale.low, scale.high) == (0.15, 0.85)
    assert [scale.step(value) for value in (0.15, 0.5, 0.85)] == [0, 10, 20]
    assert (scale_of([]).low, scale_of([np.array([np.nan])]).high) == (0.0, 1.0)


@given(st.lists(st.floats(0, 1), min_size=1))
def test_a_scale_has_a_step_for_each_of_its_values(values: list[float]) -> None:
    scale = scale_of([np.array(values)])
    assert 0 <= scale.low < scale.high <= 1
    assert scale.low <= min(values) + 1e-6
    assert scale.high >= max(values) - 1e-6
    steps = [scale.step(value) for value in sorted(values)]
    assert steps == sorted(steps)
    assert set(steps) <= set(range(HEAT_STEPS))
