"""A run and what is around it, over a kill: files it cannot write or read, torch's threads, workers, other loggers."""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from blobs import BASES
from halting import PATIENCE_S, until
from killing import KILLED, ChildProcess, Work, run_process
from runs import METRICS, WATCHED, newest, require_same, sentence, straight
from test_loggers import curves, history, logs_of, steps_of

from clearctl import rundir

pytest_plugins = ("blobs",)

METRICS_ALONE = f"metrics={METRICS!r}"


def killed(config: Path, work_dir: Path, at: tuple[Any, ...] = ("step", 1, 1, 3), **how: Any) -> Path:
    """A run folder whose process was killed; `how` has fields of Work, and `given` arguments of train."""
    given = {"device": "cpu", "work_dir": work_dir, **how.pop("given", {})}
    ended = run_process(config, arguments=given, at=at, **{"saving": "epochs", **how})
    assert ended.exit_code == KILLED, ended
    [run] = work_dir.iterdir()
    return run


# Files that no longer fit on the disk


def sizes(run: Path) -> dict[str, int]:
    """Of all files that a run needs."""
    files = [file for file in run.rglob("*") if file.is_file() and file != rundir.report_file(run)]
    return {str(file.relative_to(run)): file.stat().st_size for file in files}


@pytest.mark.parametrize(
    ("name", "overrides", "train_epochs"),
    [
        ("metrics.jsonl", ("metrics=[]", "loggers=[]"), 25),
        ("eval.json", (METRICS_ALONE, "loggers=[]"), 2),
        ("log.txt", WATCHED, 2),
        ("environment.json", ("metrics=[]", "loggers=[]"), 2),
    ],
)
def test_a_file_that_cannot_be_written_ends_the_run_with_what_to_do(
    name: str, overrides: tuple[str, ...], train_epochs: int, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    config = write_config("naive", train_epochs=train_epochs)
    whole = straight(config, tmp_path / "straight", saving="nothing", overrides=overrides).run
    run = killed(config, tmp_path / "killed", given={"overrides": overrides}, at=("step", 1, 0, 1))
    there = sizes(whole)
    largest = there.pop(name)
    if name == "environment.json":  # the first that is written
        there = {"config.py": there["config.py"]}
    limit = (max(there.values()) + largest) // 2
    assert max(there.values()) < limit < largest
    full = run_process(run, most_bytes=limit)
    assert (full.exit_code, full.error) == (5, "RunError"), full
    first, second = full.text.splitlines()
    assert re.fullmatch(rf"{re.escape(str(run))}\S* cannot be written: File too large", first)
    assert second == f"resume with `clearctl resume {run}`"
    assert len(full.warnings) <= 1  # of the state
    assert run_process(run).require().warnings == []
    require_same(run, whole)


@pytest.mark.parametrize("name", ["metrics.jsonl", "eval.json"])
def test_a_first_start_on_a_full_disk(name: str, write_config: Callable[..., Path], tmp_path: Path) -> None:
    overrides = ("metrics=[]" if name == "metrics.jsonl" else METRICS_ALONE, "loggers=[]")
    config = write_config("naive", train_epochs=25 if name == "metrics.jsonl" else 2)
    whole = straight(config, tmp_path / "straight", saving="nothing", overrides=overrides).run
    there = sizes(whole)
    largest = there.pop(name)
    ended = run_process(
        config,
        arguments={"device": "cpu", "work_dir": tmp_path / "full", "overrides": overrides},
        most_bytes=(max(there.values()) + largest) // 2,
    )
    [run] = (tmp_path / "full").iterdir()
    assert (ended.exit_code, ended.error) == (5, "RunError")
    assert ended.text.splitlines()[1] == f"resume with `clearctl resume {run}`"
    again = run_process(run).require()
    assert sentence(run, None) in again.said  # no state did fit either
    require_same(run, whole)


def test_a_first_start_on_a_disk_that_is_full_already(write_config: Callable[..., Path], tmp_path: Path) -> None:
    config, runs = write_config("naive"), tmp_path / "full"
    # Which reading the config and its base takes; what is written of them has the metrics too.
    room = max(file.stat().st_size for file in (config, BASES / "naive.py")) + 100
    ended = run_process(
        config, arguments={"device": "cpu", "work_dir": runs, "overrides": (METRICS_ALONE,)}, most_bytes=room
    )
    assert (ended.exit_code, ended.error) == (5, "RunError"), ended
    assert ended.text == f"{runs} is not writable: File too large"
    assert list(runs.iterdir()) == []


# Files that cannot be read


@pytest.mark.parametrize("text", ["", "{", "[]", '"text"', "\udcff", '{"seed": 0', '{"device": 3}', '{"packages": 3}'])
def test_damaged_environment(text: str, write_config: Callable[..., Path], tmp_path: Path) -> None:
    config = write_config("naive")
    run = killed(config, tmp_path / "killed")
    file = rundir.environment_file(run)
    kept = file.read_bytes()
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    ended = run_process(run)
    assert (ended.exit_code, ended.error) == (5, "RunError"), ended
    assert ended.text.startswith(str(file))
    assert len(ended.text.splitlines()) <= 2
    assert newest(run) == (1, 1, 0)
    file.write_bytes(kept)
    run_process(run).require()
    require_same(run, straight(config, tmp_path / "straight").run)


@pytest.mark.parametrize("cut", [0, 30, 200])
def test_damaged_config(cut: int, write_config: Callable[..., Path], tmp_path: Path) -> None:
    config = write_config("naive")
    run = killed(config, tmp_path / "killed")
    file = rundir.config_file(run)
    kept = file.read_bytes()
    file.write_bytes(kept[:cut])
    ended = run_process(run)
    assert (ended.exit_code, ended.error) in ((3, "ConfigError"), (5, "RunError")), ended
    assert str(file) in ended.text
    file.write_bytes(kept)
    run_process(run).require()
    require_same(run, straight(config, tmp_path / "straight").run)


# Threads


def test_threads_of_a_run_stay(write_config: Callable[..., Path], tmp_path: Path) -> None:
    wide = dict(type="StackedLinearClsHead", num_classes=3, in_channels=8, mid_channels=[50_000])
    # The norm is a sum over all weights, and every step is scaled by it.
    clipping = [dict(type="GradientClipping", max_norm=1.0, norm_type=1.0)]
    config = write_config("naive", model=dict(head=wide), optimizer=dict(type="SGD", lr=0.01), plugins=clipping)
    overrides = {"overrides": ("checkpoint_config={'interval': 3}",)}
    given = {"device": "cpu", **overrides}
    one, two = (
        run_process(
            config, arguments={**given, "work_dir": tmp_path / str(threads)}, threads=threads, saving="nothing"
        ).require()
        for threads in (1, 2)
    )
    run = killed(config, tmp_path / "killed", given=overrides, threads=2)
    ended = run_process(run, threads=1).require()
    assert "torch uses 2 threads, as in the run, instead of 1" in ended.said
    assert json.loads((run / "environment.json").read_text())["torch_threads"] == 2
    require_same(run, two.run)
    last = "checkpoints/exp_3.pth"
    assert (one.run / last).read_bytes() != (two.run / last).read_bytes(), "the number of threads plays no part here"


# Worker processes


@pytest.mark.slow
def test_worker_processes_end_with_a_killed_run(tiny_config: Path, prepared: Path, tmp_path: Path) -> None:
    given = dict(dataset_root=prepared, overrides=(*WATCHED, "data.workers=2", "data.cache=off"))
    arguments = {"device": "cpu", "work_dir": tmp_path / "killed", **given}
    child = ChildProcess(Work(tiny_config, arguments, at=("step", 1, 1, 2), signals=(), saving="epochs"))
    child.wait_for("at")
    workers = psutil.Process(child.pid).children(recursive=True)
    assert len(workers) == 2
    os.kill(child.pid, signal.SIGKILL)
    assert child.end().exit_code == KILLED
    [run] = (tmp_path / "killed").iterdir()
    assert sentence(run, (1, 1, 0)) in run_process(run).require().said  # at once: no worker holds the run
    require_same(run, straight(tiny_config, tmp_path / "straight", saving="nothing", **given).run)
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE_S)  # torch's workers look every 5 s for their parent
    assert alive == []


