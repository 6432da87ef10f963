"""Which runs belong together, what they are called, their means, and which group is best."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report.folders import MATRIX, make_run, summary

from clearctl.report.groups import Group, best, group_runs, shown, spread
from clearctl.report.runs import find_runs


def groups_of(folder: Path) -> list[Group]:
    return group_runs(find_runs([folder]))


def names(groups: list[Group]) -> list[list[str]]:
    return [[run.folder.name for run in group.runs] for group in groups]


def test_seeds_and_split_seeds_belong_together(tmp_path: Path) -> None:
    for seed in (2, 0, 1):
        make_run(tmp_path / f"run{seed}", seed=seed, **{"scenario.seed": seed + 5})
    [group] = groups_of(tmp_path)
    assert [run.seed for run in group.runs] == [0, 1, 2]
    assert (group.label, group.settings) == ("naive", {})


@pytest.mark.parametrize("where", ["scenario.dataset_root", "work_dir", "data.cache_dir", "name", "normalize"])
def test_where_things_lie_and_what_is_no_section_do_not_matter(tmp_path: Path, where: str) -> None:
    make_run(tmp_path / "1", **{where: "/here", "data.workers": 0})
    make_run(tmp_path / "2", 2 * [[0.5] * 3] + [[0.6] * 3], 1, **{where: "/there", "data.workers": 0})
    assert names(groups_of(tmp_path)) == [["1", "2"]]


def test_a_learning_rate_sets_them_apart(tmp_path: Path) -> None:
    for seed in (0, 1):
        for lr in (0.1, 1.0):
            make_run(tmp_path / f"{lr}-{seed}", seed=seed, **{"cl_strategy.optimizer.lr": lr})
    groups = groups_of(tmp_path)
    assert names(groups) == [["0.1-0", "0.1-1"], ["1.0-0", "1.0-1"]]
    assert [group.label for group in groups] == ["naive, lr=0.1", "naive, lr=1.0"]
    assert [group.settings for group in groups] == [{"cl_strategy.optimizer.lr": lr} for lr in (0.1, 1.0)]


def test_a_number_and_its_text_are_different_settings(tmp_path: Path) -> None:
    make_run(tmp_path / "1", **{"cl_strategy.optimizer.lr": 1})
    make_run(tmp_path / "2", seed=1, **{"cl_strategy.optimizer.lr": "1"})
    assert len(groups_of(tmp_path)) == 2


def test_a_setting_that_one_lacks(tmp_path: Path) -> None:
    make_run(tmp_path / "1")
    make_run(tmp_path / "2", **{"cl_strategy.mem_size": 5})
    groups = groups_of(tmp_path)
    assert [group.settings for group in groups] == [{}, {"cl_strategy.mem_size": 5}]
    assert [group.label for group in groups] == ["naive, mem_size=-", "naive, mem_size=5"]


def test_other_datasets_are_other_groups(tmp_path: Path) -> None:
    make_run(tmp_path / "1")
    make_run(tmp_path / "2", seed=1, filelists="1" * 64)
    assert [group.label for group in groups_of(tmp_path)] == ["naive", "naive (2)"]


def test_labels_stay_short_on_one_line_and_apart(tmp_path: Path) -> None:
    for number in range(3):
        values = {f"cl_strategy.argument_{letter}": f"{number}\n\x1b[1m{'x' * 100}" for letter in "abcdefgh"}
        make_run(tmp_path / str(number), **values)
    labels = [group.label for group in groups_of(tmp_path)]
    assert len(set(labels)) == 3
    for number, label in enumerate(labels):
        assert label.startswith(f"naive, argument_a={number} [1mxxx")
        assert label.endswith(", ...")
        assert label.isprintable()
        assert len(label) < 250


def test_mean_and_std_of_matrices(tmp_path: Path) -> None:
    for seed, value in enumerate((0.2, 0.4, 0.9)):
        make_run(tmp_path / str(seed), [[value, 0.5], [0.5, value]], seed)
    [group] = groups_of(tmp_path)
    # the mean is 0.5; (0.09 + 0.01 + 0.16) / (3 - 1) = 0.13
    assert group.mean.tolist() == [[pytest.approx(0.5), 0.5], [0.5, pytest.approx(0.5)]]
    assert group.std is not None
    assert group.std.tolist() == [[pytest.approx(math.sqrt(0.13)), 0.0], [0.0, pytest.approx(math.sqrt(0.13))]]


@given(data=st.data(), size=st.integers(1, 5), count=st.integers(1, 4))
def test_numbers_of_a_group_by_hand(tmp_path_factory: pytest.TempPathFactory, data, size: int, count: int) -> None:
    accuracies = st.lists(st.integers(0, 1000).map(lambda n: n / 1000), min_size=size, max_size=size)
    root = tmp_path_factory.mktemp("runs")
    found = []
    for seed in range(count):
        matrix = data.draw(st.lists(accuracies, min_size=size, max_size=size))
        untrained = data.draw(accuracies)
        make_run(root / str(seed), matrix, seed, untrained=untrained)
        clear, gem = summary(matrix, untrained)
        found.append({**clear, **gem})
    [group] = groups_of(root)
    for name in found[0]:
        values = [numbers[name] for numbers in found]
        mean = sum(values) / count
        got = group.numbers[name]
        assert got.n == count
        assert got.mean == pytest.approx(mean, abs=1e-12, nan_ok=True)
        if count == 1:
            assert got.std is None
        else:
            std = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
            assert got.std == pytest.approx(std, abs=1e-12, nan_ok=True)


def test_spread_of_nan() -> None:
    for values, std in (([math.nan], None), ([math.nan, 1.0], math.nan)):
        found = spread(values)
        assert math.isnan(found.mean)
        assert found.std == pytest.approx(std, nan_ok=True)


def test_only_the_runs_with_the_most_buckets_count(tmp_path: Path) -> None:
    make_run(tmp_path / "1", MATRIX, 0)
    make_run(tmp_path / "2", MATRIX[:2], 1)
    [group] = groups_of(tmp_path)
    assert [run.seed for run in group.counted] == [0]
    assert group.mean.tolist() == [list(row) for row in MATRIX]
    assert group.std is None
    assert group.numbers["accuracy"].n == 1


def test_a_group_that_is_still_going_has_no_summary(tmp_path: Path) -> None:
    make_run(tmp_path / "1", MATRIX[:2], 0)
    make_run(tmp_path / "2", MATRIX[:2], 1)
    [group] = groups_of(tmp_path)
    assert list(group.numbers) == ["training_s"]
    assert group.mean.shape == (2, 3)
    assert not group.complete


def test_best_is_the_largest_but_of_times_the_least(tmp_path: Path) -> None:
    better = [[value + 0.05 for value in row] for row in MATRIX]
    make_run(tmp_path / "1", MATRIX, seconds=0.1)
    make_run(tmp_path / "2", better, seconds=0.5, **{"cl_strategy.type": "Replay"})
    groups = groups_of(tmp_path)
    assert best(groups, "accuracy") == {1}
    assert best(groups, "training_s") == {0}
    assert best(groups[:1], "accuracy") == set()


def test_what_looks_the_same_is_equally_good(tmp_path: Path) -> None:
    """0.84951 and 0.85049 are both 85.0 % in a table; 0.8496 and 0.8494 are not the same there."""
    values = {"1": 0.84951, "2": 0.85049, "3": 0.8494, "4": 0.8}
    for name, value in values.items():
        make_run(tmp_path / name, [[value, 0.5], [0.5, value]], **{"cl_strategy.mem_size": int(name)})
    groups = groups_of(tmp_path)
    assert best(groups, "in_domain") == {0, 1}
    assert best(groups, "next_domain") == {0, 1, 2, 3}
    assert best(groups[2:], "in_domain") == {0}


def test_nan_and_what_is_not_finished_are_never_best(tmp_path: Path) -> None:
    make_run(tmp_path / "1", [[0.9]], seconds=9.0)
    make_run(tmp_path / "2", [[0.8]], seconds=8.0, **{"cl_strategy.mem_size": 5})
    make_run(tmp_path / "3", MATRIX[:1], seconds=0.1)
    groups = groups_of(tmp_path)
    assert best(groups, "in_domain") == {0}
    assert best(groups, "next_domain") == set()
    assert best(groups, "training_s") == {1}


@pytest.mark.parametrize(
    ("number", "value", "text"),
    [
        ("accuracy", 0.8435, "84.4"),
        ("accuracy", 1.0, "100.0"),
        ("gem_bwt", -0.25, "-25.0"),
        ("gem_bwt", -0.0004, "0.0"),
        ("training_s", 12.345, "12.3"),
        ("accuracy", math.nan, "-"),
        ("accuracy", None, "-"),
    ],
)
def test_how_numbers_are_shown(number: str, value: float | None, text: str) -> None:
    assert shown(number, value) == text


def test_a_list_of_numbers_is_one_setting(tmp_path: Path) -> None:
    for number, alpha in enumerate(([0.0, 0.5], [0.0, 1.0])):
        make_run(tmp_path / str(number), [[0.5]], **{"cl_strategy.alpha": alpha})
    one, other = group_runs(find_runs([tmp_path]))
    assert one.settings == {"cl_strategy.alpha": [0.0, 0.5]}
    assert other.settings == {"cl_strategy.alpha": [0.0, 1.0]}
