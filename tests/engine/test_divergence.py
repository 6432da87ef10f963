"""A run whose loss or weights stop being finite says so, everywhere, and ends there if it is asked to."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from clearctl import resume, rundir, train
from clearctl.engine.build.config import open_config
from clearctl.engine.divergence import DivergedError, Divergence, weights_are_finite
from clearctl.engine.run.train import TrainResult
from clearctl.engine.stack.train import train_stack
from clearctl.errors import RunError, Stopped
from clearctl.progress import BucketDone, EpochDone, Event, Message, ignore
from clearctl.report.runs import read_run

TOO_LARGE = "cl_strategy.optimizer.lr=1e38"


@pytest.fixture
def run(features_config: Path, prepared: Path, tmp_path: Path) -> Callable[..., TrainResult]:
    def go(*overrides: str, **arguments: Any) -> TrainResult:
        return train(
            features_config,
            device="cpu",
            dataset_root=prepared,
            work_dir=tmp_path / "runs",
            overrides=list(overrides),
            **arguments,
        )

    return go


def done(loss: float) -> EpochDone:
    return EpochDone("2004", 1, 3, 2, 5, 10, 1.0, loss, 0.5)


def strict(text: str) -> Any:
    """JSON as the standard has it, without NaN and Infinity."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


def test_the_first_place_is_reported_once() -> None:
    model, reported = nn.Linear(2, 2), []
    watch = Divergence(model, reported.append)
    watch.epoch_done(done(0.5))
    watch.bucket_done("2004")
    assert (watch.found, reported) == (None, [])
    watch.epoch_done(done(float("inf")))
    with torch.no_grad():
        model.bias[1] = torch.nan
    watch.epoch_done(done(0.5))
    watch.bucket_done("2004")
    assert watch.found == {"bucket": "2004", "epoch": 2, "reason": "the loss is inf"}
    [message] = reported
    assert message.warning
    assert message.text.startswith("the run has diverged: bucket 2004, epoch 2: the loss is inf; lower ")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_finite_weights_whose_sum_is_not(dtype: torch.dtype) -> None:
    model = torch.nn.Linear(2, 2).to(dtype)
    torch.nn.init.constant_(model.weight, torch.finfo(dtype).max)
    assert weights_are_finite(model)
    model.weight.data[0] = torch.tensor([float("inf"), -float("inf")])
    assert not weights_are_finite(model)


@pytest.mark.parametrize("name", ["weight", "bias", "running_var"])
def test_weights_and_buffers_that_are_not_finite(name: str) -> None:
    model = nn.BatchNorm1d(3)
    assert weights_are_finite(model)
    with torch.no_grad():
        getattr(model, name)[2] = -torch.inf
    assert not weights_are_finite(model)
    watch = Divergence(model, stops=True)
    with pytest.raises(DivergedError, match="bucket 2004, epoch 2: weights are not finite\nlower cl_strategy.opt"):
        watch.epoch_done(done(0.5))
    watch = Divergence(model)
    watch.bucket_done("2005")
    assert watch.found == {"bucket": "2005", "epoch": None, "reason": "weights are not finite"}


def test_it_is_in_the_run_its_result_and_its_report(run: Callable[..., TrainResult]) -> None:
    reported: list[Event] = []
    result = run(TOO_LARGE, listener=reported.append)
    assert result.diverged is not None
    assert result.diverged["bucket"] == "0"
    warnings = [event.text for event in reported if isinstance(event, Message) and event.warning]
    assert len([text for text in warnings if text.startswith("the run has diverged: bucket 0, epoch ")]) == 1
    assert strict(rundir.eval_file(result.run).read_text())["diverged"] == result.diverged
    for line in rundir.metrics_file(result.run).read_text().splitlines():
        strict(line)
    assert read_run(result.run).diverged == result.diverged
    assert "1 of 1 run diverged" in rundir.report_file(result.run).read_text()
    assert run().diverged is None


def test_with_stop_on_divergence_it_ends_there(run: Callable[..., TrainResult], tmp_path: Path) -> None:
    # The learning rate grows from bucket to bucket, so that the first of them is learned.
    schedule = "cl_strategy.scheduler={'type': 'ExponentialLR', 'gamma': 1e38, 'by': 'bucket'}"
    with pytest.raises(DivergedError) as caught:
        run("stop_on_divergence=True", schedule, "cl_strategy.optimizer.lr=3.0")
    [folder] = (tmp_path / "runs").iterdir()
    first, second, third = str(caught.value).splitlines()
    assert first.startswith("the run has diverged: bucket ")
    assert third == f"earlier results are in {folder}"
    found = read_run(folder)
    assert 0 < len(found.matrix) < 3
    assert found.diverged is not None
    with pytest.raises(DivergedError):
        resume(folder)


def test_a_learning_rate_that_no_weight_can_have(run: Callable[..., TrainResult]) -> None:
    with pytest.raises(RunError, match="a learning rate is too large for the weights: .*\nlower cl_strategy.optimizer"):
        run("cl_strategy.optimizer.lr=1e39")


def test_a_stack_notices_it_where_the_run_alone_does(
    run: Callable[..., TrainResult], features_config: Path, prepared: Path, tmp_path: Path
) -> None:
    places: dict[str, Any] = dict(dataset_root=prepared, work_dir=tmp_path / "together", seed=0)
    texts = [f"cl_strategy.optimizer.lr={lr}" for lr in (0.1, 1e38)]
    configs = [open_config(features_config, overrides=(text,), **places) for text in texts]
    reported: list[list[Event]] = [[], []]
    results = train_stack(configs, device="cpu", sources=["a", "b"], listeners=[events.append for events in reported])
    assert [result.diverged for result in results] == [None, run(TOO_LARGE).diverged]
    assert [sum(isinstance(event, Message) and event.warning for event in events) for events in reported] == [0, 1]
    assert read_run(results[1].run).diverged == results[1].diverged


def test_a_resumed_run_still_says_it(run: Callable[..., TrainResult], tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, BucketDone) and event.bucket_number == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        run(TOO_LARGE, listener=stop)
    [folder] = (tmp_path / "runs").iterdir()
    whole = run(TOO_LARGE)
    assert resume(folder).diverged == whole.diverged
    assert resume(folder, listener=ignore).diverged == whole.diverged  # which only reads it
