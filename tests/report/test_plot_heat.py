"""Heatmaps show the groups' own numbers, as far as these can be read."""

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from report.folders import MATRIX, groups_of, make_run

from clearctl.report.colours import Scale
from clearctl.report.groups import Group
from clearctl.report.plot_heat import (
    classes_heatmap,
    difference_figure,
    matrices_figure,
    matrix_figure,
    paired_difference,
)

SCALE = Scale(0.0, 1.0)


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


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
    make_run(tmp_path / "1", [[0.5] * 60] * 60)
    [group] = groups_of(tmp_path)
    figure = matrix_figure(group, SCALE)
    assert texts(figure.axes[0]) == []
    assert max(figure.get_size_inches()) < 12


def test_no_letter_is_too_small_to_read(tmp_path: Path) -> None:
    for size in (5, 10, 14, 24):
        for seed in (0, 1):
            make_run(tmp_path / f"{size}/{seed}", [[0.5 + 0.1 * seed] * size] * size, seed)
        [group] = groups_of(tmp_path / str(size))
        for width in ("column", "page"):
            figure = matrix_figure(group, SCALE, width)
            assert figure.get_figwidth() <= (3.3 if width == "column" else 7.0) + 1e-9
            assert all(text.get_fontsize() >= 4.5 for text in figure.axes[0].texts)
    assert texts(matrix_figure(group, SCALE, "column").axes[0]) == []
    [group] = groups_of(tmp_path / "14")
    assert texts(matrix_figure(group, SCALE, "column").axes[0])[0] == "55"  # whole percents


def test_a_difference_is_of_pairs_of_seeds(tmp_path: Path) -> None:
    for seed, (one, other) in enumerate(((0.5, 0.4), (0.7, 0.5))):
        make_run(tmp_path / f"a{seed}", [[one, 0.5], [0.2, one]], seed, name="a")
        make_run(tmp_path / f"b{seed}", [[other, 0.5], [0.3, other]], seed, name="b", **{"cl_strategy.type": "EWC"})
    make_run(tmp_path / "b2", [[0.0, 0.0], [0.0, 0.0]], 2, name="b", **{"cl_strategy.type": "EWC"})  # of no pair
    first, second = groups_of(tmp_path)
    mean, std, pairs = paired_difference(first, second)
    assert pairs == 2
    assert mean == pytest.approx(np.array([[0.15, 0.0], [-0.1, 0.15]]))
    assert std == pytest.approx(np.array([[0.1 / math.sqrt(2), 0.0], [0.0, 0.1 / math.sqrt(2)]]))
    axes = difference_figure(first, second).axes[0]
    assert texts(axes) == ["+15.0", "±7.1", "+0.0", "±0.0", "−10.0", "±0.0", "+15.0", "±7.1"]
    assert axes.get_title() == "a − b, mean of 2 pairs of seeds"
    assert axes.images[0].get_clim() == pytest.approx((-15.0, 15.0))


def test_without_equal_seeds_a_difference_is_of_the_means(tmp_path: Path) -> None:
    make_run(tmp_path / "1", [[0.5]], 0)
    make_run(tmp_path / "2", [[0.7]], 1, **{"cl_strategy.type": "EWC"})
    mean, std, pairs = paired_difference(*groups_of(tmp_path))
    assert (mean.tolist(), std, pairs) == ([[pytest.approx(-0.2)]], None, 0)


def test_a_grid_has_each_matrix_and_no_empty_panel(tmp_path: Path) -> None:
    for number in range(5):
        make_run(tmp_path / str(number), [[0.1 * number] * 3] * 3, **{"cl_strategy.k": number})
    groups = groups_of(tmp_path)
    figure = matrices_figure(groups, SCALE, "column")
    assert [axes.get_title() for axes in figure.axes[:-1]] == [group.label for group in groups]
    for group, axes in zip(groups, figure.axes, strict=False):
        assert np.asarray(axes.images[0].get_array()) == pytest.approx(100 * group.mean)


def test_all_matrices_of_a_grid_have_numbers_of_one_size(tmp_path: Path) -> None:
    for number, best in enumerate((0.9, 1.0)):  # 90.0 and 100.0
        make_run(tmp_path / str(number), [[0.5] * 6] * 5 + [[best] * 6], **{"cl_strategy.k": number})
    figure = matrices_figure(groups_of(tmp_path), SCALE, "column")
    assert len({text.get_fontsize() for axes in figure.axes[:2] for text in axes.texts}) == 1


def test_many_classes_are_rows(tmp_path: Path) -> None:
    names = [f"class {number}" for number in range(100)]
    matrix = np.linspace(0, 1, 300).reshape(100, 3)
    figure = classes_heatmap(names, [("a", matrix), ("b", 1 - matrix)], ["1", "2", "3"], "page")
    assert np.asarray(figure.axes[1].images[0].get_array()) == pytest.approx(100 * (1 - matrix))
    assert figure.axes[0].get_yticklabels()[0].get_text() == "class 0"
