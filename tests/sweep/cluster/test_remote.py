"""Runs on machines that do not see the folders of the one that asked for them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from runs import require_same

from clearctl import rundir, train
from clearctl.engine.run.train import TrainResult
from clearctl.progress import BucketDone, Event, Listener, ignore
from clearctl.sweep.cluster import remote
from clearctl.sweep.cluster.folders import install_run, pack, unpack
from clearctl.sweep.cluster.remote import RemoteResult, RemoteTask, run_unit
from clearctl.sweep.plan import PlannedRun, make_plan


def run_task(task: RemoteTask, report: Listener) -> RemoteResult:
    (result,) = run_unit([task], [report])
    return result


def planned_in(folder: Path, config: Path, prepared: Path) -> PlannedRun:
    (planned,) = make_plan([config], work_dir=folder, dataset_root=prepared)
    return planned


@pytest.fixture
def alone(features_config: Path, prepared: Path, tmp_path: Path) -> TrainResult:
    return train(features_config, device="cpu", work_dir=tmp_path / "alone", dataset_root=prepared)


def test_a_run_comes_back_whole(alone: TrainResult, features_config: Path, prepared: Path, tmp_path: Path) -> None:
    planned = planned_in(tmp_path / "here", features_config, prepared)
    reported: list[Event] = []
    delivery = run_task(RemoteTask(planned, tmp_path / "not there", None, "cpu", 1), reported.append)
    assert not planned.work_dir.exists()
    assert delivery.outcome.status == "finished"
    assert delivery.packed is not None
    assert delivery.outcome.run is not None
    assert not delivery.outcome.run.exists()
    assert [event.bucket for event in reported if isinstance(event, BucketDone)] == ["0", "1", "2"]
    run = install_run(delivery.packed, delivery.outcome.run.name, planned)
    require_same(run, alone.run)
    assert rundir.read_config(run) == planned.config.values
    assert planned_in(tmp_path / "here", features_config, prepared).run == run
    second = install_run(delivery.packed, delivery.outcome.run.name, planned)
    assert second == run.with_name(f"{run.name}-2")
    assert sorted(path.name for path in planned.work_dir.iterdir()) == sorted([run.name, second.name])


def test_where_the_folder_is_seen_nothing_is_sent(features_config: Path, prepared: Path, tmp_path: Path) -> None:
    planned = planned_in(tmp_path / "here", features_config, prepared)
    token = tmp_path / "token"
    token.touch()
    delivery = run_task(RemoteTask(planned, token, None, "cpu", 1), ignore)
    assert delivery.packed is None
    assert delivery.outcome.run is not None
    assert delivery.outcome.run.parent == planned.work_dir


def test_one_that_was_killed_here_continues_there(
    alone: TrainResult, features_config: Path, prepared: Path, tmp_path: Path
) -> None:
    here = planned_in(tmp_path / "here", features_config, prepared).work_dir
    run = train(features_config, device="cpu", work_dir=here, dataset_root=prepared).run
    rundir.checkpoint_file(run, 3).unlink()  # as it is where a kill came before the last weights were written
    planned = planned_in(tmp_path / "here", features_config, prepared)
    assert (planned.state, planned.run) == ("resume", run)
    task = RemoteTask(planned, tmp_path / "not there", pack(run), "cpu", 1)
    delivery = run_task(task, ignore)
    assert delivery.outcome.status == "finished", delivery.outcome
    assert delivery.packed is not None
    assert install_run(delivery.packed, run.name, planned) == run
    require_same(run, alone.run)
    assert [path.name for path in here.iterdir()] == [run.name]


def test_a_fault_there_is_the_outcome(features_config: Path, prepared: Path, tmp_path: Path) -> None:
    planned = planned_in(tmp_path / "here", features_config, prepared)
    scenario = {**planned.config.values["scenario"], "dataset_root": str(tmp_path / "nowhere")}
    config = replace(planned.config, values={**planned.config.values, "scenario": scenario})
    delivery = run_task(RemoteTask(replace(planned, config=config), tmp_path / "no", None, "cpu", 1), ignore)
    assert (delivery.outcome.status, delivery.outcome.exit_code) == ("failed", 4)
    assert str(tmp_path / "nowhere") in delivery.outcome.error
    assert delivery.packed is None


def test_a_folder_is_packed_and_unpacked_as_it_is(alone: TrainResult, tmp_path: Path) -> None:
    unpack(pack(alone.run), tmp_path / "copy")
    require_same(tmp_path / "copy", alone.run)
    with pytest.raises(FileExistsError):
        unpack(pack(alone.run), tmp_path / "copy")


def test_the_next_run_on_the_same_features_does_not_read_them_again(
    features_config: Path, prepared: Path, tmp_path: Path
) -> None:
    matrices = []
    for name in ("one", "other"):
        planned = planned_in(tmp_path / name, features_config, prepared)
        run_task(RemoteTask(planned, tmp_path, None, "cpu", 1), ignore)
        matrices.append(id(remote._kept_streams[0].buckets[0].train.x))
    assert matrices[0] == matrices[1]


def test_a_stack_comes_back_whole_and_continues_there(
    alone: TrainResult, features_config: Path, prepared: Path, tmp_path: Path
) -> None:
    planned = make_plan([features_config], seeds=[0, 1], work_dir=tmp_path / "here", dataset_root=prepared)
    tasks = [RemoteTask(run, tmp_path / "not there", None, "cpu", 1) for run in planned]
    reported: list[list[Event]] = [[], []]
    results = run_unit(tasks, [events.append for events in reported])
    for events in reported:
        assert [event.bucket for event in events if isinstance(event, BucketDone)] == ["0", "1", "2"]
    for run, result in zip(planned, results, strict=True):
        assert result.packed is not None
        assert result.outcome.run is not None
        assert not run.work_dir.exists() or run is planned[1]
        installed = install_run(result.packed, result.outcome.run.name, run)
        assert rundir.read_environment(installed)["stacked"] == 2
        assert rundir.read_config(installed) == run.config.values
    assert np.abs(rundir.read_matrix(planned[0].work_dir / results[0].outcome.run.name)[0] - alone.matrix).max() < 0.2
