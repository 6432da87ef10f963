"""The style of figures: lines apart in grey too, names of files, and room for labels."""

import matplotlib
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from clearctl.report.plot_style import (
    COLOURS,
    STYLE,
    WIDTHS_IN,
    breadth,
    cut,
    file_names,
    legend_above,
    line_style,
)
from clearctl.report.series import MOST_LINES


def test_lines_differ_without_their_colour() -> None:
    looks = [repr((style["marker"], style["linestyle"])) for style in map(line_style, range(MOST_LINES))]
    assert len(set(looks)) == MOST_LINES
    assert len({tuple(to_rgb(colour)) for colour in COLOURS}) == len(COLOURS)


def test_a_legend_is_as_wide_as_the_figure_at_most() -> None:
    for labels in (
        ["naive"] * 12,
        ["经验回放与微调"] * 5,
        ["a label of many words, lr=0.1, mem_size=500"] * 3,
        ["x" * 90] * 2,
    ):
        for width in WIDTHS_IN.values():
            with matplotlib.rc_context(STYLE):
                figure = Figure(figsize=(width, 2), layout="constrained")
                handles = [figure.add_subplot().plot([0], **line_style(index))[0] for index in range(len(labels))]
                legend_above(figure, handles, labels, "mean ± sample standard deviation over n = 3 runs")
                figure.draw_without_rendering()
                [legend] = figure.legends
                box = legend.get_window_extent()
            assert box.x0 >= -1
            assert box.x1 <= figure.bbox.width + 1


def test_breadth_and_cut() -> None:
    assert (breadth("abc"), breadth("经验"), breadth("a经")) == (3, 4, 3)
    assert cut("short") == "short"
    assert len(cut("x" * 100)) == 60


@given(st.lists(st.text(), max_size=8))
def test_file_names_are_safe_and_apart(labels: list[str]) -> None:
    names = file_names(labels)
    assert len({name.lower() for name in names}) == len(labels)
    for name in names:
        assert name[0].isalnum() or name[0] in "=+"
        assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._=+-")
        assert len(name) <= 64
