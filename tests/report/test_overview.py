"""The charts that a page of several groups opens on."""

from pathlib import Path

from report.folders import MATRIX, groups_of, make_run

from clearctl.report.overview import comparison_charts, comparison_keys
from clearctl.report.page import render_page


def test_a_line_for_each_group_that_says_its_values(tmp_path: Path) -> None:
    better = [[min(value + 0.1, 0.9) for value in row] for row in MATRIX]
    make_run(tmp_path / "1", MATRIX, 0)
    make_run(tmp_path / "2", better, 1)
    make_run(tmp_path / "3", MATRIX, 0, name="<ewc>", **{"cl_strategy.type": "EWC"})
    make_run(tmp_path / "4", MATRIX[:2], 0, name="going", **{"cl_strategy.type": "LwF"})
    groups = groups_of(tmp_path)
    charts = dict(comparison_charts(groups))
    over_time, next_domain, forgetting = charts.values()
    assert [text.count("<path") for text in (over_time, next_domain, forgetting)] == [3, 3, 2]
    assert [text.count("<polygon") for text in (over_time, next_domain, forgetting)] == [1, 1, 1]
    assert "naive, trained to bucket 0: 85.0 ± 7.1 %" in over_time
    assert "&lt;ewc&gt;, trained to bucket 1: 80.0 %" in over_time
    assert "&lt;ewc&gt;, trained to bucket 0: 60.0 %" in next_domain
    assert "&lt;ewc&gt;, bucket 0: 30.0 points" in forgetting
    assert comparison_keys(groups) == [("g0", "naive"), ("g1", "<ewc>"), ("g2", "going")]
    text = render_page(groups)
    assert text.index("<h2>Groups side by side</h2>") < text.index("<h2>Summary</h2>")
    assert "without the other" not in text


def test_a_single_group_and_single_buckets_have_none(tmp_path: Path) -> None:
    make_run(tmp_path / "1")
    assert comparison_charts(groups_of(tmp_path)) == []
    assert "side by side" not in render_page(groups_of(tmp_path))
    for number in range(2):
        make_run(tmp_path / f"single/{number}", [[0.5]], **{"cl_strategy.k": number})
    assert comparison_charts(groups_of(tmp_path / "single")) == []


def test_what_is_on_training_images_is_marked(tmp_path: Path) -> None:
    for number in range(2):
        values = {"cl_strategy.k": number, "scenario.evaluation_protocol": "streaming"}
        make_run(tmp_path / str(number), **values)
    over_time, next_domain, forgetting = (chart for _, chart in comparison_charts(groups_of(tmp_path)))
    assert "accuracy on buckets so far (%)†" in over_time
    assert "†" not in next_domain
    assert "accuracy lost (points)†" in forgetting


def test_of_many_groups_the_first_are_drawn_and_it_is_said(tmp_path: Path) -> None:
    for number in range(14):
        make_run(tmp_path / str(number), **{"cl_strategy.k": number})
    groups = groups_of(tmp_path)
    assert all(chart.count("<path") == 12 for _, chart in comparison_charts(groups))
    assert "The first 12 groups, without the other 2." in render_page(groups)
