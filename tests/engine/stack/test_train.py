"""Stacked runs end as they would have alone: the orders and memories exactly, the numbers but for rounding."""

import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stacks import METRICS, STRATEGIES, Open, together

from clearctl import checksums, rundir
from clearctl.config.fill import fill
from clearctl.config.load import Config
from clearctl.digest import file_sha256
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.engine.run.evaluate import evaluate
from clearctl.engine.run.resume import resume
from clearctl.engine.run.train import TrainResult, start
from clearctl.engine.stack import key
from clearctl.engine.stack import train as stack
from clearctl.engine.stack.key import stack_key, why_not
from clearctl.engine.stack.opening import NEW, starting_bucket
from clearctl.engine.stack.train import resume_stack, train_stack
from clearctl.errors import ConfigError, RunError, Stopped, UsageError
from clearctl.progress import BucketDone, EpochDone, Event, ignore
from clearctl.strategies.traits import PLUGINS

TESTED = 10  # samples of a bucket, in the iid protocol

pytest_plugins = ("stacks",)


def alone(config: Config) -> TrainResult:
    return start(config, "here.py", device="cpu", listener=ignore)


def require_alike(found: TrainResult, expected: TrainResult, *, samples: int = 1) -> None:
    """The matrices but for `samples` of a bucket, the weights to 1e-5; the same names everywhere."""
    assert np.abs(found.matrix - expected.matrix).max() <= samples / TESTED + 1e-9
    assert found.bucket_names == expected.bucket_names
    for file in ("eval.json", "metrics.jsonl", "log.txt", "accuracy_matrix.csv", "report.html", "config.py"):
        assert (found.run / file).is_file(), file
    theirs = rundir.checkpoints(expected.run)
    assert list(rundir.checkpoints(found.run)) == list(theirs) == [1, 2, 3]
    for number, file in rundir.checkpoints(found.run).items():
        ours, other = (torch.load(path, weights_only=True) for path in (file, theirs[number]))
        assert list(ours) == list(other)
        for name in other:
            assert (ours[name] - other[name]).norm() <= 1e-5 * other[name].norm(), (number, name)


def require_same_reports(found: Path, expected: Path) -> None:
    """Every metric, epoch and line of the log; numbers but for rounding."""
    ours, theirs = rundir.read_eval(found), rundir.read_eval(expected)
    assert list(ours) == list(theirs)
    for phase in ("train", "test"):
        for number in theirs[phase]:
            assert ours[phase][number] == pytest.approx(theirs[phase][number], rel=1e-4, abs=1e-5)
    assert ours["untrained"] == theirs["untrained"]
    for mine, other in zip(rundir.read_metrics(found), rundir.read_metrics(expected), strict=True):
        assert list(mine) == list(other)
        for name, value in other.items():
            if name != "seconds":
                assert mine[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-4)), name
    logs = [re.sub(r"-?\d+\.\d+", "x", (run / "log.txt").read_text()) for run in (found, expected)]
    assert logs[0] == logs[1]


CASES = [
    pytest.param(
        variants, id=name, marks=[pytest.mark.slow] if name.endswith(("buckets", "classes", "parametric")) else []
    )
    for name, variants in STRATEGIES.items()
]


def test_all_that_may_be_stacked_is_tried() -> None:
    def tried(name: str, *default: str) -> set[str]:
        given = [values[name] for variants in STRATEGIES.values() for values in variants if name in values]
        return {*default, *(value if isinstance(value, str) else value["type"] for value in given)}

    assert tried("cl_strategy.type", "Naive") == {name for name, traits in key.STRATEGIES.items() if traits.stackable}
    assert tried("cl_strategy.optimizer", "SGD") == set(key.OPTIMIZERS)
    assert tried("model.head", "LinearClsHead") == set(key.HEADS)
    assert tried("cl_strategy.buffer") == set(CATALOGUE.buffers.classes)
    plugins = [values.get("cl_strategy.plugins", []) for variants in STRATEGIES.values() for values in variants]
    assert {entry["type"] for entries in plugins for entry in entries} == {
        name for name, traits in PLUGINS.items() if traits.stackable_plugin
    }
    assert {entry["type"] for entry in METRICS} == set(key.METRICS)
    assert key.LOGGERS == ("TextLogger",)


@pytest.mark.parametrize("variants", CASES)
def test_each_run_ends_as_it_does_alone(opened: Open, tmp_path: Path, variants: list[dict[str, Any]]) -> None:
    configs = [opened(tmp_path / f"together {seed}", seed, values) for seed, values in enumerate(variants)]
    found = together(configs)
    drawn = torch.get_rng_state()  # the last run's
    for seed, values in enumerate(variants):
        expected = alone(opened(tmp_path / f"alone {seed}", seed, values))
        require_alike(found[seed], expected)
        require_same_reports(found[seed].run, expected.run)
    assert torch.equal(torch.get_rng_state(), drawn)


