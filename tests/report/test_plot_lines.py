"""Line charts have the means and deviations of the groups."""

from pathlib import Path

import numpy as np
import pytest
from report.folders import MATRIX, groups_of, make_run

from clearctl.report.curves import training_curves
from clearctl.report.groups import Group
from clearctl.report.plot_lines import accuracy_figure, classes_figure, kind_figure, training_figure
from clearctl.report.series import KINDS


def test_accuracy_over_time_has_a_line_for_each_bucket_and_each_model(pair: Group) -> None:
    left, right, *_ = accuracy_figure(pair).axes
    for axes, matrix in ((left, pair.mean.T), (right, pair.mean)):
        lines = [line for line in axes.lines if len(line.get_xdata()) > 1]
        assert np.array([line.get_ydata() for line in lines]) == pytest.approx(100 * matrix)
        dots = [line for line in axes.lines if len(line.get_xdata()) == 1]
        assert [float(dot.get_ydata()[0]) for dot in dots] == pytest.approx(list(100 * np.diagonal(pair.mean)))


def test_a_run_still_going_has_the_lines_that_it_has(tmp_path: Path) -> None:
    make_run(tmp_path / "1", MATRIX[:2])
    [group] = groups_of(tmp_path)
    left, right, *_ = accuracy_figure(group).axes
    assert [len(axes.lines) for axes in (left, right)] == [3 + 2, 2 + 2]
    assert left.lines[-1].get_ydata().tolist() == pytest.approx([40.0, 50.0])


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("width", ["column", "page"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_line_for_each_group_with_its_band(kind, width: str, tmp_path: Path, pair: Group) -> None:
    make_run(tmp_path / "3", name="ewc", **{"cl_strategy.type": "EWC", "scenario.evaluation_protocol": "streaming"})
    make_run(tmp_path / "4", MATRIX[:2], name="going", **{"cl_strategy.type": "LwF"})
    groups = groups_of(tmp_path)
    figure = kind_figure(kind, groups, width)
    [axes] = figure.axes
    drawn = [kind.series(group) for group in groups if kind.series(group)]
    lines = [line for line in axes.lines if line.get_marker() not in ("None", "")]
    assert len(lines) == len(drawn) == (2 if kind.name == "forgetting" else 3)
    for line, series in zip(lines, drawn, strict=True):
        assert np.asarray(line.get_ydata()) == pytest.approx(100 * series.mean)
    [band] = axes.collections  # of the only group of several runs
    low, high = band.get_paths()[0].get_extents().intervaly
    first = drawn[0]
    assert low == pytest.approx(100 * (first.mean - first.std).min())
    assert high == pytest.approx(100 * (first.mean + first.std).max())
    assert legend(figure)[:2] == ["naive (n = 2)", "ewc (n = 1)"]
    # The streaming protocol tests on training images, but for the next bucket.
    assert axes.get_ylabel().endswith("†") == (kind.name != "next-domain")
    assert figure.get_figwidth() == {"column": 3.3, "page": 7.0}[width]


def test_training_curves_of_several_groups(tmp_path: Path) -> None:
    make_run(tmp_path / "1", epochs=4)
    make_run(tmp_path / "2", epochs=8, **{"cl_strategy.type": "EWC"})
    drawn = [(group, training_curves(group.counted)) for group in groups_of(tmp_path)]
    figure = training_figure(drawn)
    loss, accuracy = figure.axes
    assert [len(line.get_xdata()) for line in loss.lines] == [12, 24]
    assert np.asarray(loss.lines[0].get_ydata()) == pytest.approx([2.0, 1.0, 2 / 3, 0.5] * 3)
    assert np.asarray(accuracy.lines[0].get_ydata())[:2] == pytest.approx([50.0, 75.0])
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("training loss", "training accuracy (%)")


def test_a_panel_for_each_class_or_for_each_group(tmp_path: Path, pair: Group) -> None:
    matrix = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    figure = classes_figure(["camera", "cup"], [(pair, matrix), (pair, matrix / 2)])
    assert [axes.get_title() for axes in figure.axes] == ["camera", "cup"]
    assert np.asarray(figure.axes[1].lines[1].get_ydata()) == pytest.approx([20.0, 25.0, 30.0])
    many = classes_figure([str(number) for number in range(40)], [(pair, np.full((40, 3), 0.5))] * 2)
    assert [axes.get_title() for axes in many.axes[:2]] == ["naive", "naive"]
