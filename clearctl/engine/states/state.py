"""The state of a run: its strategy with everything in it, generators, results, the lengths of its files."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clearctl import rundir
from clearctl.distributed import world
from clearctl.distributed.randomness import random_states, set_random_states
from clearctl.engine.build.experiment import Experiment
from clearctl.engine.states.results import RunResults
from clearctl.errors import RunError
from clearctl.strategies.loggers.run_logger import truncate_files
from clearctl.strategies.snapshot.capture import CannotCaptureError, Capturer
from clearctl.strategies.snapshot.kinds import Node, Nodes, external_objects
from clearctl.strategies.snapshot.restore import CannotRestoreError, restore
from clearctl.strategies.stepping.epochs import BucketProgress
from clearctl.strategies.strategy import left_out_stream, validation_stream


class RunState:
    """Captures the state of an experiment in its `run` folder, and loads one into it.

    To be made before anything is learned.
    """

    def __init__(self, experiment: Experiment, results: RunResults, run: Path) -> None:
        self.experiment = experiment
        self.results = results
        self.run = run
        benchmark = experiment.benchmark
        held_out, left_out = validation_stream(benchmark), left_out_stream(benchmark)
        self._given = external_objects(
            {
                "train": [experience.dataset for experience in benchmark.train_stream],
                "test": [experience.dataset for experience in benchmark.test_stream],
                **({"valid": [experience.dataset for experience in held_out]} if held_out else {}),
                **({"left_out": [experience.dataset for experience in left_out]} if left_out else {}),
            }
        )
        self._capturer = Capturer(self._given)

    def capture(self, progress: BucketProgress | None) -> dict[str, Any]:
        """The state now, within a bucket at `progress`, as plain values and tensors. Raises CannotCaptureError."""
        strategy = self.experiment.strategy
        strategy.evaluator.flush()
        for logger in self.experiment.run_loggers:
            logger.flush()
        return {
            "strategy": self.capture_strategy(),
            "place": None if progress is None else asdict(progress),
            "random": random_states(),
            "results": self.results.state(),
            "files": {str(file.relative_to(self.run)): file.stat().st_size for file in self._files()},
        }

    def require_capturable(self) -> None:
        """Raise RunError, naming it, for a user-defined object that cannot be captured in a state."""
        try:
            self.capture_strategy()
        except CannotCaptureError as error:
            raise RunError(
                f"no state of this run could be saved: {error}\n"
                "name its module in custom_imports, or give it state_dict() and load_state_dict()"
            ) from None

    def capture_strategy(self) -> Nodes:
        """The captured strategy alone."""
        return self._capturer.capture(self._roots(), self.experiment.strategy.device)

    def load_state(self, state: dict[str, Any], files_of: dict[str, Any] | None = None) -> None:
        """Restore the experiment, the generators, the results and the files from `state`.

        The files to where `files_of` was taken, if a later state is to be loaded after this one.
        """
        for logger in self.experiment.run_loggers:
            logger.flush()
        strategy, parts = self.experiment.strategy, state["strategy"]
        if world.is_first():
            truncate_run_files(files_of or state, self.run)
        else:
            parts = without_loggers(parts)
        try:
            restore(parts, self._roots(), self._given, strategy.device)
        except CannotRestoreError as error:
            raise RunError(f"the state of {self.run} does not fit its config: {error}") from None
        self.results.set_state(state["results"])
        set_random_states(state["random"])

    def _roots(self) -> dict[str, Any]:
        strategy = self.experiment.strategy
        return {"model": strategy.model, "strategy": strategy}  # the network first: others only refer to its weights

    def _files(self) -> list[Path]:
        """The files in the run folder that are added to, line after line. One elsewhere may be other runs' too."""
        files = [rundir.metrics_file(self.run)]
        files += [file for logger in self.experiment.run_loggers for file in logger.files()]
        return [file for file in files if file.exists() and file.is_relative_to(self.run)]


def truncate_run_files(state: dict[str, Any], run: Path, there: Iterable[Path] = ()) -> None:
    """Cut the files back to what they held when `state` was taken, and delete others of those that are `there`.

    Raises RunError if one is shorter.
    """
    sizes = {run / name: size for name, size in state["files"].items()}
    for file in sizes:
        if not file.resolve().is_relative_to(run.resolve()):
            raise RunError(f"the state of {run} contains a file outside the run folder: {file}")
    truncate_files({str(file): size for file, size in sizes.items()}, there)


def without_loggers(nodes: Nodes) -> Nodes:
    """A captured state that leaves the evaluator's loggers unchanged."""
    return [(name, _left_alone(node)) for name, node in nodes]


def _left_alone(node: Node) -> Node:
    if isinstance(node, tuple) and node[0] == "object":
        kept = {
            name: ("alone",) if name == "loggers" and node[2].endswith(".Evaluator") else _left_alone(child)
            for name, child in node[3].items()
        }
        return (*node[:3], kept)
    if isinstance(node, tuple) and node[0] in ("list", "tuple"):
        return (*node[:-1], [_left_alone(child) for child in node[-1]])
    return node