# Loggers


def test_tensorboard_has_every_step_once(write_config: Callable[..., Path], tmp_path: Path) -> None:
    overrides = (METRICS_ALONE, "loggers=[{'type': 'TensorboardLogger'}]")
    config = write_config("agem")
    whole = straight(config, tmp_path / "straight", saving="nothing", overrides=overrides).run
    run = killed(config, tmp_path / "killed", given={"overrides": overrides}, at=("step", 1, 0, 2), saving="steps")
    for at in (("step", 1, 1, 2), ("test", 1, 2, 2), ("step", 2, 1, 3)):
        assert run_process(run, at=at, saving="epochs").exit_code == KILLED
    run_process(run).require()
    found, expected = (curves(folder / "tensorboard") for folder in (run, whole))
    assert found == expected
    losses = [step for step, _ in found["Loss_MB/train_phase/train_stream/Task000"]]
    assert losses == list(range(len(losses)))
    assert len(losses) == 18
    assert len(list((run / "tensorboard").glob("*tfevents*"))) == 1


@pytest.mark.slow
def test_wandb_run_keeps_its_id(write_config: Callable[..., Path], tmp_path: Path) -> None:
    """Offline it has a folder for each process: together they have every step, as a run that never stopped has it."""
    home = tmp_path / "home"
    home.mkdir()
    environ = {"WANDB_MODE": "offline", "HOME": str(home)}
    overrides = (METRICS_ALONE, "loggers=[{'type': 'WandBLogger'}]")
    config = write_config("agem")
    arguments = {"device": "cpu", "work_dir": tmp_path / "straight", "overrides": overrides}
    whole = run_process(config, arguments=arguments, environ=environ, saving="nothing").require().run
    arguments["work_dir"] = tmp_path / "killed"
    child = ChildProcess(Work(config, arguments, at=("test", 1, 2, 2), signals=(), saving="epochs", environ=environ))
    child.wait_for("at")
    [run] = (tmp_path / "killed").iterdir()
    # W&B's own process writes once a second, whatever the run does.
    until(lambda: any(9 in steps_of(log) for log in logs_of(run, ended=False)))
    os.kill(child.pid, signal.SIGKILL)
    assert child.end().exit_code == KILLED
    [last, _] = sorted((run / "state").glob("bucket_0001_*"), reverse=True)
    last.unlink()
    assert newest(run) == (1, 1, 0)
    run_process(run, environ=environ).require()
    identity = json.loads((run / "environment.json").read_text())["wandb_run"]
    first, second = logs_of(run)
    assert first.name == second.name == f"run-{identity}.wandb"
    (log,) = logs_of(whole)
    assert log.name != first.name

    def rows(log: Path) -> dict[int, dict[str, float]]:
        """{step: its numbers}; pictures and tables are files with names of their own."""
        read = [{key: json.loads(value) for key, value in row.items()} for row in history(log)]
        steps = [row["_step"] for row in read]
        assert steps == sorted(set(steps))
        files = ("_", "ConfusionMatrix", "accuracy_matrix")
        return {row["_step"]: {key: row[key] for key in row if not key.startswith(files)} for row in read}

    before, after, expected = rows(first), rows(second), rows(log)
    assert min(after) == 9  # of bucket 1, the second epoch
    assert list(expected) == list(range(19))  # the last for what the end gives
    assert {"gem_bwt", "Top1_Acc_Stream/eval_phase/test_stream/Task000"} <= after[18].keys()
    assert {step: {**before.get(step, {}), **after.get(step, {})} for step in {*before, *after}} == expected


