"""Sweeps on this machine: real processes, that end, crash, are killed and continue."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from halting import Halt
from runs import require_same

from clearctl import layout, prepare_avalanche, rundir, train
from clearctl.engine.run.train import TrainResult
from clearctl.progress import BucketDone, Counted, EpochDone, Message
from clearctl.sweep.outcome import RunEnded, RunOutcome, RunProgress, RunStarted, SweepEvent
from clearctl.sweep.sweep import SweepPlan, plan_sweep, run_sweep

LR = "cl_strategy.optimizer.lr"
EPOCHS = "cl_strategy.train_epochs"


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As the runs of the sweep, so the runs that they are compared with."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass
class Record:
    """A listener that keeps what it is reported, and calls `act` with it."""

    act: Callable[[SweepEvent], None] = lambda event: None
    events: list[SweepEvent] = field(default_factory=list)
    most_at_a_time: int = 0
    under_way: int = 0

    def __call__(self, event: SweepEvent) -> None:
        self.events.append(event)
        self.under_way += isinstance(event, RunStarted)
        self.under_way -= isinstance(event, RunEnded)
        self.most_at_a_time = max(self.most_at_a_time, self.under_way)
        self.act(event)

    def of(self, index: int) -> list[Any]:
        return [event for event in self.events if not isinstance(event, Message) and event.index == index]


def straight(plan: SweepPlan, index: int, work_dir: Path, **other: object) -> TrainResult:
    """What `train` alone makes of a run like that of the plan, with one thread."""
    run = plan.runs[index]
    values = run.config.values
    keys = {
        "scenario.seed": values["scenario"]["seed"],
        LR: values["cl_strategy"]["optimizer"]["lr"],
        EPOCHS: values["cl_strategy"]["train_epochs"],
        **other,
    }
    return train(
        run.source,
        device="cpu",
        seed=run.seed,
        overrides=[f"{key}={value}" for key, value in keys.items()],
        dataset_root=values["scenario"]["dataset_root"],
        work_dir=work_dir,
    )


def files(run: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(run)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in run.rglob("*")
        if path.is_file()
    }


@contextmanager
def waiting_in(monkeypatch: pytest.MonkeyPatch, halt: Halt) -> Iterator[Halt]:
    """What is started within waits where the `halt` has it."""
    with monkeypatch.context() as patch, halt:
        for name, value in halt.environ.items():
            patch.setenv(name, value)
        yield halt


def folder(outcome: RunOutcome) -> Path:
    assert outcome.run is not None, outcome
    return outcome.run


def test_two_at_a_time_are_what_each_is_alone(features_config: Path, prepared: Path, tmp_path: Path) -> None:
    given = {"seeds": [0, 1], "grid": {LR: ["0.1", "0.5"]}, "dataset_root": prepared, "work_dir": tmp_path / "swept"}
    plan = plan_sweep([features_config], jobs=2, device="cpu", stack=False, **given)  # type: ignore[arg-type]
    assert (plan.jobs, plan.threads, plan.device) == (2, 1, "cpu")
    record = Record()
    result = run_sweep(plan, listener=record)
    assert [outcome.status for outcome in result.outcomes] == ["finished"] * 4
    assert record.most_at_a_time == 2
    for index, (run, outcome) in enumerate(zip(result.runs, result.outcomes, strict=True)):
        assert outcome.run is not None
        assert outcome.run.parent == tmp_path / "swept" / run.label
        require_same(outcome.run, straight(plan, index, tmp_path / "straight").run)
        assert outcome.matrix is not None
        assert (outcome.matrix == rundir.read_matrix(outcome.run)[0]).all()
        assert outcome.clear_metrics == rundir.read_eval(outcome.run)["clear_metrics"]
        assert rundir.read_environment(outcome.run)["torch_threads"] == 1
        kinds = [type(event) for event in record.of(index)]
        assert (kinds[0], kinds[-1]) == (RunStarted, RunEnded)
        reported = [type(event.event) for event in record.of(index) if isinstance(event, RunProgress)]
        assert {EpochDone, BucketDone, Counted} <= set(reported)  # of steps only one in a while is reported

    before = [files(folder(outcome)) for outcome in result.outcomes]
    again = plan_sweep([features_config], device="cpu", **given)  # type: ignore[arg-type]
    assert [run.state for run in again.runs] == ["finished"] * 4
    heard = Record()
    same = run_sweep(again, listener=heard)
    assert heard.events == []  # nor was a process started
    assert [outcome.run for outcome in same.outcomes] == [outcome.run for outcome in result.outcomes]
    for one, other in zip(same.outcomes, result.outcomes, strict=True):
        assert (one.matrix == other.matrix).all()  # type: ignore[union-attr]
        assert (one.clear_metrics, one.gem_metrics) == (other.clear_metrics, other.gem_metrics)
    assert [files(folder(outcome)) for outcome in same.outcomes] == before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("stack", [False, True])
def test_runs_forked_on_a_gpu_have_the_matrices_of_the_cpu(
    features_config: Path, prepared: Path, tmp_path: Path, stack: bool
) -> None:
    given: dict[str, Any] = {"seeds": [0, 1], "grid": {LR: ["0.1", "0.5"]}, "dataset_root": prepared, "jobs": 2}
    plan = plan_sweep([features_config], device="cuda", stack=stack, work_dir=tmp_path / "swept", **given)
    for index, outcome in enumerate(run_sweep(plan).outcomes):
        assert outcome.status == "finished", outcome
        assert rundir.read_environment(folder(outcome))["device"] == "cuda"
        assert outcome.matrix is not None
        expected = straight(plan, index, tmp_path / "straight").matrix
        assert abs(outcome.matrix - expected).max() <= 2 / 10 + 1e-9  # two of the ten samples that are tested


@pytest.mark.slow
def test_one_crashes_and_one_is_killed_and_the_rest_continues(
    features_config: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three jobs; then the same sweep again, with the fault fixed."""
    root = tmp_path / "dataset"
    shutil.copytree(prepared, root)
    prepare_avalanche(root, seeds=[2, 3])
    broken = layout.ratio_split_folder(root, 0.3, 1) / "2" / "test_indices.json"
    whole = broken.read_text()
    broken.write_text("[0, 999]")
    finished, crashing, killed = 0, 1, 2

    def plan() -> SweepPlan:
        given: dict[str, Any] = {"dataset_root": root, "work_dir": tmp_path / "swept", "device": "cpu"}
        return plan_sweep([features_config], seeds=[0, 1, 2, 3], grid={EPOCHS: ["30"]}, jobs=3, stack=False, **given)

    def kill(event: SweepEvent) -> None:
        """The third one, as the system does when memory runs out; it waits in its second bucket, after ten epochs."""
        if isinstance(event, RunProgress) and event.index == killed and isinstance(event.event, EpochDone):
            done = event.event
            if (done.bucket_number, done.epoch) == (2, 10):
                [run] = [run for run in (tmp_path / "swept/features").iterdir() if run.name.endswith("seed2")]
                [waiting] = halt.reached()
                assert int(rundir.lock_file(run).read_text()) == waiting
                os.kill(waiting, signal.SIGKILL)

    first = plan()
    assert (first.jobs, first.threads) == (3, 1)
    record = Record(kill)
    with waiting_in(monkeypatch, Halt(tmp_path / "halt", "*-seed2/metrics.jsonl", 30 + 3 + 10 + 1)) as halt:
        result = run_sweep(first, listener=record)
    assert record.most_at_a_time == 3
    assert [outcome.status for outcome in result.outcomes] == ["finished", "failed", "failed", "finished"]
    assert [run.seed for run, _ in result.failed] == [1, 2]
    crash, death = (outcome for _, outcome in result.failed)
    assert str(broken) in crash.error
    assert crash.exit_code == 4
    assert death.error == "its process was killed by SIGKILL: it may have run out of memory: use fewer --jobs"
    assert death.exit_code == 5

    broken.write_text(whole)
    before = files(folder(result.outcomes[finished]))
    second = plan()
    assert [run.state for run in second.runs] == ["finished", "new", "resume", "finished"]
    # As many threads as before, though fewer runs are left than go at a time.
    assert (second.jobs, second.threads) == (3, 1)
    record = Record()
    result = run_sweep(second, listener=record)
    assert [outcome.status for outcome in result.outcomes] == ["finished"] * 4
    assert record.of(finished) == []
    reported = [event.event.text for event in record.of(killed) if isinstance(getattr(event, "event", None), Message)]
    assert any(text.startswith(f"resuming {result.outcomes[killed].run} ") for text in reported), reported
    assert files(folder(result.outcomes[finished])) == before
    for index in (crashing, killed):
        require_same(folder(result.outcomes[index]), straight(second, index, tmp_path / "straight").run)


