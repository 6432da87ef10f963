"""What a run folder holds, read for a report. A run that is still going can be read too."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from clearctl import rundir
from clearctl.errors import RunError
from clearctl.metrics import Matrix, clear_metrics, gem_metrics
from clearctl.progress import Listener, Message, ignore

# What each epoch's line has, of what reports show.
_EPOCH = {"bucket", "bucket_number", "epoch", "num_epochs", "seconds", "loss", "accuracy"}


@dataclass(frozen=True)
class Run:
    """A run folder as it was when it was read.

    `values` are those of config.py, `matrix` is R [buckets trained on, N] with the columns `bucket_names`, `untrained`
    [N] the accuracy before any training, empty where it was not kept. `epochs` are the lines of metrics.jsonl of that
    kind, `evaluation` is what eval.json holds. It is `finished` where every bucket is done and no state is left.
    """

    folder: Path
    values: dict[str, Any]
    environment: dict[str, Any]
    bucket_names: list[str]
    matrix: Matrix
    untrained: list[float]
    epochs: list[dict[str, Any]]
    evaluation: dict[str, Any]
    finished: bool

    @property
    def name(self) -> str:
        """What its config calls itself, else the name of the config's file, else its strategy."""
        given = self.values.get("name")
        if isinstance(given, str) and given:
            return given
        file = self.environment.get("config")
        return Path(file).stem if file else str(self.values["cl_strategy"]["type"])

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.environment["seed"])

    @cached_property
    def numbers(self) -> dict[str, float]:
        """CLEAR's five numbers, GEM's BWT and FWT, and `training_s`; but for the last only where every bucket is there.

        `training_s` is the time of all epochs in seconds, without tests and what a strategy does between buckets; of a
        stack's, the run's equal share.
        """
        found: dict[str, float] = {}
        if len(self.matrix) == len(self.bucket_names):
            found |= clear_metrics(self.matrix)
            found |= gem_metrics(self.matrix, np.array(self.untrained) if self.untrained else None)
        together = self.environment.get("stacked") or 1
        return {**found, "training_s": sum(epoch["seconds"] for epoch in self.epochs) / together}

    @property
    def dataset(self) -> tuple[Any, ...]:
        """What is equal for runs of the same dataset and buckets, whatever their protocol, split and features."""
        known = self.environment["dataset"].get("filelists")
        return (known, *self.bucket_names)


def find_runs(folders: Iterable[Path], listener: Listener = ignore) -> list[Run]:
    """The runs at and below `folders`, sorted by path, each once; what cannot be reported is told as a warning.

    Raises RunError where none is left.
    """
    runs: dict[Path, Run] = {}
    for folder in folders:
        found = list(_run_folders(folder))
        if not found:
            text = "no such folder" if not folder.is_dir() else "no run folder, and has none below it"
            listener(Message(f"{folder} is {text}: left out", warning=True))
        for run in found:
            place = run.resolve()
            if place in runs:
                continue
            try:
                runs[place] = read_run(run)
            except RunError as error:
                listener(Message(f"{str(error).splitlines()[0]}: left out", warning=True))
    if not runs:
        raise RunError("there is no run to report\nname run folders that `clearctl train` made, or folders of them")
    return [runs[place] for place in sorted(runs)]


def read_run(folder: Path) -> Run:
    """The run in `folder`. Raises RunError for one that cannot be read, or has no tested bucket yet."""
    if not os.path.isfile(rundir.eval_file(folder)):
        raise RunError(f"{folder} has no evaluation yet: no bucket was tested")
    values, environment, evaluation = (
        read(folder) for read in (rundir.read_config, rundir.read_environment, rundir.read_eval)
    )
    matrix, bucket_names = rundir.read_matrix(folder)
    if not len(matrix):
        raise RunError(f"{folder} has no evaluation yet: no bucket was tested")
    epochs = [line for line in rundir.read_metrics(folder) if line["event"] == "epoch"]
    untrained = evaluation.get("untrained") or []
    scenario, strategy = values.get("scenario"), values.get("cl_strategy")
    for file, what, sound in (
        (rundir.config_file, "'scenario'", isinstance(scenario, dict)),
        (rundir.config_file, "'cl_strategy' with a 'type'", isinstance(strategy, dict) and "type" in strategy),
        (rundir.matrix_file, "accuracies from 0 to 1", bool(((matrix >= 0) & (matrix <= 1)).all())),
        (rundir.metrics_file, "numbers of an epoch", all(set(epoch) >= _EPOCH for epoch in epochs)),
        (rundir.eval_file, "'untrained' of every bucket", not untrained or _are_numbers(untrained, len(bucket_names))),
    ):
        if not sound:
            raise RunError(f"{file(folder)} is not as a run writes it: it lacks {what}")
    return Run(
        folder=folder,
        values=values,
        environment=environment,
        bucket_names=bucket_names,
        matrix=matrix,
        untrained=untrained,
        epochs=epochs,
        evaluation=evaluation,
        # Unlike rundir.is_finished it needs no weights: who keeps a table's runs may keep them without.
        finished=len(matrix) == len(bucket_names) and not any(rundir.state_folder(folder).glob("*.state")),
    )


def require_one_dataset(runs: list[Run]) -> None:
    """Raise RunError, naming a run of each, where the runs are of more than one dataset, or of other buckets."""
    first = runs[0]
    for run in runs:
        if run.dataset != first.dataset:
            what = "buckets" if run.bucket_names != first.bucket_names else "datasets"
            raise RunError(
                f"{first.folder} and {run.folder} are of different {what}, which do not belong in one table\n"
                "report them apart, or together nevertheless with --force"
            )


def _are_numbers(values: Any, count: int) -> bool:
    return isinstance(values, list) and len(values) == count and all(isinstance(v, int | float) for v in values)


def _run_folders(folder: Path) -> Iterator[Path]:
    for place, below, _ in os.walk(folder):
        if rundir.is_run(Path(place)):
            below.clear()
            yield Path(place)
