"""The names of groups: short, of what differs, and no two alike."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report.folders import make_run

from clearctl.errors import UsageError
from clearctl.report.groups import group_runs
from clearctl.report.labels import renamed
from clearctl.report.runs import find_runs


def labels(*places: Path) -> list[str]:
    return [group.label for group in group_runs(find_runs(list(places)))]


def test_a_setting_that_a_group_lacks_is_not_in_its_label(tmp_path: Path) -> None:
    make_run(tmp_path / "1")
    make_run(tmp_path / "2", **{"scenario.shot": 5})
    assert labels(tmp_path) == ["naive", "naive, shot=5"]


def test_the_fewest_settings_that_tell_all_apart(tmp_path: Path) -> None:
    """The learning rate differs in all four; the batch and the momentum do too, but say no more."""
    for number, lr in enumerate((0.1, 0.2, 0.1 + 0.2, 1e-05)):
        values = {"cl_strategy.optimizer.momentum": number // 2, "cl_strategy.train_mb_size": 8 * (number % 2 + 1)}
        make_run(tmp_path / str(number), **values, **{"cl_strategy.optimizer.lr": lr})
    assert labels(tmp_path) == ["naive, lr=0.1", "naive, lr=0.2", "naive, lr=0.3", "naive, lr=1e-05"]


def test_a_grid_has_both_of_its_settings_in_each_label(tmp_path: Path) -> None:
    for lr in (1, 2):
        for size in (8, 16):
            make_run(tmp_path / f"{lr}-{size}", **{"cl_strategy.optimizer.lr": lr, "cl_strategy.train_mb_size": size})
    assert labels(tmp_path) == [f"naive, train_mb_size={size}, lr={lr}" for lr in (1, 2) for size in (8, 16)]


def test_a_strategy_is_named_by_itself_and_other_types_by_their_section(tmp_path: Path) -> None:
    for number, (strategy, optimizer) in enumerate((("Naive", "SGD"), ("Naive", "Adam"), ("EWC", "SGD"))):
        values = {"cl_strategy.type": strategy, "cl_strategy.optimizer.type": optimizer}
        make_run(tmp_path / str(number), name="mine", **values)
    assert labels(tmp_path) == ["mine, Naive, optimizer=SGD", "mine, Naive, optimizer=Adam", "mine, EWC, optimizer=SGD"]


def test_keys_of_one_ending_have_more_of_their_path(tmp_path: Path) -> None:
    for number, (one, other) in enumerate(((1, 1), (1, 2), (2, 1))):
        plugins = [{"type": "A", "alpha": one}, {"type": "B", "alpha": other}]
        make_run(tmp_path / str(number), **{"cl_strategy.plugins": plugins})
    found = labels(tmp_path)
    assert found == [
        f"naive, plugins.0.alpha={one}, plugins.1.alpha={other}" for one, other in ((1, 1), (1, 2), (2, 1))
    ]


def test_long_values_are_cut_where_they_do_not_differ(tmp_path: Path) -> None:
    for number in range(2):
        make_run(tmp_path / f"{number}", **{"cl_strategy.text": f"{'x' * 100}{number}"})
        make_run(tmp_path / f"other/{number}", name="other", **{"cl_strategy.text": f"{number}{'x' * 100}"})
        make_run(tmp_path / f"both/{number}", name="both", **{"cl_strategy.text": f"{'x' * 50}{number}{'x' * 50}"})
    found = labels(tmp_path)
    assert found[0] == f"naive, text=...{'x' * 28}0"
    assert f"other, text=0{'x' * 28}..." in found
    assert f"both, text={'x' * 50}1{'x' * 50}" in found


def test_groups_of_equal_settings_are_named_by_buckets_dataset_or_folder(tmp_path: Path) -> None:
    make_run(tmp_path / "a/1")
    make_run(tmp_path / "a/2", [[0.5]], bucket_names=["0"])
    assert labels(tmp_path / "a") == ["naive, buckets=0–2", "naive, buckets=0"]
    for name in ("clear10", "clear100"):
        values = {"scenario.dataset_root": f"/data/{name}"}
        make_run(tmp_path / "b" / name, filelists=str(len(name)) * 64, **values)
    assert labels(tmp_path / "b") == ["naive, dataset=clear10", "naive, dataset=clear100"]
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "joint.csv").write_text("0.5")
    assert labels(tmp_path / "x/joint.csv", tmp_path / "y/joint.csv") == ["joint.csv, x", "joint.csv, y"]


def test_a_name_that_looks_like_another_with_its_settings(tmp_path: Path) -> None:
    make_run(tmp_path / "1", **{"cl_strategy.k": 1})
    make_run(tmp_path / "2", **{"cl_strategy.k": 2})
    make_run(tmp_path / "3", name="naive, k=2")
    found = labels(tmp_path)
    assert len(set(found)) == 3
    assert found[0] == "naive, k=1"


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([None, 1, "1", 1.0, True])), max_size=6, unique=True))
def test_no_two_labels_are_equal(pairs: list[tuple[str, object]]) -> None:
    from clearctl.report.labels import automatic_labels
    from clearctl.report.runs import Run

    def run(number: int, name: str) -> Run:
        nothing = dict(bucket_names=["0"], matrix=None, untrained=[], epochs=[], evaluation={}, finished=True)
        return Run(
            folder=Path(f"run {number}"), values={"name": name}, environment={"dataset": {}}, foreign=True, **nothing
        )  # type: ignore[arg-type]

    members = [(run(number, name), {} if value is None else {"k": value}) for number, (name, value) in enumerate(pairs)]
    found = automatic_labels(members)
    assert len(set(found)) == len(pairs)
    assert not any("=-" in label or "(2)" in label for label in found)


GIVEN = ["naive, lr=0.1", "naive, lr=1", "ewc"]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], GIVEN),
        (["ewc=EWC"], ["naive, lr=0.1", "naive, lr=1", "EWC"]),
        (["naive=Finetuning"], ["Finetuning, lr=0.1", "Finetuning, lr=1", "ewc"]),
        (["naive, lr=0.1=slow", "lr=1=fast"], ["slow", "naive, fast", "ewc"]),
        (["naive=N", "lr=0.1=a=b"], ["N, a=b", "N, lr=1", "ewc"]),
        (["naive=朴素\n微调"], ["朴素 微调, lr=0.1", "朴素 微调, lr=1", "ewc"]),
    ],
)
def test_labels_of_ones_own(texts: list[str], expected: list[str]) -> None:
    assert renamed(GIVEN, texts) == expected


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["ewd=EWC"], "--label ewd=EWC: no such label, or part of one; did you mean 'ewc'?\nKEY is one of: "),
        (["ewc"], "--label ewc: expected KEY=TEXT\nKEY is one of: naive, lr=0.1; naive, lr=1; ewc; naive; lr=0.1"),
        (["ewc="], "--label ewc=: expected KEY=TEXT"),
        (["lr=0.1=x", "lr=1=x"], "--label: 2 groups would have the label 'naive, x': give each a different one"),
    ],
)
def test_labels_that_are_refused(texts: list[str], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        renamed(GIVEN, texts)
    assert words in str(refused.value)
