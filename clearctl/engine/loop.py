"""Training: bucket after bucket, every bucket tested after each. The one visible loop."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from clearctl import atomic, rundir
from clearctl.config.load import Config, dump
from clearctl.data.samples import original_error
from clearctl.data.stream import Stream
from clearctl.engine.build import (
    Experiment,
    build_experiment,
    build_model,
    build_stream,
    open_config,
)
from clearctl.engine.checkpoint import save_weights
from clearctl.engine.evaluate import model_accuracies
from clearctl.engine.machine import describe, resolve_device, seed_everything
from clearctl.engine.results import Results
from clearctl.engine.samples import build_samples, loader_arguments
from clearctl.errors import DatasetError
from clearctl.metrics import Matrix
from clearctl.progress import BucketDone, EpochDone, Listener, Message, ignore
from clearctl.strategies.build import trains_on_whole_stream


@dataclass(frozen=True)
class TrainResult:
    """A finished run: its folder, the accuracy matrix R [N, N], and the summary numbers of it."""

    run: Path
    bucket_names: list[str]
    matrix: Matrix
    clear_metrics: dict[str, float]
    gem_metrics: dict[str, float]
    seconds: float


def train(
    config: Path | str,
    *,
    device: str = "auto",
    work_dir: Path | str | None = None,
    seed: int | None = None,
    dataset_root: Path | str | None = None,
    overrides: Sequence[str] = (),
    listener: Listener = ignore,
) -> TrainResult:
    """Train and test as the config file says, in a new run folder under `work_dir`.

    `overrides` are "key.path=value" strings. `seed` seeds everything random (default: the config's, else 0).
    Raises ConfigError, DatasetError, RunError and CapabilityError before anything is written where it can be known
    before, and DatasetError for an image that turns out unreadable on the way.
    """
    started = time.perf_counter()
    opened = open_config(config, overrides=tuple(overrides), seed=seed, work_dir=work_dir, dataset_root=dataset_root)
    target = resolve_device(device)
    seed_everything(opened.values["seed"])
    stream = build_stream(opened, listener)
    model = build_model(opened, stream, listener).to(target)
    samples = build_samples(opened, stream, target, listener)  # which may take a while, and leave no run folder behind

    run = rundir.create(Path(opened.values["work_dir"]), opened.values["seed"])
    try:
        experiment = build_experiment(
            opened,
            stream,
            model,
            target,
            run=run,
            listener=listener,
            on_epoch=lambda done, lr: _record_epoch(run, done, lr),
            samples=samples,
        )
    except BaseException:
        shutil.rmtree(run)
        raise
    environment = describe(
        target, Path(opened.values["scenario"]["dataset_root"]), stream.fingerprint(), seed_of(opened)
    )
    atomic.write_text(rundir.config_file(run), dump(opened.values))
    atomic.write_json(rundir.environment_file(run), environment)
    listener(Message(f"run folder {run}"))
    for logger in experiment.loggers:
        if getattr(logger, "offline_reason", None):
            listener(Message(logger.offline_reason, warning=True))
    try:
        results = learn(opened, experiment, stream, run, listener)
        for logger in experiment.loggers:
            if hasattr(logger, "log_summary"):
                logger.log_summary({**results.clear(), **results.gem()}, results.matrix, stream.bucket_names)
    except DatasetError as error:
        raise original_error(error) or error from None
    finally:
        experiment.strategy.evaluator.flush()
        for logger in experiment.loggers:
            if hasattr(logger, "close"):
                logger.close()
    return TrainResult(
        run,
        stream.bucket_names,
        results.matrix,
        results.clear(),
        results.gem(),
        time.perf_counter() - started,
    )


def learn(config: Config, experiment: Experiment, stream: Stream, run: Path, listener: Listener) -> Results:
    """Train on each bucket in order and test on all of them after each; results are on disk after every bucket."""
    strategy, benchmark = experiment.strategy, experiment.benchmark
    loading = loader_arguments(config, stream)
    interval = (config.values.get("checkpoint_config") or {}).get("interval", 1)
    batch_size = strategy.eval_mb_size
    test_stream = list(benchmark.test_stream)  # Avalanche makes an experience anew each time it is asked for
    untrained = model_accuracies(strategy.model, test_stream, strategy.device, batch_size, loading["num_workers"])
    results = Results(stream.bucket_names, untrained)
    at_once = trains_on_whole_stream(strategy)  # joint training: one model, so every row of the matrix is the same
    for number, experience in enumerate(benchmark.train_stream):
        started = time.perf_counter()
        if number == 0 or not at_once:
            # eval_streams is what the strategy tests on during training, if the config's eval_every asks for it
            learned = benchmark.train_stream if at_once else experience
            trained = strategy.train(learned, eval_streams=[test_stream], **loading)
            tested = strategy.eval(test_stream, **loading)
        # Avalanche returns the latest value of every metric so far: of each phase only its own are kept.
        results.train[number] = {name: value for name, value in trained.items() if "eval_phase" not in name}
        results.test[number] = {name: value for name, value in tested.items() if "train_phase" not in name}
        row = [experiment.accuracy.accuracies[column] for column in range(len(stream.buckets))]
        results.rows.append(row)
        for bucket, accuracy in zip(stream.bucket_names, row, strict=True):
            trained_to = stream.bucket_names[number]
            rundir.append_metrics(
                run, {"event": "test", "trained_to": trained_to, "bucket": bucket, "accuracy": accuracy}
            )
        results.write(run)
        last = number == len(stream.buckets) - 1
        if (number + 1) % interval == 0 or last:
            save_weights(strategy.model, rundir.checkpoint_file(run, number + 1))
        listener(
            BucketDone(
                stream.bucket_names[number],
                number + 1,
                len(stream.buckets),
                tuple(row),
                time.perf_counter() - started,
            )
        )
    return results


def seed_of(config: Config) -> int:
    """The seed of an opened config."""
    seed: int = config.values["seed"]
    return seed


def _record_epoch(run: Path, done: EpochDone, lr: float) -> None:
    rundir.append_metrics(run, {"event": "epoch", **asdict(done), "lr": lr})
