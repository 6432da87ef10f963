"""Training: bucket after bucket, with a test on every bucket after each."""

import errno
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clearctl import atomic, rundir
from clearctl.config.fill import fill
from clearctl.config.load import Config, dump
from clearctl.config.protocol import on_training_images
from clearctl.config.settings import Settings
from clearctl.data.samples import original_error
from clearctl.data.stream import Stream
from clearctl.distributed import world
from clearctl.distributed.randomness import seed_everything
from clearctl.distributed.world import PeerLostError, broadcast, detect_lost_peers, process_group
from clearctl.engine.build.compute_options import say_what_gained
from clearctl.engine.build.config import open_config
from clearctl.engine.build.experiment import Experiment, build_experiment, require_buildable
from clearctl.engine.build.model import build_model
from clearctl.engine.build.samples import BuiltSamples, build_samples
from clearctl.engine.build.sharing import require_alike, require_shareable
from clearctl.engine.build.strategy_fit import require_strategy_fit
from clearctl.engine.build.stream import build_stream
from clearctl.engine.machine import current_device, describe, deterministic_algorithms, resolve_device
from clearctl.engine.run.inputs import named_contents
from clearctl.engine.run.loop import SavedStates, TrainingLoop, how_to_resume
from clearctl.engine.states.results import RunResults
from clearctl.errors import CapabilityError, DatasetError, RunError, Stopped
from clearctl.lock import exclusive_lock
from clearctl.metrics import Matrix, Summary
from clearctl.progress import EpochDone, Listener, Message, ignore
from clearctl.shortage import shortage
from clearctl.strategies.patches import applied
from clearctl.strategies.strategy import Benchmark
from clearctl.wording import first_line

RUN = "run"  # the name under which a run's folder is kept for processes that torchrun starts again
# The numbers of an OSError if a disk is full, or no longer present.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


