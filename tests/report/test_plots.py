"""The figures: which there are, that they are real images, and that they show the groups' own numbers."""

import math
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from report.folders import MATRIX, make_few, make_run

from clearctl.progress import Counted, Event
from clearctl.report.colours import Scale
from clearctl.report.groups import Group, group_runs
from clearctl.report.plots import accuracy_figure, file_names, matrix_figure, numbers_figure, write_plots
from clearctl.report.runs import find_runs

SCALE = Scale(0.0, 1.0)


def groups_of(folder: Path) -> list[Group]:
    return group_runs(find_runs([folder]))


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


@pytest.fixture
def pair(tmp_path: Path) -> Group:
    """Two seeds, the second 10 points better everywhere but 0.9."""
    better = [[min(value + 0.1, 0.9) for value in row] for row in MATRIX]
    make_run(tmp_path / "1", MATRIX, 0)
    make_run(tmp_path / "2", better, 1)
    return groups_of(tmp_path)[0]


@pytest.mark.slow
def test_every_figure_is_there_as_png_and_pdf_and_the_same_each_time(tmp_path: Path) -> None:
    make_run(tmp_path / "runs/1", [[0.8, 0.7], [0.75, 0.9]], name="100% of it")
    make_run(tmp_path / "runs/2", [[0.8]], 1, name="b", filelists="1" * 64)
    groups = groups_of(tmp_path / "runs")
    reported: list[Event] = []
    style, filters = dict.copy(matplotlib.rcParams), list(warnings.filters)
    written = write_plots(groups, tmp_path / "new/plots", reported.append)
    assert (dict.copy(matplotlib.rcParams), warnings.filters) == (style, filters)
    names = [path.name for path in written]
    assert names == ["metrics", "matrix-100_of_it", "accuracy-100_of_it", "matrix-b", "accuracy-b"]
    files = sorted((tmp_path / "new/plots").iterdir())
    assert [file.name for file in files] == sorted(f"{name}.{suffix}" for name in names for suffix in ("png", "pdf"))
    for path in written:
        with Image.open(f"{path}.png") as image:
            assert image.width > 400
            assert len(np.unique(np.asarray(image.convert("L")))) > 10  # something is drawn
        assert Path(f"{path}.pdf").read_bytes().startswith(b"%PDF")
    assert reported == [Counted("plots", done, 5, "figures") for done in range(1, 6)]
    before = [file.read_bytes() for file in files]
    write_plots(groups, tmp_path / "new/plots")
    assert [file.read_bytes() for file in files] == before


def test_the_heatmap_has_every_mean_and_deviation(pair: Group) -> None:
    axes = matrix_figure(pair, SCALE).axes[0]
    assert np.asarray(axes.images[0].get_array()) == pytest.approx(100 * pair.mean)
    one, two = (
        [
            [f"{100 * (a + b) / 2:.1f}", f"±{100 * abs(a - b) / math.sqrt(2):.1f}"]
            for a, b in zip(first, second, strict=True)
        ]
        for first, second in ((MATRIX[0], (0.9, 0.7, 0.5)), (MATRIX[1], (0.8, 0.9, 0.6)))
    )
    assert texts(axes)[:12] == [text for cell in one + two for text in cell]
    assert axes.get_title() == "naive, mean of 2 runs"


def test_a_matrix_of_many_buckets_has_no_numbers_in_it(tmp_path: Path) -> None:
    make_run(tmp_path / "1", [[0.5] * 30] * 30)
    [group] = groups_of(tmp_path)
    figure = matrix_figure(group, SCALE)
    assert texts(figure.axes[0]) == []
    assert max(figure.get_size_inches()) < 12


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


def test_groups_side_by_side_with_error_bars(tmp_path: Path) -> None:
    groups = groups_of(make_few(tmp_path))
    figure: Figure = numbers_figure(groups)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        "in-domain (%)",
        "next-domain (%)",
        "accuracy (%)",
        "backward transfer (%)",
        "forward transfer (%)",
        "GEM BWT (%)",
        "GEM FWT (%)",
        "training (s)",
    ]
    [bars] = figure.axes[0].containers
    points, _, [spans] = bars.lines
    assert points.get_xdata() == pytest.approx([100 * 5.3 / 6, 100 * 2.6 / 3, 90.0, math.nan], nan_ok=True)
    low, high = spans.get_segments()[0][:, 0]
    assert (high - low) / 2 == pytest.approx(100 * 0.1 / 3 / math.sqrt(2))


@given(st.lists(st.text(), max_size=8))
def test_file_names_are_safe_and_apart(labels: list[str]) -> None:
    names = file_names(labels)
    assert len({name.lower() for name in names}) == len(labels)
    for name in names:
        assert name[0].isalnum() or name[0] in "=+"
        assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._=+-")
        assert len(name) <= 64
