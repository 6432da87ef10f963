"""Which runs belong together, what they are called, their means, and which group is best."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report.folders import DIGEST, MATRIX, groups_of, make_run, summary

from clearctl.report.groups import Group, best, group_runs, shown, spread
from clearctl.report.runs import find_runs


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
    assert [group.label for group in groups] == ["naive", "naive, mem_size=5"]


def test_other_datasets_are_other_groups(tmp_path: Path) -> None:
    make_run(tmp_path / "1")
    make_run(tmp_path / "2", seed=1, filelists="1" * 64)
    assert [group.label for group in groups_of(tmp_path)] == ["naive, filelists=00000000", "naive, filelists=11111111"]


def test_labels_stay_short_on_one_line_and_apart(tmp_path: Path) -> None:
    for number in range(3):
        values = {f"cl_strategy.argument_{letter}": f"{number}\n\x1b[1m{'x' * 100}" for letter in "abcdefgh"}
        make_run(tmp_path / str(number), **values)
    labels = [group.label for group in groups_of(tmp_path)]
    assert len(set(labels)) == 3
    for number, label in enumerate(labels):
        assert label.startswith(f"naive, argument_a={number} [1mxxx")
        assert label.endswith("...")
        assert label.isprintable()
        assert len(label) < 60


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


def make_pair(folder: Path, value: float, spread: float = 0.0, size: int = 2, **values: Any) -> None:
    """Two seeds of a strategy, whose matrices are of `value` less and more `spread`."""
    given = {name: values.pop(name) for name in ("seconds", "environment", "filelists", "diverged") if name in values}
    for seed, number in enumerate((value - spread, value + spread)):
        make_run(folder / f"{value}-{seed}", [[number] * size] * size, seed, **given, **values)


def test_best_is_the_largest_but_of_times_the_least(tmp_path: Path) -> None:
    make_pair(tmp_path / "1", 0.8, 0.01, seconds=0.1)
    make_pair(tmp_path / "2", 0.9, 0.01, seconds=0.5, **{"cl_strategy.type": "Replay"})
    groups = groups_of(tmp_path)
    assert best(groups, "accuracy") == {1}
    assert best(groups, "training_s") == {0}
    assert best(groups[:1], "accuracy") == set()


def test_what_may_be_chance_is_not_best(tmp_path: Path) -> None:
    """Of two and two runs that differ by d and have the deviation s, t = d / s, and 4.30 is the 97.5 % quantile."""
    for number, (value, apart) in enumerate(((0.8, 0.01), (0.9, 0.01), (0.94, 0.01), (0.95, 0.05))):
        make_pair(tmp_path / str(number), value, apart, **{"cl_strategy.mem_size": number})
    groups = groups_of(tmp_path)
    # standard deviation of two values that are 2 × 0.01 apart: 0.01 × sqrt 2
    assert best(groups[:2], "accuracy") == {1}  # t = 0.1 / (0.01 sqrt 2) = 7.07
    assert best(groups[1:3], "accuracy") == set()  # t = 0.04 / (0.01 sqrt 2) = 2.83
    assert best(groups, "accuracy") == set()  # the last is not better than the third, by chance


@pytest.mark.slow
@given(data=st.data(), sizes=st.tuples(st.integers(2, 5), st.integers(2, 5)))
def test_best_is_what_scipy_says_of_it(tmp_path_factory: pytest.TempPathFactory, data, sizes: tuple[int, int]) -> None:
    from scipy.stats import ttest_ind

    root = tmp_path_factory.mktemp("runs")
    numbers = st.integers(300, 700).map(lambda n: n / 1000)
    a, b = (data.draw(st.lists(numbers, min_size=size, max_size=size, unique=True)) for size in sizes)
    for index, values in enumerate((a, b)):
        for seed, value in enumerate(values):
            make_run(root / f"{index}-{seed}", [[value]], seed, untrained=[0.1], **{"cl_strategy.mem_size": index})
    groups = groups_of(root)
    means = [sum(values) / len(values) for values in (a, b)]
    alike = shown("in_domain", means[0]) == shown("in_domain", means[1])
    clear = ttest_ind(a, b, equal_var=False).pvalue < 0.05 and not alike
    assert best(groups, "in_domain") == ({means.index(max(means))} if clear else set())


def test_a_single_run_and_one_that_looks_alike_are_not_best(tmp_path: Path) -> None:
    make_run(tmp_path / "0", [[0.99] * 2] * 2)
    for number, value in enumerate((0.8, 0.84951, 0.85049), 1):
        make_pair(tmp_path / str(number), value, **{"cl_strategy.mem_size": number})
    groups = groups_of(tmp_path)
    assert best(groups, "accuracy") == set()
    assert best(groups[1:3], "accuracy") == {1}
    assert best(groups[1:], "accuracy") == set()  # both are 85.0 in a table


def test_nan_and_what_is_not_finished_are_never_best(tmp_path: Path) -> None:
    make_pair(tmp_path / "1", 0.9, size=1, seconds=9.0)
    make_pair(tmp_path / "2", 0.8, size=1, seconds=8.0, **{"cl_strategy.mem_size": 5})
    make_run(tmp_path / "3", MATRIX[:1], seconds=0.1)
    groups = groups_of(tmp_path)[:2]
    assert best(groups, "in_domain") == {0}
    assert best(groups, "next_domain") == set()
    assert best(groups_of(tmp_path), "in_domain") == best(groups, "in_domain")


def test_nothing_is_best_across_datasets_and_no_time_across_machines(tmp_path: Path) -> None:
    make_pair(tmp_path / "1", 0.8, 0.001, seconds=0.1)
    make_pair(tmp_path / "2", 0.9, 0.001, seconds=0.5, **{"cl_strategy.mem_size": 5})
    assert best(groups_of(tmp_path), "accuracy") == {1}
    assert best(groups_of(tmp_path), "training_s") == {0}
    make_pair(tmp_path / "3", 0.7, 0.001, seconds=0.9, environment={"device_name": "H200"}, **{"cl_strategy.k": 5})
    assert best(groups_of(tmp_path), "accuracy") == {1}
    assert best(groups_of(tmp_path), "training_s") == set()
    make_pair(tmp_path / "4", 0.6, 0.001, filelists="1" * 64)
    assert best(groups_of(tmp_path), "accuracy") == set()


def test_accuracy_on_training_images_is_never_best(tmp_path: Path) -> None:
    streaming = {"scenario.evaluation_protocol": "streaming"}
    make_pair(tmp_path / "1", 0.8, 0.001, **streaming)
    make_pair(tmp_path / "2", 0.9, 0.001, **streaming, **{"cl_strategy.type": "Replay"})
    marked = {"in_domain", "accuracy", "backward_transfer", "gem_bwt", "challenge", "final_domain"}
    groups = groups_of(tmp_path)
    assert {group.on_training_images for group in groups} == {frozenset(marked)}
    found = {name: best(groups, name) for name in groups[0].numbers}
    assert found.pop("next_domain") == found.pop("forward_transfer") == found.pop("gem_fwt") == {1}
    del found["training_s"]
    assert set(found.values() and map(tuple, found.values())) == {()}
    make_pair(tmp_path / "3", 0.95, 0.001, **streaming, **{"cl_strategy.type": "JointTraining"})
    groups = groups_of(tmp_path)
    assert best(groups, "next_domain") == {1}  # what joint training has seen all of does not compete


DIVERGED = {"bucket": "1", "epoch": 2, "reason": "the loss is nan"}


def test_a_run_that_diverged_does_not_count_unless_it_is_included(tmp_path: Path) -> None:
    for seed in range(3):
        make_run(tmp_path / f"0-{seed}", [[0.5 + seed / 100]], seed)
    make_run(tmp_path / "0-3", [[0.99]], 3, diverged=DIVERGED)
    make_pair(tmp_path, 0.6, 0.001, size=1, **{"cl_strategy.mem_size": 1})
    one, _ = groups_of(tmp_path)
    assert [run.seed for run in one.counted] == [0, 1, 2]
    assert one.numbers["accuracy"].mean == pytest.approx(0.51)
    assert best(groups_of(tmp_path), "accuracy") == {1}
    included, other = group_runs(find_runs([tmp_path]), include_diverged=True)
    assert included.numbers["accuracy"].n == 4
    assert best([included, other], "accuracy") == set()


def test_where_all_runs_diverged_none_counts(tmp_path: Path) -> None:
    make_run(tmp_path / "1", MATRIX, diverged=DIVERGED)
    [group] = groups_of(tmp_path)
    assert (group.counted, group.numbers, group.complete, group.what) == ((), {}, False, "no run counts")
    assert group.mean.shape == (0, 3)


def test_divergence_of_a_run_that_did_not_note_it_shows_in_its_losses(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "1", MATRIX)
    evaluation = json.loads((folder / "eval.json").read_text())
    del evaluation["diverged"]
    (folder / "eval.json").write_text(json.dumps(evaluation))
    assert groups_of(tmp_path)[0].diverged == ()
    lines = (folder / "metrics.jsonl").read_text()
    for value in ("NaN", "Infinity", "null"):
        (folder / "metrics.jsonl").write_text(lines.replace('"loss": 1.0', f'"loss": {value}', 1))
        [run] = groups_of(tmp_path)[0].diverged
        assert run.diverged == {"bucket": "0", "epoch": 2, "reason": "the loss is not finite"}


def test_of_a_seed_the_newest_run_counts(tmp_path: Path) -> None:
    names = ("20260102-000000-seed0", "20260103-000000-seed0-2", "20260103-000000-seed0")
    for name, value in zip(names, (0.1, 0.2, 0.3), strict=True):
        make_run(tmp_path / name, [[value]])
    make_run(tmp_path / "other", [[0.9]], 1)
    [group] = groups_of(tmp_path)
    assert [run.folder.name for run in group.counted] == ["20260103-000000-seed0-2", "other"]
    assert group.numbers["accuracy"].n == 2


def test_a_split_seed_is_another_run_only_where_there_is_a_split(tmp_path: Path) -> None:
    for protocol, count in (("iid", 2), ("streaming", 1)):
        for seed in (0, 1):
            values = {"scenario.evaluation_protocol": protocol, "scenario.seed": seed}
            make_run(tmp_path / protocol / str(seed), MATRIX, 0, **values)
        [group] = groups_of(tmp_path / protocol)
        assert len(group.counted) == count


@pytest.mark.parametrize(
    ("environment", "settings"),
    [
        ({"dataset": {"features": "1" * 64}}, {"dataset.features": "11111111"}),
        ({"dataset": {"class_names": ["a", "b"]}}, {"dataset.class_names": "21fb5f0f"}),
        ({"weights": {"load_from": "1" * 64}}, {"weights.load_from": "11111111"}),
    ],
)
def test_other_data_under_the_same_config_are_other_groups(
    environment: dict[str, Any], settings: dict[str, str], tmp_path: Path
) -> None:
    same = {"weights": {"load_from": DIGEST}, "dataset": {}}
    for seed in (0, 1):
        make_run(tmp_path / f"1-{seed}", MATRIX, seed, environment=same, load_from="/a.pth")
        make_run(tmp_path / f"2-{seed}", MATRIX, seed, environment={**same, **environment}, load_from="/a.pth")
    groups = groups_of(tmp_path)
    assert names(groups) == [["1-0", "1-1"], ["2-0", "2-1"]]
    [key] = settings
    if key != "dataset.class_names":
        assert groups[1].settings == settings
    assert [group.label.startswith(f"naive, {key.partition('.')[2]}=") for group in groups] == [True, True]


def test_the_same_weights_under_two_names_are_one_group(tmp_path: Path) -> None:
    for seed, file in enumerate(("/a.pth", "/b.pth")):
        make_run(tmp_path / file[1:], MATRIX, seed, environment={"weights": {"load_from": DIGEST}}, load_from=file)
    assert len(groups_of(tmp_path)) == 1
    make_run(tmp_path / "old", MATRIX, 2, load_from="/a.pth")  # of a version that noted no digest
    assert len(groups_of(tmp_path)) == 2


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