@dataclass(frozen=True, repr=False)
class TrainResult(Summary):
    """A finished run: its folder, the accuracy matrix R [N, N], and the summary numbers of it.

    `seconds` is the time that this call took: of a run that was resumed, since then. `diverged` is where the run did
    (see `Divergence`), as {"bucket", "epoch", "reason"}; None if it did not. `on_training_images` are the names
    of the summary numbers that have accuracies on images that were trained on. `validation_numbers` are the summary
    numbers of the validation parts, if the run has any.
    """

    run: Path
    bucket_names: list[str]
    matrix: Matrix
    numbers: dict[str, float]
    seconds: float
    diverged: dict[str, Any] | None = None
    on_training_images: frozenset[str] = frozenset()
    validation_numbers: dict[str, float] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        from clearctl.report.notebook import matrix_html

        return matrix_html(self.matrix, self.bucket_names, self.bucket_names, self.numbers, self.on_training_images)


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
    before, DatasetError for an image that turns out unreadable on the way, and Stopped where Ctrl-C or SIGTERM ended
    the run at a step; `resume` continues it.

    Under torchrun every process calls it, and all share the run, which is written by the first.
    """
    opened = open_config(config, overrides=tuple(overrides), seed=seed, work_dir=work_dir, dataset_root=dataset_root)
    return start(opened, opened.file, device=device, listener=listener)


def earlier_run() -> Path | None:
    """The run folder that these processes began before torchrun started them again; None if there is none."""
    begun = world.recall(RUN) if world.restart_count() else None
    return Path(begun) if begun is not None else None


@applied()
def start(opened: Config, source: str, *, device: str, listener: Listener) -> TrainResult:
    """`train` with a config that `open_config` returned; `source` is the file it came from, which the run notes."""
    started = time.perf_counter()
    listener = listener if world.is_first() else ignore
    for notice in opened.notices:
        listener(Message(notice))
    settings = fill(opened)
    require_shareable(settings.strategy)
    target = resolve_device(device)
    deterministic = deterministic_algorithms(settings.compute.deterministic, target, listener)
    # The GPU before anything uses one; deterministic from the first product on.
    with current_device(target), detect_lost_peers(), process_group(target), deterministic:
        seed_everything(settings.seed)
        stream = build_stream(settings.scenario, settings.data, listener, target)
        model = build_model(settings, stream, listener).to(target)
        require_strategy_fit(settings, stream, model, listener)
        require_buildable(settings, model)
        say_what_gained(settings, stream, target, listener)
        # This may take a while, and leave no run folder behind.
        samples = build_samples(settings, stream, target, listener)
        described = describe(target, stream.describe(settings.scenario.dataset_root), settings.seed)
        environment = {**described, "config": source, **named_contents(opened.values)}
        require_alike(opened, environment["dataset"])
        run = broadcast(rundir.create(settings.work_dir, settings.seed) if world.is_first() else Path())
        with run_lock(run):
            experiment = open_run(settings, stream, model, target, run, samples, environment, listener)
            return run_to_end(settings, experiment, stream, run, listener, started=started)


def open_run(
    settings: Settings,
    stream: Stream,
    model: nn.Module,
    device: torch.device,
    run: Path,
    samples: BuiltSamples,
    environment: dict[str, Any],
    listener: Listener,
    benchmark: Benchmark | None = None,
) -> Experiment:
    """Build the experiment of a new run, and write its config and `environment`; if that fails, remove its folder.

    `benchmark` is that of `samples`, if it has been built before.
    Raises what `build_experiment` raises, and RunError if nothing can be written.
    """
    try:
        experiment = build_experiment(
            settings,
            stream,
            model,
            device,
            run=run,
            listener=listener,
            on_epoch=lambda done, lr: record_epoch(run, done, lr),
            samples=samples,
            benchmark=benchmark,
        )
        if world.is_first():
            run_ids = {logger.run_key: logger.run_id for logger in experiment.run_loggers if logger.run_id}
            atomic.write_text(rundir.config_file(run), dump(settings.config.values))
            atomic.write_json(rundir.environment_file(run), {**environment, "wandb_run": None, **run_ids})
            world.remember(RUN, str(run))
    except BaseException as error:
        if world.is_first():
            shutil.rmtree(run)
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise RunError(f"{run.parent} is not writable: {error.strerror}") from None
        raise
    listener(Message(f"run folder {run}"))
    for logger in experiment.run_loggers:
        if logger.offline_reason:
            listener(Message(logger.offline_reason, warning=True))
    return experiment


@contextmanager
def run_lock(run: Path) -> Iterator[None]:
    """Hold a run folder, for all that share the run; where another holds it, entering raises RunError with its pid.

    Unfinished files of a killed process are removed first.
    """
    if not world.is_first():
        yield
        return
    with exclusive_lock(rundir.lock_file(run), run, RunError):
        atomic.remove_temporary(run, run / "checkpoints")
        yield


@contextmanager
def report_unwritable(run: Path) -> Iterator[None]:
    """A context in which a run folder that cannot be written ends the run with a RunError.

    The disk is full or gone, or the folder was removed or changed during the run.
    """
    try:
        yield
    except OSError as error:
        if not run.is_dir():
            text = f"{run} was removed or renamed during the run\nstart the run again"
            raise RunError(text) from None
        if error.errno not in NO_ROOM and run not in Path(str(error.filename2 or error.filename or "")).parents:
            raise
        file = error.filename2 or error.filename or run
        raise RunError(f"{file} cannot be written: {error.strerror}\n{how_to_resume(run)}") from None


def record_epoch(run: Path, done: EpochDone, lr: float) -> None:
    """Add an epoch to metrics.jsonl."""
    if world.is_first():
        record = {name: value for name, value in vars(done).items() if name != "ridge_lambda" or value is not None}
        rundir.append_metrics(run, {"event": "epoch", **record, "lr": lr})


def run_to_end(
    settings: Settings,
    experiment: Experiment,
    stream: Stream,
    run: Path,
    listener: Listener,
    *,
    started: float,
    saved: SavedStates | None = None,
) -> TrainResult:
    """Learn all buckets, from what is `saved` on if anything is, and end the run folder."""
    if settings.data.graph == "auto":
        listener(Message("data.graph='auto' has no effect here: only the steps of a stack of `sweep` are captured"))
    loop = TrainingLoop(settings, experiment, stream, run, listener)
    try:
        with report_unwritable(run), closing(loop), detect_lost_peers():
            results = loop.learn(saved)
            log_summaries(experiment, results, listener)
    except DatasetError as error:
        raise DatasetError(f"{original_error(error)}\nfix that, then {how_to_resume(run)}") from None
    except PeerLostError as error:
        rest = "torchrun restarts all processes" if world.restarts_processes() else how_to_resume(run)
        raise PeerLostError(f"{error}\n{rest}") from None
    except (CapabilityError, RuntimeError, MemoryError, OSError) as error:
        lacking = original_error(error) or shortage(error)
        if lacking is None:
            raise
        raise CapabilityError(f"{lacking}; then {how_to_resume(run)}") from None
    except Stopped:
        raise
    except KeyboardInterrupt:  # a second one
        raise Stopped(f"stopped immediately\n{how_to_resume(run)}", signal.SIGINT) from None
    loop.remove_states()
    if world.is_first():
        write_report(run, listener)
    return TrainResult(
        run,
        stream.bucket_names,
        results.matrix,
        results.numbers(),
        time.perf_counter() - started,
        results.diverged,
        on_training_images(settings.config.values),
        results.validation_numbers(),
    )


def log_summaries(experiment: Experiment, results: RunResults, listener: Listener) -> None:
    """Log the results of a finished run, and report how to look at them."""
    for logger in experiment.run_loggers:
        logger.log_summary(results.numbers(), results.matrix, results.bucket_names)
        if command := logger.view_command():
            listener(Message(f"what was logged: `{command}`"))


def write_report(run: Path, listener: Listener) -> None:
    """Write report.html of a finished run. The run is whole without it: whatever fails is reported as a warning."""
    try:
        from clearctl.report.page import write_run_page  # only at the end of a run is it needed

        write_run_page(run)
    except Exception as error:
        listener(Message(f"{rundir.report_file(run)} could not be written: {first_line(error)}", warning=True))
