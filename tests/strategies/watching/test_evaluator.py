"""The lean evaluator publishes what Avalanche's does: every metric, every value, every x, every line of the log."""

from pathlib import Path
from typing import Any

import pytest
import torch
from avalanche.evaluation import metrics
from avalanche.evaluation.metrics import accuracy_metrics, bwt_metrics, forgetting_metrics, loss_metrics
from avalanche.logging import CSVLogger
from avalanche.training.plugins import EvaluationPlugin, SupervisedPlugin
from avalanche.training.supervised import Cumulative, Naive
from test_gather import stream
from torch import nn

from clearctl.strategies.loading.benchmark import build_benchmark
from clearctl.strategies.loading.gather import GatherBatches
from clearctl.strategies.loggers.text import TextLogger
from clearctl.strategies.watching import batch, evaluator
from clearctl.strategies.watching.batch import BatchRecord
from clearctl.strategies.watching.evaluator import Evaluator
from clearctl.strategies.watching.observe import BucketAccuracy, ProgressReporter

EVERYTHING = dict(minibatch=True, epoch=True, epoch_running=True, experience=True, stream=True)


def all_metrics() -> list[Any]:
    return [
        accuracy_metrics(**EVERYTHING, trained_experience=True),
        loss_metrics(**EVERYTHING),
        forgetting_metrics(experience=True, stream=True),
        bwt_metrics(experience=True, stream=True),
        metrics.topk_acc_metrics(top_k=2, epoch=True, experience=True, stream=True, minibatch=True),
        metrics.forward_transfer_metrics(experience=True, stream=True),
        metrics.class_accuracy_metrics(epoch=True, experience=True, stream=True),
    ]


def run(own: bool, file: Path, loggers: list[Any], kind: Any = Naive, labels: str = "single", **arguments: Any) -> Any:
    """Train and test a small stream with Avalanche's evaluator, or with ours."""
    torch.manual_seed(0)
    benchmark = build_benchmark(stream([21, 13, 16]), None, None, labels)
    model = nn.Linear(8, 3)
    flat = [metric for group in all_metrics() for metric in (group if isinstance(group, list) else [group])]
    loggers = [TextLogger(str(file)), *loggers]
    record = BatchRecord()
    strategy = kind(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=4,
        eval_mb_size=5,
        train_epochs=3,
        plugins=[record] if own else [],
        evaluator=Evaluator(record, flat, loggers) if own else EvaluationPlugin(*flat, loggers=loggers),
        **arguments,
    )
    returned = []
    for experience in benchmark.train_stream:
        returned.append(strategy.train(experience, eval_streams=[benchmark.test_stream]))
        returned.append(strategy.eval(benchmark.test_stream))
    for logger in loggers:
        logger.close()
    return strategy, returned


@pytest.mark.parametrize(
    "arguments",
    [
        {"eval_every": 0},
        {"eval_every": 2},
        {"eval_every": 3, "peval_mode": "iteration"},  # tested in the middle of an epoch
        {"eval_every": 0, "labels": "bucket"},
        {"eval_every": 2, "labels": "bucket", "kind": Cumulative},  # batches of several task labels
    ],
)
def test_every_value_is_avalanches(arguments: dict[str, Any], tmp_path: Path) -> None:
    theirs, expected = run(False, tmp_path / "theirs.txt", [], **arguments)
    ours, found = run(True, tmp_path / "ours.txt", [], **arguments)
    assert found == expected
    curves, reference = ours.evaluator.get_all_metrics(), theirs.evaluator.get_all_metrics()
    assert curves.keys() == reference.keys()
    assert len(curves) > 30
    for name, curve in reference.items():
        assert curves[name] == curve, name
    assert (tmp_path / "ours.txt").read_text() == (tmp_path / "theirs.txt").read_text()


def test_a_logger_that_listens_to_every_step_gets_every_step(tmp_path: Path) -> None:
    for own in (False, True):
        run(own, tmp_path / "log.txt", [CSVLogger(str(tmp_path / str(own)))], eval_every=0)
    for name in ("training_results.csv", "eval_results.csv"):
        assert (tmp_path / "True" / name).read_text() == (tmp_path / "False" / name).read_text()
        assert len((tmp_path / "True" / name).read_text().splitlines()) > 3


def test_a_step_reads_nothing_from_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way of a scalar to Python is closed while a step runs; open again when its epoch is over."""
    closed = [False]
    for name in ("item", "__float__", "__int__", "__bool__", "tolist"):
        original = getattr(torch.Tensor, name)

        def guarded(self: torch.Tensor, *args: Any, original: Any = original) -> Any:
            assert not closed[0], "a step waited for the device"
            return original(self, *args)

        monkeypatch.setattr(torch.Tensor, name, guarded)

    class Guard(SupervisedPlugin):
        def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
            closed[0] = True

        def before_eval_iteration(self, strategy: Any, **kwargs: Any) -> None:
            closed[0] = True

        def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
            closed[0] = False

        def after_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
            closed[0] = False

    benchmark = build_benchmark(stream([21, 13]), None, None)
    model, record = nn.Linear(8, 3), BatchRecord()
    shown = [metric for kind in (accuracy_metrics, loss_metrics) for metric in kind(**EVERYTHING)]
    shown += forgetting_metrics(experience=True, stream=True)
    reporter = ProgressReporter(record, ["0", "1"], lambda event: None, None)
    record._due = float("inf")  # no progress is due while this runs
    strategy = Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        train_mb_size=4,
        eval_mb_size=5,
        plugins=[Guard(), record, BucketAccuracy(record), reporter, GatherBatches(lambda text: None)],
        evaluator=Evaluator(record, shown, [TextLogger(str(tmp_path / "log.txt"))]),
    )
    strategy.train(benchmark.train_stream[0], eval_streams=[])
    found = strategy.eval(benchmark.test_stream)
    assert len([name for name in found if name.startswith("Top1_Acc")]) == 5


def curve(tmp_path: Path, watching: SupervisedPlugin) -> tuple[Any, list[int]]:
    """A strategy of three steps an epoch, and the steps whose loss its logger has been given so far."""
    seen: list[int] = []

    class Curve(TextLogger):
        def log_single_metric(self, name: str, value: Any, x_plot: int) -> None:
            assert name.startswith("Loss_MB")
            seen.append(x_plot)

    record, model = BatchRecord(), nn.Linear(8, 3)
    strategy = Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        train_mb_size=4,
        plugins=[record, watching],
        evaluator=Evaluator(record, loss_metrics(minibatch=True), [Curve(str(tmp_path / "log.txt"))]),
    )
    return strategy, seen


def test_a_live_curve_is_not_far_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator, "PERIOD_S", 0.0)
    monkeypatch.setattr(batch, "PERIOD_S", 0.0)
    lengths: list[int] = []

    class Watch(SupervisedPlugin):
        def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
            lengths.append(len(seen))

    strategy, seen = curve(tmp_path, Watch())
    strategy.train(build_benchmark(stream([12]), None, None).train_stream[0], eval_streams=[])
    assert lengths == [0, 1, 2]
    assert seen == [0, 1, 2]


def test_a_run_that_is_broken_off_has_logged_its_steps(tmp_path: Path) -> None:
    class Stop(SupervisedPlugin):
        def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
            if strategy.clock.train_iterations == 2:
                raise KeyboardInterrupt

    strategy, seen = curve(tmp_path, Stop())
    with pytest.raises(KeyboardInterrupt):
        strategy.train(build_benchmark(stream([12]), None, None).train_stream[0], eval_streams=[])
    assert seen == []
    strategy.evaluator.flush()
    assert seen == [0, 1]
