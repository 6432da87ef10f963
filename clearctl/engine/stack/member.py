"""One run of a stack: its own experiment, whose arithmetic is done for all runs at once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from clearctl import rundir
from clearctl.config.settings import Settings
from clearctl.data.stream import Stream
from clearctl.distributed.randomness import random_states, set_random_states
from clearctl.engine.build.experiment import Experiment
from clearctl.engine.build.samples import loader_arguments
from clearctl.engine.run.loop import SavedStates, captured, end_writing
from clearctl.engine.stack.optimize import OptimizerState
from clearctl.engine.states import files as state_files
from clearctl.engine.states.files import StateKey
from clearctl.engine.states.results import RunResults
from clearctl.engine.states.saver import Saver
from clearctl.engine.states.state import RunState
from clearctl.progress import Listener
from clearctl.strategies.lockstep import Lockstep, Tensors, rows_in_order
from clearctl.strategies.stepping.epochs import Epochs
from clearctl.strategies.strategy import Experience
from clearctl.strategies.watching.batch import BatchResult


@dataclass
class Member:
    """A run with random generators of its own: `states` are their states while another run draws.

    The `experiment` is on the CPU, whatever the device of the arithmetic. It is new, or it is loaded from `saved`, a
    state at the start of a bucket.
    """

    settings: Settings
    experiment: Experiment
    stream: Stream
    run: Path
    listener: Listener
    states: dict[str, Any]
    saved: SavedStates | None = None
    results: RunResults = field(init=False)
    lockstep: Lockstep = field(init=False)
    test_stream: list[Experience] = field(init=False)
    test_rows: list[torch.Tensor] = field(init=False)

    def __post_init__(self) -> None:
        strategy = self.experiment.strategy
        self.results = RunResults(self.stream.bucket_names, divergence=self.experiment.divergence)
        self.state = RunState(self.experiment, self.results, self.run)
        # A run alone has it, and may load the states of this one. It is not used here: `lockstep` has the epochs.
        Epochs(strategy, _nothing, _nothing)
        self.saver = Saver(rundir.state_folder(self.run), "bucket", self.listener, in_background=True)
        self.lockstep = Lockstep(
            strategy, self.experiment.accuracy.record, loader_arguments(self.settings.data, self.stream)
        )
        self.test_stream = list(self.experiment.benchmark.test_stream)
        self.test_rows = [rows_in_order(experience.dataset.eval()) for experience in self.test_stream]
        given = self.settings.strategy.loss
        loss = given.arguments if given is not None else self.settings.model.head_loss or {}
        self.loss_weight: float = loss.get("loss_weight", 1.0)
        self.batch_size: int = strategy.train_mb_size
        if self.saved is not None:
            with self.own_generators():
                self.state.load_state(self.saved.start)

    @property
    def first_bucket(self) -> int | None:
        """The bucket at whose start the run was resumed; None for a new run."""
        return None if self.saved is None else self.saved.bucket

    def save_state(self, number: int) -> None:
        """Save the state at the start of bucket `number`."""
        with self.own_generators():
            self.saver.save(StateKey(number), lambda: captured(self.state, self.settings))

    def remove_states(self) -> None:
        """Remove the states of the finished run."""
        self.saver.finish()
        state_files.remove_all(self.saver.folder)

    def close(self) -> None:
        """Close the loggers and wait for the writer."""
        end_writing(self.experiment, self.saver)

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The run's own optimizer, which has the options and, between buckets, the state."""
        return self.experiment.strategy.optimizer

    @property
    def temperature(self) -> float | None:
        """The temperature of a cosine head, else None."""
        return getattr(self.experiment.strategy.model.get_submodule("head.fc"), "temperature", None)

    def weights(self) -> Tensors:
        """The model's weights, by name."""
        return dict(self.experiment.strategy.model.named_parameters())

    def optimizer_states(self) -> list[OptimizerState]:
        """The optimizer's state of each weight."""
        return [dict(self.optimizer.state.get(weight, {})) for weight in self.weights().values()]

    @torch.no_grad()
    def write_back(self, weights: Tensors, states: Sequence[OptimizerState]) -> None:
        """Copy weights and optimizer states into the model and the optimizer."""
        for (name, weight), state in zip(self.weights().items(), states, strict=True):
            weight.copy_(weights[name])
            if state:
                self.optimizer.state[weight] = state

    @contextmanager
    def own_generators(self) -> Iterator[None]:
        """A context in which the random generators are those of this run."""
        set_random_states(self.states)
        yield
        self.states = random_states()

    def begin_bucket(self, number: int) -> None:
        """Run everything up to the first epoch."""
        with self.own_generators():
            self.lockstep.begin_bucket(self.experiment.benchmark.train_stream[number])

    def shape(self) -> tuple[Any, ...]:
        """Members with equal shapes can be trained on this bucket as one."""
        lwf_term = self.lockstep.lwf_term()
        classes = None if lwf_term is None else lwf_term.classes
        return self.lockstep.sizes(), self.lockstep.memory_sizes(), classes, self.tested_sizes

    def draws(self) -> tuple[bytes, int]:
        """Equal for members that are expected to draw the same orders of samples."""
        return self.states["torch"].numpy().tobytes(), self.batch_size

    @property
    def tested_sizes(self) -> tuple[int, ...]:
        """The number of test samples of each bucket."""
        return tuple(len(rows) for rows in self.test_rows)

    def begin_epoch(self) -> list[torch.Tensor]:
        """The row numbers of each batch. Orders are drawn from torch's generator, so only that is exchanged."""
        torch.set_rng_state(self.states["torch"])
        batches = self.lockstep.begin_epoch()
        self.states["torch"] = torch.get_rng_state()
        return batches

    def memory_rows(self, steps: int) -> list[torch.Tensor]:
        """The row numbers of A-GEM's memory for each of an epoch's `steps`, drawn after `begin_epoch`; or nothing."""
        torch.set_rng_state(self.states["torch"])
        rows = self.lockstep.memory_rows(steps)
        self.states["torch"] = torch.get_rng_state()
        return rows

    def end_epoch(self, batches: Sequence[BatchResult], finite: bool) -> None:
        """Report the results of the batches, and whether the weights after them are finite."""
        self.experiment.divergence.finite = finite
        self.lockstep.end_epoch(batches)

    def bucket_rows(self) -> torch.Tensor:
        """The row numbers of the bucket in training, in its own order."""
        return rows_in_order(self.experiment.strategy.experience.dataset)

    def end_bucket(self, tested: Sequence[Sequence[BatchResult]]) -> None:
        """Run everything after the last epoch, and the test with the batches `tested`; add the bucket's results."""
        with self.own_generators():
            trained = self.lockstep.end_bucket()
            self.experiment.divergence.bucket_done(self.results.bucket_names[len(self.results.rows)])
            after = self.lockstep.test(self.test_stream, tested)
        accuracies = self.experiment.accuracy.accuracies
        self.results.add([accuracies[column] for column in range(len(self.test_stream))], trained, after)


def _nothing() -> None:
    pass
