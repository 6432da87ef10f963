"""The training loop: trains on each bucket, tests every bucket after it, saves, and stops on request.

The calls, from the command down to one step:

    run/train.train                     a config file -> checked config (build/config)
      run/train.start                   -> settings; device, seed, stream, network, samples, run folder
        build/experiment                strategy, plugins, metrics, loggers, benchmark
        run/train.run_to_end            this loop, then report.html
          TrainingLoop.learn
            _learn_buckets              for each bucket: save its start, learn, test, write
              _learn_bucket
                strategy.train          Avalanche's: plugins, and the set-up of the bucket
                  stepping/epochs       for each epoch
                    training_epoch      Avalanche's, for each batch x [B, ...], y [B] of strategy.dataloader:
                      loading/...         rows gathered at once; on a GPU one batch ahead
                      forward, criterion, backward, optimizer_step, with the plugins that act there (watching/hooks)
                    _step_done          after each step: save a state, or stop
                  _epoch_done           after each epoch: the same
                strategy.eval           every bucket: watching/batch, watching/observe
              _end_bucket               metrics.jsonl, eval.json, accuracy_matrix.csv, weights
"""

import shlex
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from torch import nn

from clearctl import rundir
from clearctl.config.protocol import on_training_images
from clearctl.config.settings import Settings
from clearctl.data.stream import Stream
from clearctl.distributed import world
from clearctl.distributed.randomness import preserve_random_states
from clearctl.distributed.world import Agreement
from clearctl.engine.build.experiment import Experiment
from clearctl.engine.build.samples import loader_arguments
from clearctl.engine.divergence import WHAT_TO_DO, DivergedError
from clearctl.engine.run.evaluate import model_accuracies
from clearctl.engine.run.stopping import catch_stop_signals
from clearctl.engine.states import files as state_files
from clearctl.engine.states.checkpoint import save_weights
from clearctl.engine.states.files import StateKey
from clearctl.engine.states.results import RunResults
from clearctl.engine.states.saver import Saver
from clearctl.engine.states.state import RunState
from clearctl.errors import ConfigError, RunError, Stopped
from clearctl.measured import accuracy_so_far
from clearctl.progress import BucketDone, Listener
from clearctl.strategies.build import trains_on_whole_stream
from clearctl.strategies.stepping.epochs import BucketProgress, Epochs, ResumePoint
from clearctl.strategies.strategy import Experience, validation_stream
from clearctl.strategies.watching.anytime import Point


@dataclass(frozen=True)
class SavedStates:
    """The states to resume from: the one at the `start` of a bucket and, if there is one, a later one `within` it."""

    bucket: int
    start: dict[str, Any]
    within: dict[str, Any] | None

    @property
    def latest(self) -> dict[str, Any]:
        """The later of the two."""
        return self.start if self.within is None else self.within


