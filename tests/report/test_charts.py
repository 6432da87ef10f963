"""Line charts: where the values lie in the figure, and what stands at the axes."""

import math
import re
import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from clearctl.report.charts import Band, ChartLine, line_chart, nice_ticks

# The plot's corners in the figure of 420 × 250.
LEFT, RIGHT, TOP, BOTTOM = 46, 408, 10, 212
WORDS = {"title": "a chart", "x_label": "epoch", "y_label": "loss"}


def drawn(lines: list[ChartLine], **given: object) -> ET.Element:
    return ET.fromstring(line_chart(lines, **{**WORDS, **given}))  # type: ignore[arg-type]


def texts(svg: ET.Element, kind: str) -> list[str]:
    return [element.text or "" for element in svg.iter("text") if element.get("class") == kind]


def test_a_band_reaches_as_far_as_the_spread_and_the_axis_with_it() -> None:
    line = ChartLine([0, 1], [10.0, 20.0], "g0", "a", spread=[2.0, 4.0])
    text = line_chart([line], title="t", x_label="x", y_label="y", x_ticks=[(0, "0"), (1, "1")])
    [points] = re.findall(r'<polygon class="spread g0" points="(.*?)"/>', text)
    corners = [tuple(map(float, pair.split(","))) for pair in points.split()]
    heights = [height for _, height in corners]
    # From 12 and 24 above back to 16 and 8 below: higher values have smaller heights.
    assert [height for _, height in sorted(zip([12, 24, 16, 8], heights, strict=True), reverse=True)] == sorted(heights)
    assert corners[0][0] == corners[3][0] < corners[1][0] == corners[2][0]
    assert "polygon" not in line_chart([ChartLine([0, 1], [1.0, 2.0], "g0", "a")], title="", x_label="", y_label="")


def test_points_lie_where_their_values_are() -> None:
    svg = drawn([ChartLine([0, 5, 10], [0.0, 1.0, 0.5], "c3", "bucket 1")])
    [path] = svg.iter("path")
    assert path.get("d") == f"M{LEFT}.0 {BOTTOM}.0L{(LEFT + RIGHT) / 2} {TOP}.0L{RIGHT}.0 {(TOP + BOTTOM) / 2}"
    assert path.get("class") == "c3"
    assert path.findtext("title") == "bucket 1"
    assert texts(svg, "y") == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert texts(svg, "name") == ["epoch", "loss"]
    assert svg.get("aria-label") == "a chart"


def test_a_line_is_broken_where_a_value_is_missing() -> None:
    svg = drawn([ChartLine([0, 1, 2, 3, 4], [0.0, math.nan, 1.0, 0.5, math.inf], "one", "")])
    [path] = svg.iter("path")
    assert re.sub(r"[^ML]", "", path.get("d") or "") == "MML"


def test_dots_say_their_value_and_one_is_larger() -> None:
    svg = drawn([ChartLine([0, 1], [1.0, 2.0], "c0", "a line", ["first: 1", "second: 2"], marked=1)])
    dots = list(svg.iter("circle"))
    assert [dot.findtext("title") for dot in dots] == ["first: 1", "second: 2"]
    assert [dot.get("r") for dot in dots] == ["2", "4"]
    assert [(dot.get("cx"), dot.get("cy")) for dot in dots] == [
        (f"{LEFT}.0", f"{BOTTOM}.0"),
        (f"{RIGHT}.0", f"{TOP}.0"),
    ]


def test_dots_that_would_hide_the_lines_are_left_out() -> None:
    lines = [ChartLine(range(30), [0.5] * 30, "c0", "", ["a dot"] * 30) for _ in range(30)]
    assert len(list(drawn(lines).iter("circle"))) == 0
    assert len(list(drawn(lines[:10]).iter("circle"))) == 300


def test_bands_lie_beside_each_other_under_the_lines() -> None:
    bands = [Band(0, 5, "7", "bucket 7"), Band(5, 10, "8", "bucket 8")]
    svg = drawn([ChartLine(range(1, 11), [1.0] * 10, "one", "")], bands=bands, x_ticks=[(1, "not shown")])
    middle = (LEFT + RIGHT) / 2
    rects = [(float(rect.get("x") or 0), float(rect.get("width") or 0)) for rect in svg.iter("rect")]
    assert rects == [(LEFT, middle - LEFT), (middle, RIGHT - middle)]
    assert [rect.findtext("title") for rect in svg.iter("rect")] == ["bucket 7", "bucket 8"]
    assert texts(svg, "x") == ["7", "8"]
    assert [element.tag for element in svg][:2] == ["rect", "rect"]


def test_names_that_would_touch_are_left_out_evenly() -> None:
    ticks = [(float(i), f"{i:03d}") for i in range(100)]
    svg = drawn([ChartLine(range(100), [0.0] * 100, "one", "")], x_ticks=ticks)
    shown = [element for element in svg.iter("text") if element.get("class") == "x"]
    assert 8 <= len(shown) <= 20
    places = [float(element.get("x") or 0) for element in shown]
    assert all(right - left >= 3 * 6.5 for left, right in zip(places, places[1:], strict=False))
    assert len({int(b.text or 0) - int(a.text or 0) for a, b in zip(shown, shown[1:], strict=False)}) == 1


def test_no_tick_is_above_what_no_value_can_be() -> None:
    svg = drawn([ChartLine([0, 1], [61.0, 99.0], "one", "")], at_most=100)
    assert texts(svg, "y") == ["60", "70", "80", "90", "100"]
    assert texts(drawn([ChartLine([0, 1], [3.0, 4.0], "one", "")], from_zero=True), "y") == ["0", "1", "2", "3", "4"]


def test_texts_are_never_markup() -> None:
    hostile = "<script>&\"'"
    lines = [ChartLine([0.0], [1.0], "c0", hostile, [hostile])]
    svg = drawn(lines, title=hostile, x_label=hostile, y_label=hostile, x_ticks=[(0.0, hostile)])
    assert texts(svg, "name") == [hostile, hostile]
    assert texts(svg, "x") == [hostile]
    assert svg.get("aria-label") == hostile
    assert {element.tag for element in svg.iter()} == {"svg", "line", "text", "path", "title", "circle"}


def test_nothing_to_draw_and_a_single_point() -> None:
    assert texts(drawn([]), "y") == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    [path] = drawn([ChartLine([3.0], [100.0], "one", "")], at_most=100).iter("path")
    assert re.fullmatch(rf"M{LEFT}\.0 [\d.]+", path.get("d") or "")
    assert TOP <= float((path.get("d") or "").split()[1]) <= BOTTOM


@given(
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.one_of(st.just(0.0), st.floats(1e-6, 1e6)),
)
def test_ticks_are_few_even_and_reach_over_all(low: float, span: float) -> None:
    high = low + span
    ticks = nice_ticks(low, high)
    assert 2 <= len(ticks) <= 6
    step = ticks[1] - ticks[0]
    assert step > 0
    slack = 1e-6 * max(abs(low), abs(high), step)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert all(abs(right - left - step) <= slack for left, right in zip(ticks, ticks[1:], strict=False))
    assert ticks[1] > low - slack  # none is needless
    assert ticks[-2] < high + slack or len(ticks) == 2
