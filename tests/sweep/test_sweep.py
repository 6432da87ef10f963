"""What a sweep would do, said before anything is begun; and what is known of runs that were finished before."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from clearctl import plan_sweep, prepare_avalanche, run_sweep, rundir, train
from clearctl.errors import CapabilityError, ConfigError, DatasetError, UsageError
from clearctl.progress import BucketDone, Event
from clearctl.sweep import local

EPOCHS = "cl_strategy.train_epochs"


@pytest.fixture
def given(prepared: Path, tmp_path: Path) -> dict[str, Any]:
    return {"dataset_root": prepared, "work_dir": tmp_path / "runs", "device": "cpu"}


def test_how_many_go_at_a_time(
    features_config: Path, tiny_config: Path, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def shape(*configs: Path, **arguments: Any) -> tuple[int, int]:
        plan = plan_sweep(configs, **{**given, **arguments})
        return plan.jobs, plan.threads

    many = {"seeds": [0, 1], "grid": {EPOCHS: [str(number) for number in range(1, 11)]}}
    assert shape(features_config, **many) == (8, 1)
    assert shape(features_config, **many, jobs=3) == (3, 2)
    assert shape(features_config, **many, jobs=100) == (20, 1)
    assert shape(features_config, seeds=[0, 1]) == (2, 4)
    assert shape(features_config) == (1, 8)
    assert shape(tiny_config, seeds=[0, 1]) == (1, 8)  # images
    assert shape(tiny_config, features_config, seeds=[0, 1]) == (1, 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert shape(features_config, seeds=[0, 1]) == (2, 3)
    for nonsense in ("", "0", "2,2"):
        monkeypatch.setenv("OMP_NUM_THREADS", nonsense)
        assert shape(features_config, seeds=[0, 1]) == (2, 4)
    with pytest.raises(UsageError, match="jobs is 0: expected 1 or more"):
        shape(features_config, jobs=0)


def test_what_no_run_could_begin_with_is_said_once(
    features_config: Path, given: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="no dataset folder at .*nowhere") as caught:
        plan_sweep([features_config], seeds=[0, 1], **{**given, "dataset_root": tmp_path / "nowhere"})
    assert str(caught.value).count("nowhere") <= 2
    with pytest.raises(CapabilityError, match="--device cuda:99"):
        plan_sweep([features_config], **{**given, "device": "cuda:99"})
    with pytest.raises(ConfigError) as missing:
        plan_sweep([features_config], seeds=[0, 7, 8], grid={EPOCHS: ["1", "2"]}, **given)
    faults = str(missing.value).splitlines()
    assert ["no split of seed 7" in fault for fault in faults] == [True, False]
    assert ["no split of seed 8" in fault for fault in faults] == [False, True]
    with pytest.raises(ConfigError, match="no features 'other'") as other:
        plan_sweep([features_config], seeds=[0, 1], grid={"scenario.feature_type": ["other"]}, **given)
    assert len(str(other.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_needs_no_dataset_any_more(
    features_config: Path, prepared: Path, given: dict[str, Any], tmp_path: Path
) -> None:
    root = shutil.copytree(prepared, tmp_path / "dataset")
    given = {**given, "dataset_root": root}
    arguments = {**given, "work_dir": tmp_path / "runs/features"}
    result = train(features_config, seed=1, overrides=["scenario.seed=1"], **arguments)
    shutil.rmtree(root)
    plan = plan_sweep([features_config], seeds=[1], **given)
    assert plan.left == []
    assert plan.estimate_s() == 0
    [outcome] = run_sweep(plan).outcomes
    assert (outcome.status, outcome.run) == ("finished", result.run)
    assert (outcome.clear_metrics, outcome.gem_metrics) == (result.clear_metrics, result.gem_metrics)
    rundir.eval_file(result.run).write_text("{")
    [(run, outcome)] = run_sweep(plan).failed
    assert run.run == result.run
    assert f"{rundir.eval_file(result.run)} cannot be read" in outcome.error
    assert outcome.exit_code == 5


class Cut(Exception):
    """Ends a run in its middle."""


def cut_short(event: Event) -> None:
    if isinstance(event, BucketDone) and event.bucket_number == 2:
        raise Cut


def test_the_time_is_that_of_what_is_left(features_config: Path, given: dict[str, Any], tmp_path: Path) -> None:
    def plan(epochs: int, seeds: list[int]) -> Any:
        return plan_sweep([features_config], seeds=seeds, grid={EPOCHS: [str(epochs)]}, jobs=1, **given)

    # It is measured each time, perhaps beside other tests.
    assert plan(300_000, [0]).estimate_s() > 3 * plan(3000, [0]).estimate_s() > 0
    arguments = {**given, "work_dir": tmp_path / "runs/features"}
    with pytest.raises(Cut):
        train(features_config, seed=0, overrides=[f"{EPOCHS}=3"], listener=cut_short, **arguments)
    [run] = plan(3, [0]).runs
    assert run.state == "resume"
    from clearctl.sweep.sweep import _fraction_left

    assert _fraction_left(run) == pytest.approx(1 / 3)
    assert list((tmp_path / "runs").iterdir()) == [tmp_path / "runs/features"]


def test_splits_that_are_made_later(
    features_config: Path, prepared: Path, given: dict[str, Any], tmp_path: Path
) -> None:
    root = shutil.copytree(prepared, tmp_path / "dataset")
    given = {**given, "dataset_root": root}
    with pytest.raises(ConfigError, match="no split of seed 5"):
        plan_sweep([features_config], seeds=[5], **given)
    prepare_avalanche(root, seeds=[5])
    assert len(plan_sweep([features_config], seeds=[5], **given).left) == 1