class TrainingLoop:
    """Trains on each bucket in order and tests on all of them after each; results are on disk after every bucket."""

    def __init__(
        self, settings: Settings, experiment: Experiment, stream: Stream, run: Path, listener: Listener
    ) -> None:
        self.settings = settings
        self.experiment = experiment
        self.stream = stream
        self.run = run
        self.listener = listener
        self.loading = loader_arguments(settings.data, stream)
        self.results = RunResults(stream.bucket_names, divergence=experiment.divergence)
        self.state = RunState(experiment, self.results, run)
        self.epochs = Epochs(experiment.strategy, self._step_done, self._epoch_done)
        self.saver = Saver(
            rundir.state_folder(run),
            settings.checkpoints.state_every,
            listener,
            # Worker processes are forked in the middle of whatever another thread holds.
            in_background=not self.loading["num_workers"],
        )
        if experiment.anytime is not None:
            experiment.anytime.on_test = self._anytime_tested
        self._bucket = 0
        self._asked = Agreement()  # to stop, by a signal to any of the processes

    def learn(self, saved: SavedStates | None) -> RunResults:
        """Learn what is left: all buckets, or from what is `saved` on. Raises Stopped, at a step, if it is asked to."""
        if self.settings.has_own_code:
            self.state.require_capturable()
        with catch_stop_signals(self.listener) as self.stop_request:
            try:
                self._learn_buckets(saved)
            except DivergedError as error:
                if self.results.rows and world.is_first():
                    self.results.write(self.run)  # which says that it has diverged
                raise DivergedError(f"{error}\nearlier results are in {self.run}") from None
            except ConfigError as error:  # a head that has no solution names the key alone
                raise ConfigError(f"{self.settings.config.file}: {error}") from None
            except RuntimeError as error:
                if "without overflow" in str(error):  # torch, of a number such as 1e39
                    text = f"{self.run}: a learning rate is too large for the weights: {error}"
                    raise RunError(f"{text}\n{WHAT_TO_DO}") from None
                # A signal to the whole process group ends the worker processes, which torch reports before the next
                # step.
                if self.stop_request.signum is None or "DataLoader worker" not in str(error):
                    raise
                raise self._stopped(self.stop_request.signum) from None
            return self.results

    def close(self) -> None:
        """End the loggers and what is being written. Raises OSError, but not before all is ended."""
        end_writing(self.experiment, self.saver)

    def remove_states(self) -> None:
        """Remove the states of the run, which is finished."""
        if world.is_first():
            state_files.remove_all(self.saver.folder)

    def _learn_buckets(self, saved: SavedStates | None) -> None:
        strategy, benchmark = self.experiment.strategy, self.experiment.benchmark
        test_stream = list(benchmark.test_stream)  # Avalanche makes a new experience each time it is asked for one
        if saved is None:
            workers, size = self.loading["num_workers"], strategy.eval_mb_size
            self.results.untrained = model_accuracies(strategy.model, test_stream, strategy.device, size, workers)
        else:
            self._load_states(saved)
        for number, experience in enumerate(benchmark.train_stream):
            if saved is not None and number < saved.bucket:
                continue
            started = time.perf_counter()
            self._bucket = number
            if saved is None or number > saved.bucket:
                self._save(StateKey(number), None)
            self._learn_bucket(experience, test_stream)
            self._end_bucket(time.perf_counter() - started)

    def _learn_bucket(self, experience: Experience, test_stream: list[Experience]) -> None:
        strategy, benchmark = self.experiment.strategy, self.experiment.benchmark
        at_once = trains_on_whole_stream(strategy)  # joint training: one model, so every row of the matrix is the same
        if at_once and self._bucket > 0:
            self.results.repeat()
            return
        held_out = validation_stream(benchmark)
        # eval_streams is what the strategy tests on during training, if the config's eval_every asks for it
        learned = benchmark.train_stream if at_once else experience
        streams = [test_stream, held_out] if held_out else [test_stream]
        trained = strategy.train(learned, eval_streams=streams, **self.loading)
        self.experiment.divergence.bucket_done(self.stream.bucket_names[self._bucket])
        tested = strategy.eval(test_stream, **self.loading)
        if self.experiment.anytime is not None:
            self.results.anytime = list(self.experiment.anytime.curve)
        self.results.add(self._accuracies(), trained, tested)
        if self.stream.has_validation:
            with preserve_random_states(own=True):
                validated = strategy.eval(held_out, **self.loading)
            self.results.add_validation(self._accuracies(), validated)

    def _accuracies(self) -> list[float]:
        """The accuracies of the latest test, in the order of the buckets."""
        found = self.experiment.accuracy.accuracies
        return [found[column] for column in range(len(self.stream.buckets))]

    def _anytime_tested(self, point: Point) -> None:
        if world.is_first():
            rundir.append_metrics(self.run, anytime_record(self.stream.bucket_names, point))

    def _end_bucket(self, seconds: float) -> None:
        if world.is_first():
            write_bucket(self.run, self.results, self.experiment.strategy.model, self.settings.checkpoints.interval)
        self.listener(bucket_done(self.results, seconds, self.settings))

    def _load_states(self, saved: SavedStates) -> None:
        """Load the saved state into the experiment; a state within a bucket waits for the set-up of that bucket."""
        self.state.load_state(saved.start, files_of=saved.latest)
        within = saved.within
        if within is not None:
            self.epochs.resume_point = ResumePoint(
                BucketProgress(**within["place"]), lambda: self.state.load_state(within)
            )

    def _step_done(self) -> None:
        signum = self._asked.reached(self.stop_request.signum or 0)
        if signum:
            self._stop(signum)
        elif self.saver.is_due(epoch_ended=False):
            self._save_within()

    def _epoch_done(self) -> None:
        if self.saver.is_due(epoch_ended=True):
            self._save_within()
        signum = self._asked.reached(self.stop_request.signum or 0)
        if signum:
            self._stop(signum)

    def _stop(self, signum: int) -> NoReturn:
        progress = self.epochs.progress()
        self._save_within(wait=True)
        here = None if progress is None else StateKey(self._bucket, progress.epochs, progress.steps)
        # All wait here for the first process, which would be killed while it saves if another ended.
        raise Stopped(world.broadcast(str(self._stopped(signum, here))), signum)

    def _stopped(self, signum: int, here: StateKey | None = None) -> Stopped:
        """The exception to raise; it says so if the state `here` could not be saved, or if there is none to save."""
        if here is not None and self.saver.latest == here:
            kept = "its state is saved"
        elif state_files.state_keys(self.saver.folder):
            kept = "steps after its last saved state will be repeated"
        else:
            kept = "no state is saved yet"
        return Stopped(f"stopped, {kept}\n{how_to_resume(self.run)}", signum)

    def _save_within(self, *, wait: bool = False) -> None:
        progress = self.epochs.progress()
        if progress is not None:
            self._save(StateKey(self._bucket, progress.epochs, progress.steps), progress, wait=wait)

    def _save(self, key: StateKey, progress: BucketProgress | None, *, wait: bool = False) -> None:
        if not world.is_first():
            return

        self.saver.save(key, lambda: captured(self.state, self.settings, progress), wait=wait)