@pytest.mark.slow
def test_a_listener_whose_reader_is_gone(
    features_config: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `clearctl sweep ... 2>&1 | head`: what it raises continues, and no run is left behind."""
    work_dir = tmp_path / "swept"
    grid = {EPOCHS: ["10"]}
    plan = plan_sweep([features_config], grid=grid, dataset_root=prepared, work_dir=work_dir, jobs=1, device="cpu")

    def act(event: SweepEvent) -> None:
        if isinstance(event, RunProgress) and isinstance(event.event, EpochDone):
            raise BrokenPipeError

    # The run waits for the signal that then ends it.
    with waiting_in(monkeypatch, Halt(tmp_path / "halt", "*/metrics.jsonl", 3)), pytest.raises(BrokenPipeError):
        run_sweep(plan, listener=act)
    [run] = (work_dir / "features").iterdir()
    assert not rundir.lock_file(run).exists()
    assert not rundir.is_finished(run)


def private_bytes(pid: int) -> int:
    """What a process has in memory that no other shares."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells what processes share")
def test_the_features_are_in_memory_once(
    features_config: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "dataset"
    shutil.copytree(prepared, root)
    generator = torch.Generator().manual_seed(0)
    dimension, rows = 300_000, 0
    for bucket in ("0", "1", "2"):
        labels = [label for _, label in layout.read_filelist(layout.filelist_file(root, bucket))]
        file = layout.features_file(root, "wide", bucket)
        file.parent.mkdir(parents=True)
        torch.save((torch.randn(len(labels), dimension, generator=generator), labels), file)
        rows += len(labels)
    matrix_bytes = 4 * rows * dimension
    assert matrix_bytes > 120_000_000
    found: dict[int, int] = {}

    def look(event: SweepEvent) -> None:
        """At both, as the second bucket begins, in which they wait: all rows of the first have been read."""
        reported = event.event if isinstance(event, RunProgress) and event.index not in found else None
        if isinstance(reported, EpochDone) and reported.bucket_number == 2:
            runs = (tmp_path / "swept/features").glob(f"*-seed{event.index}")
            found[event.index] = private_bytes(int(rundir.lock_file(next(runs)).read_text()))
            if len(found) == 2:
                halt.release()

    grid = {"scenario.feature_type": ["wide"], "model.head.in_channels": [str(dimension)], EPOCHS: ["5"]}
    plan = plan_sweep(
        [features_config],
        seeds=[0, 1],
        grid=grid,
        dataset_root=root,
        work_dir=tmp_path / "swept",
        jobs=2,
        device="cpu",
    )
    halt = Halt(tmp_path / "halt", "*/metrics.jsonl", 5 + 3 + 2, until_signal=False)
    with waiting_in(monkeypatch, halt):
        result = run_sweep(plan, listener=look)
    assert [outcome.status for outcome in result.outcomes] == ["finished"] * 2, result.outcomes
    assert sorted(found) == [0, 1]
    # Weights, their gradients, batches, and what Python writes to take half of it.
    assert max(found.values()) < matrix_bytes, (found, matrix_bytes)


@pytest.mark.slow
def test_two_runs_that_decode_the_same_images_at_the_same_time(
    tiny_config: Path, prepared: Path, tmp_path: Path
) -> None:
    root = tmp_path / "dataset"
    shutil.copytree(prepared, root, ignore=shutil.ignore_patterns("image_cache"))
    given: dict[str, Any] = {"seeds": [0, 1], "grid": {"data.cache": ["disk"]}, "device": "cpu"}
    plan = plan_sweep([tiny_config], jobs=2, dataset_root=root, work_dir=tmp_path / "swept", **given)
    record = Record()
    result = run_sweep(plan, listener=record)
    assert [outcome.status for outcome in result.outcomes] == ["finished"] * 2, result.outcomes
    assert record.most_at_a_time == 2
    assert any((root / "training_folder/image_cache").rglob("*"))
    for index, outcome in enumerate(result.outcomes):
        assert outcome.matrix is not None
        assert (outcome.matrix == straight(plan, index, tmp_path / "straight", **{"data.cache": "off"}).matrix).all()


@pytest.mark.process
def test_what_is_forked_after_the_imports_can_use_a_gpu() -> None:
    """mmcv asks for a GPU as it is imported, after which torch refuses CUDA in every process that is forked."""
    code = """
import os, sys
from clearctl.sweep.worker_pool import import_libraries
import_libraries()
import torch
assert "mmcls.models" in sys.modules and "avalanche.training" in sys.modules
if os.fork() == 0:
    os._exit(3 if torch._C._cuda_isInBadFork() else 0)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code]).returncode == 0