def test_runs_of_the_streaming_protocol_share_the_samples_they_are_tested_on(opened: Open, tmp_path: Path) -> None:
    scenario = {"scenario.evaluation_protocol": "streaming", "cl_strategy.train_mb_size": 7}
    found = together([opened(tmp_path / f"{seed}", seed, scenario) for seed in (0, 1, 2)])
    for seed, result in enumerate(found):
        expected = alone(opened(tmp_path / "alone", seed, scenario))
        require_alike(result, expected)
        require_same_reports(result.run, expected.run)


def test_a_run_that_diverges_leaves_the_others_alone(opened: Open, tmp_path: Path) -> None:
    values = [{"cl_strategy.optimizer.lr": rate} for rate in (0.2, 1e38)]
    found, diverged = together([opened(tmp_path / "together", 0, value) for value in values])
    require_alike(found, alone(opened(tmp_path / "alone", 0, values[0])))
    weights = torch.load(rundir.checkpoint_file(diverged.run, 3), weights_only=True)
    assert not weights["head.fc.weight"].isfinite().all()
    for run in (found.run, diverged.run):
        files = rundir.checkpoints(run).values()
        assert checksums.read_sums(run / "checkpoints") == {file.name: file_sha256(file) for file in files}


def test_a_stack_that_does_not_fit_is_trained_in_parts(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [opened(tmp_path / f"{seed}", seed) for seed in range(3)]
    monkeypatch.setattr(stack, "CPU_BYTES", 2.5 * stack.bytes_a_run(fill(configs[0])))
    assert stack.largest_stack(fill(configs[0]), torch.device("cpu")) == 2
    found = together(configs)
    assert [rundir.read_environment(result.run)["stacked"] for result in found] == [2, 2, 1]
    assert [rundir.read_environment(result.run)["seed"] for result in found] == [0, 1, 2]
    require_alike(found[2], alone(opened(tmp_path / "alone", 2)))


def test_each_run_is_reported_its_own_events(opened: Open, tmp_path: Path) -> None:
    reported: list[list[Event]] = [[], []]
    configs = [opened(tmp_path / f"{seed}", seed) for seed in (0, 1)]
    results = train_stack(
        configs, device="cpu", sources=["a.py", "b.py"], listeners=[events.append for events in reported]
    )
    for events, result, source in zip(reported, results, ("a.py", "b.py"), strict=True):
        epochs = [event for event in events if isinstance(event, EpochDone)]
        buckets = [event for event in events if isinstance(event, BucketDone)]
        assert [(epoch.bucket_number, epoch.epoch) for epoch in epochs] == [
            (b, e) for b in (1, 2, 3) for e in (1, 2, 3)
        ]
        assert [bucket.accuracies for bucket in buckets] == [tuple(row) for row in result.matrix]
        assert rundir.read_environment(result.run)["config"] == source
    assert reported[0] != reported[1]


def test_evaluating_a_stacked_run_gives_its_matrix(opened: Open, tmp_path: Path) -> None:
    for result in together([opened(tmp_path / f"{seed}", seed) for seed in (0, 1)]):
        found = evaluate(result.run, device="cpu").matrix
        assert found is not None
        assert np.abs(found - result.matrix).max() <= 1 / TESTED + 1e-9
        assert rundir.is_finished(result.run)


RESUMED = (
    "naive",
    "lwf",
    "best epoch of one, EWC",
    "online ewc",
    "cosine",
    "adam",
    "Replay",
    "GDumb, biased reservoir",
)


def stopped_in_bucket(number: int, configs: list[Config], monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of runs that were stopped together in a bucket."""
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.default_int_handler)  # as in a terminal

    def stop(event: Event) -> None:
        if isinstance(event, EpochDone) and (event.bucket_number, event.epoch) == (number, 1):
            signal.raise_signal(signal.SIGINT)

    listeners = [stop, *[ignore] * (len(configs) - 1)]
    with pytest.raises(Stopped, match="the current bucket will be trained again"):
        train_stack(configs, device="cpu", sources=["here.py"] * len(configs), listeners=listeners)
    folders = [next(Path(config.values["work_dir"]).iterdir()) for config in configs]
    assert [starting_bucket(run) for run in folders] == [number - 1] * len(configs)
    return folders


@pytest.mark.parametrize("name", RESUMED)
def test_a_stack_that_is_stopped_continues_as_if_it_had_not_been(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    straight = together([opened(tmp_path / f"{seed}", seed, value) for seed, value in enumerate(STRATEGIES[name])])
    configs = [opened(tmp_path / f"stopped {seed}", seed, value) for seed, value in enumerate(STRATEGIES[name])]
    folders = stopped_in_bucket(2, configs, monkeypatch)
    found = resume_stack(folders, device="cpu", listeners=[ignore] * len(folders))
    for one, other in zip(found, straight, strict=True):
        assert np.array_equal(one.matrix, other.matrix)
        assert rundir.read_eval(one.run) == rundir.read_eval(other.run)
        for file in rundir.checkpoints(one.run).values():
            ours, theirs = (torch.load(run / "checkpoints" / file.name) for run in (one.run, other.run))
            assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
        assert (one.run / "log.txt").read_text() == (other.run / "log.txt").read_text()
        environment = rundir.read_environment(one.run)
        assert (environment["stacked"], len(environment["resumed"])) == (len(folders), 1)
        assert starting_bucket(one.run) == NEW  # there are no states any more


@pytest.mark.parametrize("name", RESUMED)
def test_a_stack_that_is_stopped_continues_run_by_run(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    configs = [opened(tmp_path / f"{seed}", seed, value) for seed, value in enumerate(STRATEGIES[name])]
    for seed, run in enumerate(stopped_in_bucket(2, configs, monkeypatch)):
        result = resume(run, device="cpu")
        require_alike(result, alone(opened(tmp_path / "alone", seed, STRATEGIES[name][seed])))
        assert rundir.read_environment(run)["stacked"] == len(configs)  # its first bucket was


def test_a_stack_that_is_stopped_in_its_first_bucket_leaves_runs_as_if_alone(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run in stopped_in_bucket(1, [opened(tmp_path / f"{seed}", seed) for seed in (0, 1)], monkeypatch):
        result = resume(run, device="cpu")
        expected = alone(opened(tmp_path / "alone", rundir.read_environment(run)["seed"]))
        assert np.array_equal(result.matrix, expected.matrix)
        assert "stacked" not in rundir.read_environment(run)


def test_a_run_whose_environment_is_damaged_is_in_no_stack(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = stopped_in_bucket(2, [opened(tmp_path / "runs")], monkeypatch)
    rundir.environment_file(run).write_text("{")
    assert starting_bucket(run) is None


def test_runs_that_are_not_at_one_bucket_are_not_continued_together(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = stopped_in_bucket(2, [opened(tmp_path / f"{seed}", seed) for seed in (0, 1)], monkeypatch)
    (rundir.state_folder(folders[1]) / "bucket_0001.state").write_bytes(b"damaged")
    with pytest.raises(RunError, match="is at another bucket than the other runs"):
        resume_stack(folders, device="cpu", listeners=[ignore] * 2)
    assert all(run.is_dir() for run in folders)


def test_no_folder_is_left_where_a_run_cannot_begin(opened: Open, tmp_path: Path) -> None:
    configs = [
        opened(tmp_path / "runs", 0, cl_strategy=dict(type="LwF", alpha=alpha, temperature=2.0))
        for alpha in (1.0, [1.0])
    ]
    with pytest.raises(ConfigError, match="1 values for 3 buckets"):
        together(configs)
    assert not (tmp_path / "runs").exists()


def test_no_folder_is_left_where_a_run_cannot_be_built(opened: Open, tmp_path: Path) -> None:
    configs = [opened(tmp_path / "runs", 0, {"cl_strategy.optimizer.lr": 0.1}) for _ in range(2)]
    configs[1].values["cl_strategy"]["optimizer"]["lr"] = -0.1  # which the check would have refused
    with pytest.raises(ConfigError, match="Invalid learning rate"):
        together(configs)
    assert list((tmp_path / "runs").iterdir()) == []


def test_runs_that_are_not_alike_are_refused(opened: Open, tmp_path: Path) -> None:
    one, other = opened(tmp_path), opened(tmp_path, 1, {"cl_strategy.train_epochs": 4})
    assert stack_key(fill(one)) != stack_key(fill(other))
    with pytest.raises(UsageError, match="its settings differ from those of the others"):
        together([one, other])
    mas = opened(tmp_path, 0, {"cl_strategy.type": "MAS"})
    with pytest.raises(UsageError, match=re.escape(why_not(fill(mas)))):
        together([mas])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", ["naive", "lwf", "ewc", "si", "a-gem", "adam", "cosine", "Replay, reservoir"])
def test_a_stack_on_a_gpu_is_that_on_the_cpu(opened: Open, tmp_path: Path, name: str) -> None:
    configs = [
        [opened(tmp_path / device, seed, values) for seed, values in enumerate(STRATEGIES[name])]
        for device in ("cuda", "cpu")
    ]
    for found, expected in zip(together(configs[0], "cuda"), together(configs[1]), strict=True):
        require_alike(found, expected)
        assert rundir.read_environment(found.run)["device"] == "cuda:0"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_an_epoch_on_a_gpu_waits_for_it_once(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the steps torch itself refuses to wait."""
    from clearctl.engine.stack import learner

    take = learner.Features.take

    def watched(*arguments: Any) -> Any:
        torch.cuda.set_sync_debug_mode("error")
        return take(*arguments)

    read = learner._batches

    def over(*arguments: Any) -> Any:
        torch.cuda.set_sync_debug_mode("default")
        return read(*arguments)

    monkeypatch.setattr(learner.Features, "take", watched)
    monkeypatch.setattr(learner, "_batches", over)
    together([opened(tmp_path, seed, STRATEGIES["lwf"][0]) for seed in (0, 1)], "cuda")