def end_writing(experiment: Experiment, saver: Saver) -> None:
    """End the loggers, and what `saver` is writing. Raises OSError, but not before all is ended."""
    with ExitStack() as ends:  # from the last to the first, also if one fails
        ends.callback(saver.finish)
        for logger in reversed(experiment.run_loggers):
            ends.callback(logger.close)
        experiment.strategy.evaluator.flush()


def captured(state: RunState, settings: Settings, progress: BucketProgress | None = None) -> dict[str, Any]:
    """The state of a run as it is now, within a bucket at `progress`. Raises CannotCaptureError."""
    names = state.results.bucket_names
    return {"config": settings.config.values, "buckets": names, **state.capture(progress)}


def write_bucket(run: Path, results: RunResults, model: nn.Module, interval: int) -> None:
    """Write the results at the end of a bucket; the weights of `model` every `interval` buckets, and of the last."""
    names, number, row = results.bucket_names, len(results.rows) - 1, results.rows[-1]
    for bucket, accuracy in zip(names, row, strict=True):
        record = {"event": "test", "trained_to": names[number], "bucket": bucket, "accuracy": accuracy}
        rundir.append_metrics(run, record)
    for bucket, accuracy in zip(names, results.validation_rows[-1] if results.validation_rows else (), strict=False):
        record = {"event": "validation", "trained_to": names[number], "bucket": bucket, "accuracy": accuracy}
        rundir.append_metrics(run, record)
    results.write(run)
    if (number + 1) % interval == 0 or number == len(names) - 1:
        try:
            save_weights(model, rundir.checkpoint_file(run, number + 1))
        except RunError as error:
            raise RunError(f"{error}\n{how_to_resume(run)}") from None


def anytime_record(names: list[str], point: Point) -> dict[str, Any]:
    """The line in metrics.jsonl of a point of the anytime accuracy."""
    return {
        "event": "anytime",
        "bucket": names[point["bucket"]],
        "step": point["step"],
        "samples_seen": point["samples_seen"],
        "accuracy": accuracy_so_far(point),
        "accuracies": dict(zip(names, point["accuracies"], strict=True)),
    }


def bucket_done(results: RunResults, seconds: float, settings: Settings) -> BucketDone:
    """The event that reports a finished bucket, which took `seconds`."""
    names, number, row = results.bucket_names, len(results.rows) - 1, results.rows[-1]
    trained_on = bool(on_training_images(settings.config.values))
    return BucketDone(names[number], number + 1, len(names), tuple(row), seconds, trained_on)


def how_to_resume(run: Path) -> str:
    """The command that resumes a run, by as many processes as this one has."""
    command = f"clearctl resume {shlex.quote(str(run))}"
    if world.size() > world.local_size():
        return f"resume with `torchrun ... -m {command}` on every machine, as it was started"
    return f"resume with `{command}{f' --nproc {world.size()}' if world.size() > 1 else ''}`"
