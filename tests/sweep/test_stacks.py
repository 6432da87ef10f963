"""Runs of a sweep that are trained as one batched model."""

import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from clearctl import plan_sweep, run_sweep, rundir
from clearctl.engine.stack.train import train_stack
from clearctl.errors import Stopped
from clearctl.progress import EpochDone, Event, ignore
from clearctl.sweep.plan import PlannedRun
from clearctl.sweep.stacks import units
from clearctl.sweep.sweep import SweepPlan

GRID = {"cl_strategy.optimizer.lr": ["0.05", "0.1"]}
Planner = Callable[..., SweepPlan]


@pytest.fixture
def plan(features_config: Path, prepared: Path, tmp_path: Path) -> Planner:
    def make(name: str = "runs", **given: object) -> SweepPlan:
        return plan_sweep(
            [features_config],
            **{"seeds": [0, 1], "grid": GRID, "work_dir": tmp_path / name, "dataset_root": prepared, **given},
        )

    return make


def numbers(plan: SweepPlan) -> list[list[int]]:
    return [[index for index, _ in unit] for unit in plan.units]


def stopped_in_its_second_bucket(runs: Sequence[PlannedRun], monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the runs as one stack, which is stopped."""
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.default_int_handler)  # as in a terminal

    def stop(event: Event) -> None:
        if isinstance(event, EpochDone) and event.bucket_number == 2:
            signal.raise_signal(signal.SIGINT)

    configs, sources = [run.config for run in runs], [run.source for run in runs]
    with pytest.raises(Stopped):
        train_stack(configs, device="cpu", sources=sources, listeners=[stop, *[ignore] * (len(runs) - 1)])


def test_runs_are_stacked_unless_that_is_refused(plan: Planner) -> None:
    assert numbers(plan(device="cpu", stack=False)) == [[0], [1], [2], [3]]
    assert numbers(plan(device="cpu", jobs=1)) == [[0, 1, 2, 3]]


def test_each_job_has_a_stack_where_there_are_too_few(plan: Planner) -> None:
    assert numbers(plan(device="cpu", stack=True, jobs=2)) == [[0, 1], [2, 3]]
    assert numbers(plan(device="cpu", stack=True, jobs=3)) == [[2, 3], [0], [1]]
    assert numbers(plan(device="cpu", stack=True, jobs=9)) == [[0], [1], [2], [3]]


def test_the_longest_stacks_come_first_and_runs_alone_last(plan: Planner) -> None:
    types = {"cl_strategy.type": ["MAS", "Naive", "Cumulative"]}
    assert numbers(plan(device="cpu", stack=True, jobs=1, grid=types)) == [[4, 5], [2, 3], [0], [1]]
    assert numbers(plan(device="cpu", stack=False, jobs=1, grid=types)) == [[0], [1], [2], [3], [4], [5]]
    memory = {"type": ["AGEM"], "patterns_per_exp": ["20"], "train_mb_size": ["4"], "sample_size": ["4", "40"]}
    grid = {f"cl_strategy.{name}": values for name, values in memory.items()}
    assert numbers(plan(device="cpu", stack=True, jobs=1, grid=grid)) == [[2, 3], [0, 1]]


def test_what_differs_in_more_has_a_stack_of_its_own(plan: Planner) -> None:
    several = plan(device="cpu", stack=True, jobs=1, seeds=[0, 1], grid={"cl_strategy.train_mb_size": ["4", "8"]})
    assert numbers(several) == [[0, 1], [2, 3]]
    strategies = plan(device="cpu", stack=True, jobs=1, grid={"cl_strategy.type": ["Cumulative", "Naive"]})
    assert numbers(strategies) == [[0, 1], [2, 3]]
    optimizers = plan(device="cpu", stack=True, jobs=1, grid={"cl_strategy.optimizer.type": ["SGD", "RMSprop"]})
    assert numbers(optimizers) == [[0, 1], [2], [3]]


@pytest.mark.slow
def test_a_stacked_sweep_finds_what_runs_alone_find(plan: Planner) -> None:
    alone = run_sweep(plan("alone", device="cpu", jobs=2))
    stacked = run_sweep(plan("stacked", device="cpu", jobs=2, stack=True))
    assert not alone.failed
    assert not stacked.failed
    for one, other in zip(stacked.outcomes, alone.outcomes, strict=True):
        assert one.matrix is not None
        assert other.matrix is not None
        assert one.run is not None
        np.testing.assert_array_equal(one.matrix, other.matrix)
        assert json.loads(rundir.environment_file(one.run).read_text())["stacked"] == 2
    assert [run.state for run in plan("stacked", device="cpu", stack=True).runs] == ["finished"] * 4


@pytest.mark.slow
def test_a_stack_that_was_killed_is_a_stack_again(plan: Planner) -> None:
    first = run_sweep(plan(device="cpu", jobs=1, stack=True))
    for outcome in first.outcomes:  # as a kill in its first bucket's set-up leaves them
        assert outcome.run is not None
        rundir.checkpoint_file(outcome.run, 3).unlink()
    again = plan(device="cpu", jobs=1, stack=True)
    assert [run.state for run in again.runs] == ["resume"] * 4
    assert [[index for index, _ in unit] for unit in units(again.left, stack=True, jobs=1)] == [[0, 1, 2, 3]]
    second = run_sweep(again)
    assert not second.failed
    assert all(outcome.run is not None and outcome.run.exists() for outcome in second.outcomes)
    assert sorted(path for place in {run.work_dir for run in again.runs} for path in place.iterdir()) == sorted(
        outcome.run for outcome in second.outcomes if outcome.run is not None
    )
    for one, other in zip(first.outcomes, second.outcomes, strict=True):
        np.testing.assert_array_equal(one.matrix, other.matrix)


@pytest.mark.slow
def test_a_stack_that_was_stopped_continues_as_one(plan: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = run_sweep(plan("straight", device="cpu", jobs=1, stack=True))
    stopped_in_its_second_bucket(plan(device="cpu").runs, monkeypatch)
    left = plan(device="cpu", jobs=1, stack=True)
    assert [run.state for run in left.runs] == ["resume"] * 4
    assert numbers(left) == [[0, 1, 2, 3]]
    assert numbers(plan(device="cpu", jobs=1, stack=False)) == [[0], [1], [2], [3]]
    found = run_sweep(left)
    assert all(rundir.read_environment(outcome.run)["resumed"] for outcome in found.outcomes if outcome.run)
    for one, other in zip(found.outcomes, straight.outcomes, strict=True):
        assert one.run is not None
        assert rundir.read_environment(one.run)["stacked"] == 4
        np.testing.assert_array_equal(one.matrix, other.matrix)


@pytest.mark.slow
def test_one_of_a_stack_that_cannot_continue_says_so_alone(plan: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_in_its_second_bucket(plan(device="cpu").runs, monkeypatch)
    left = plan(device="cpu", jobs=1, stack=True)
    assert left.runs[2].run is not None
    for state in rundir.state_folder(left.runs[2].run).iterdir():
        state.write_bytes(b"damaged")
    outcomes = run_sweep(left).outcomes
    assert [outcome.status for outcome in outcomes] == ["finished", "finished", "failed", "finished"]
    assert "cannot be resumed" in (outcomes[2].error or "")


@pytest.mark.slow
def test_one_with_a_state_continues_alone(plan: Planner) -> None:
    run_sweep(plan(device="cpu", jobs=2))
    for run in plan(device="cpu").runs[:1]:
        assert run.run is not None
        rundir.checkpoint_file(run.run, 3).unlink()
        rundir.state_folder(run.run).mkdir()
        (rundir.state_folder(run.run) / "bucket_2.state").touch()
    left = plan(device="cpu", stack=True, jobs=1)
    assert [run.state for run in left.runs] == ["resume", "finished", "finished", "finished"]
    assert numbers(left) == [[0]]