@pytest.mark.slow
def test_mlflow_has_every_value_once(write_config: Callable[..., Path], tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    overrides = (METRICS_ALONE, "loggers=[{'type': 'MLflowLogger'}]")
    config = write_config("agem")
    whole = straight(config, tmp_path / "straight", saving="nothing", overrides=overrides).run
    run = killed(config, tmp_path / "killed", given={"overrides": overrides}, at=("step", 1, 0, 2), saving="steps")
    for at in (("step", 1, 1, 2), ("test", 1, 2, 2)):
        assert run_process(run, at=at, saving="epochs").exit_code == KILLED
    run_process(run).require()

    def values(folder: Path) -> dict[str, list[tuple[int, float]]]:
        client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow/mlflow.db")
        [logged] = client.search_runs([each.experiment_id for each in client.search_experiments()])
        assert logged.info.run_id == json.loads((folder / "environment.json").read_text())["mlflow_run"]
        assert logged.info.status == "FINISHED"
        histories = {name: client.get_metric_history(logged.info.run_id, name) for name in logged.data.metrics}
        return {name: [(each.step, each.value) for each in found] for name, found in histories.items()}

    found = values(run)
    assert found == values(whole)
    assert len(found["Loss_MB/train_phase/train_stream/Task000"]) == 18
