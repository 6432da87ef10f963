"""A stack in the process that an engine gives it: what one of its runs lacks, or has already, is not the others'."""

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from clearctl import layout, plan_sweep, rundir
from clearctl.config.fill import fill
from clearctl.engine.stack import train as stack
from clearctl.errors import CapabilityError
from clearctl.progress import EpochDone, Event, ignore
from clearctl.sweep.outcome import RunOutcome
from clearctl.sweep.plan import PlannedRun
from clearctl.sweep.work import execute_run, execute_stack

LR = "cl_strategy.optimizer.lr"


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def given(features_config: Path, prepared: Path, tmp_path: Path) -> dict[str, Any]:
    return {"configs": [features_config], "dataset_root": prepared, "work_dir": tmp_path / "runs", "device": "cpu"}


def together(runs: list[PlannedRun], listeners: list[Any] | None = None) -> list[RunOutcome]:
    return execute_stack(runs, device="cpu", threads=1, listeners=listeners or [ignore] * len(runs))


def folder(outcome: RunOutcome) -> Path:
    assert outcome.run is not None, outcome
    return outcome.run


def contents(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_one_that_cannot_begin_fails_alone(given: dict[str, Any], prepared: Path, tmp_path: Path) -> None:
    root = shutil.copytree(prepared, tmp_path / "dataset")
    broken = layout.ratio_split_folder(root, 0.3, 0) / "1" / "test_indices.json"
    broken.write_text("[0, 999]")
    plan = plan_sweep(**{**given, "dataset_root": root}, seeds=[0, 1], grid={LR: ["0.1", "0.2"]})
    outcomes = together(plan.runs)
    assert [outcome.status for outcome in outcomes] == ["failed", "finished", "failed", "finished"]
    for outcome in outcomes[::2]:
        assert str(broken) in outcome.error
        assert outcome.exit_code == 4
    for outcome in outcomes[1::2]:
        assert rundir.read_environment(folder(outcome))["stacked"] == 2


def test_nothing_is_removed_that_a_stack_did_not_leave(given: dict[str, Any], tmp_path: Path) -> None:
    """One run is finished by another sweep after the plan was made, one is damaged, one was stopped in a stack."""
    runs = plan_sweep(**given, seeds=[0, 1], grid={LR: ["0.1", "0.2"]}).runs
    first = [folder(outcome) for outcome in together(runs)]
    last = [rundir.checkpoint_file(run, 3) for run in first]
    aside = shutil.move(last[0], tmp_path / "aside.pth")
    rundir.matrix_file(first[1]).write_text("damaged")
    last[2].unlink()
    runs = plan_sweep(**given, seeds=[0, 1], grid={LR: ["0.1", "0.2"]}).runs
    assert [run.state for run in runs] == ["resume", "resume", "resume", "finished"]
    shutil.move(aside, last[0])
    before = [contents(run) for run in first]
    outcomes = together(runs[:3])
    assert [outcome.status for outcome in outcomes] == ["finished", "failed", "finished"]
    assert folder(outcomes[0]) == first[0]
    assert f"{rundir.matrix_file(first[1])} cannot be read" in outcomes[1].error
    assert [contents(run) for run in first[:2]] == before[:2]
    assert folder(outcomes[2]).parent == first[2].parent
    assert list(first[2].parent.glob("*-seed0")) == [folder(outcomes[2])]


def test_a_stack_in_parts_fails_part_by_part(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = plan_sweep(**given, grid={LR: ["0.1", "0.2", "0.3", "0.4", "0.5"]}).runs
    monkeypatch.setattr(stack, "CPU_BYTES", 2.5 * stack.bytes_a_run(fill(runs[0].config)))

    def act(event: Event) -> None:
        if isinstance(event, EpochDone):
            raise error

    error: BaseException = RuntimeError("an error in the middle")
    outcomes = together(runs, [ignore, ignore, ignore, act, ignore])
    assert [outcome.status for outcome in outcomes] == ["finished", "finished", "failed", "failed", "finished"]
    assert outcomes[2].error == "RuntimeError: an error in the middle"

    runs = plan_sweep(**given, grid={LR: ["0.1", "0.2", "0.3", "0.4", "0.5"]}).runs
    assert [run.state for run in runs] == ["finished", "finished", "resume", "resume", "finished"]
    error = KeyboardInterrupt()
    outcomes = together([runs[2], runs[3], *plan_sweep(**given, grid={LR: ["0.6"]}).runs], [ignore, act, ignore])
    assert [outcome.status for outcome in outcomes] == ["stopped"] * 3
    assert outcomes[2].error == "stopped before it started"


def test_a_stack_and_a_run_alone_have_the_same_outcome(given: dict[str, Any], tmp_path: Path) -> None:
    runs = plan_sweep(**given, seeds=[0, 1]).runs
    alone = plan_sweep(**{**given, "work_dir": tmp_path / "alone"}, seeds=[0, 1]).runs
    for one, planned in zip(together(runs), alone, strict=True):
        other = execute_run(planned, device="cpu", threads=1, listener=ignore)
        assert (one.status, one.clear_metrics) == (other.status, other.clear_metrics)


def test_runs_whose_features_do_not_fit_are_carried_out_alone(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_sweep(**given, grid={LR: ["0.1", "0.2"]})
    expected = [outcome.matrix for outcome in together(plan.runs)]
    monkeypatch.setattr("clearctl.engine.build.stream.available_bytes", lambda: 0)
    gc.collect()  # of the features that are in memory still
    outcomes = together(
        plan_sweep(**{**given, "work_dir": given["work_dir"] / "mapped"}, grid={LR: ["0.1", "0.2"]}).runs
    )
    for outcome, matrix in zip(outcomes, expected, strict=True):
        assert outcome.status == "finished", outcome
        assert "stacked" not in rundir.read_environment(folder(outcome))
        assert torch.allclose(torch.tensor(outcome.matrix), torch.tensor(matrix))
    with pytest.raises(CapabilityError, match="the features do not fit in memory, and a stack holds them there"):
        stack.train_stack(
            [planned.config for planned in plan.runs], device="cpu", sources=["", ""], listeners=[ignore] * 2
        )
