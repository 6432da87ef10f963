"""Studies of Optuna: what is drawn depends on the seed and on the trials before, and on nothing else."""

import sys
from pathlib import Path

import pytest

from clearctl.errors import CapabilityError, RunError
from clearctl.sweep.grid import read_grid, read_ranges
from clearctl.sweep.select.search import BATCH, Search, Study, Trial, open_storage

GRID = read_grid(["lr=0.001..1.0:log", "epochs=1..9", "kind=Naive,'Cumulative'", "fixed=7"])


def open_study(storage: object, seed: int = 0, lower: bool = False) -> Study:
    return Study(storage, "c", GRID, Search(99, seed, read_ranges(GRID)), lower)


def value_of(trial: Trial) -> float | None:
    """Made up; every fifth fails."""
    values = dict(trial.combination)
    return None if trial.number % 5 == 4 else float(values["lr"]) + int(values["epochs"])


def carry_out(study: Study, batches: int) -> list[Trial]:
    for number in range(batches):
        for trial in study.batch(number):
            if not trial.is_told:
                study.tell(trial, value_of(trial))
    return [trial for number in range(batches) for trial in study.batch(number)]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    with open_storage(tmp_path_factory.mktemp("straight")) as storage:
        return carry_out(open_study(storage), 5)


def test_what_is_drawn_is_of_the_ranges_and_lists(straight: list[Trial]) -> None:
    assert [trial.number for trial in straight] == list(range(5 * BATCH))
    drawn = [dict(trial.combination) for trial in straight]
    assert all(list(one) == ["lr", "epochs", "kind", "fixed"] for one in drawn)
    assert all(0.001 <= float(one["lr"]) <= 1 and len(one["lr"]) <= 9 for one in drawn)
    assert {int(one["epochs"]) for one in drawn} <= set(range(1, 10))
    assert {one["kind"] for one in drawn} == {"Naive", "'Cumulative'"}
    assert {one["fixed"] for one in drawn} == {"7"}
    assert len({str(one) for one in drawn}) == len(drawn)
    assert [trial.value for trial in straight] == [value_of(trial) for trial in straight]


def test_the_search_learns(straight: list[Trial]) -> None:
    """The sum is larger where it has seen what makes it large."""
    values = [trial.value for trial in straight if trial.value is not None]
    assert sum(values[-6:]) / 6 > sum(values[:6]) / 6 + 1


def test_another_seed_draws_other_values(straight: list[Trial], tmp_path: Path) -> None:
    with open_storage(tmp_path / "other") as storage:
        study = open_study(storage, seed=1)
        assert study.is_new
        assert [trial.combination for trial in study.batch(0)] != [trial.combination for trial in straight[:BATCH]]


def num_told(study: Study) -> int:
    return sum(trial.state.is_finished() for trial in study._study.trials)


def test_a_search_that_is_stopped_draws_what_it_would_have(straight: list[Trial], tmp_path: Path) -> None:
    """Stopped with a batch drawn in part, drawn, told in part, told; the order of telling does not matter either."""
    folder = tmp_path / "stopped"
    with open_storage(folder) as storage:
        study = open_study(storage)
        study.batch(0)
    lines = (folder / "study.journal").read_text().splitlines(keepends=True)
    (folder / "study.journal").write_text("".join(lines[:-2]))  # killed when two of four were written
    with open_storage(folder) as storage:
        study = open_study(storage)
        assert not study.is_new
        assert (num_told(study), len(study.batch(0))) == (0, BATCH)
        for trial in reversed(study.batch(0)[1:]):
            study.tell(trial, value_of(trial))
    for batches in (2, 3, 3, 5):
        with open_storage(folder) as storage:
            study = open_study(storage)
            found = carry_out(study, batches)
            assert num_told(study) == batches * BATCH
    assert found == straight


def test_a_file_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "study.journal").write_text("not a study\nat all\n")
    with pytest.raises(RunError, match=r"study.journal cannot be read: .*\nremove it"), open_storage(tmp_path):
        pass


def test_two_at_a_time_are_one_too_many(tmp_path: Path) -> None:
    with open_storage(tmp_path), pytest.raises(RunError, match="is being changed by process"), open_storage(tmp_path):
        pass


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(CapabilityError, match=r"needs Optuna, .*\n.*pip install 'clearctl\[optuna\]'"):
        open_study(None)
