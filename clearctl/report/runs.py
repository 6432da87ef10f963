"""Reads a run folder for a report. A run in progress can be read too."""

import hashlib
import math
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from clearctl import rundir
from clearctl.config.protocol import on_training_images, on_validation_images, protocol_of
from clearctl.errors import RunError
from clearctl.measured import is_curve, measured_matrices
from clearctl.metrics import Matrix, compute_numbers
from clearctl.named_run import is_dataset
from clearctl.progress import Listener, Message, ignore
from clearctl.report.foreign import read_foreign
from clearctl.wording import counted, first_line

_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
_FOLDER = re.compile(r"(\d{8}-\d{6})-seed\d+(?:-(\d+))?")


@dataclass(frozen=True)
class Run:
    """A run folder as it was when it was read.

    `values` are those of config.py, `matrix` is R [buckets trained on, N] with the columns `bucket_names`, `untrained`
    [N] the accuracy before any training, empty if it was not kept. `epochs` are the lines of metrics.jsonl of that
    kind, `evaluation` is what eval.json holds, `selection` what selection.json does, if there is one. It is `finished`
    where every bucket is done and no state is left.
    Of a `foreign` one there is a matrix alone, in a file: it has no seed, config and times.
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
    foreign: bool = False
    selection: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """The name that its config gives it, else that of the config's file, else its strategy."""
        given = self.values.get("name")
        if isinstance(given, str) and given:
            return given
        file = self.environment.get("config")
        return Path(file).stem if file else str(self.values["cl_strategy"]["type"])

    @property
    def seed(self) -> int | None:
        """The run's seed."""
        return None if self.foreign else int(self.environment["seed"])

    @cached_property
    def numbers(self) -> dict[str, float]:
        """CLEAR's numbers and those added to them, GEM's BWT and FWT, and `training_s`, if it was not made elsewhere.

        Those of calibration, and the anytime accuracy, are included if its config measured them.

        Except for the last, they exist only if every bucket is done.

        `training_s` is the time of all epochs in seconds, without tests and what a strategy does between buckets; of a
        stack's, the run's equal share.
        """
        found: dict[str, float] = {}
        if len(self.matrix) == len(self.bucket_names):
            untrained = np.array(self.untrained) if self.untrained else None
            found |= compute_numbers(self.matrix, untrained, measured=self.measured)
        if self.foreign:
            return found
        together = self.environment.get("stacked") or 1
        return {**found, "training_s": sum(epoch["seconds"] for epoch in self.epochs) / together}

    @cached_property
    def measured(self) -> dict[str, Matrix]:
        """The matrices that it has measured besides its accuracies (`measured.measured_matrices`)."""
        test, points = self.evaluation.get("test") or {}, self.evaluation.get("anytime") or []
        return measured_matrices(test, len(self.bucket_names), points)

    @property
    def diverged(self) -> dict[str, Any] | None:
        """The place where it diverged: {"bucket", "epoch", "reason"}; None if it did not.

        Earlier versions did not note it: of their runs the first epoch without a finite loss shows it.
        """
        if "diverged" in self.evaluation:
            noted: dict[str, Any] | None = self.evaluation["diverged"]
            return noted
        for epoch in self.epochs:
            loss = epoch["loss"]
            if loss is None or not math.isfinite(loss):
                return {"bucket": epoch["bucket"], "epoch": epoch["epoch"], "reason": "the loss is not finite"}
        return None

    @property
    def protocol(self) -> str | None:
        """The evaluation protocol, "streaming" or "iid"; None of a matrix from a file, which says nothing about it."""
        return None if self.foreign else protocol_of(self.values)

    @property
    def on_training_images(self) -> frozenset[str]:
        """The names of its summary numbers that have accuracies on images that were trained on before the test."""
        return frozenset() if self.foreign else on_training_images(self.values)

    @property
    def on_validation_images(self) -> bool:
        """Whether it was tested on images held out of its training part, not on the test part."""
        return not self.foreign and on_validation_images(self.values)

    @property
    def identity(self) -> tuple[Any, ...]:
        """A key that differs among the runs of a group: the seed and, if that draws the split, the split's."""
        return self.seed, self.values["scenario"].get("seed") if self.protocol == "iid" else None

    @property
    def age(self) -> tuple[str, int]:
        """A sort key for its start: as the name of its folder says, else when its evaluation was written."""
        named = _FOLDER.fullmatch(self.folder.resolve().name)
        if named:
            return named[1], int(named[2] or 1)
        file = rundir.eval_file(self.folder)
        return time.strftime("%Y%m%d-%H%M%S", time.localtime(file.stat().st_mtime)) if file.is_file() else "", 0

    @cached_property
    def data(self) -> dict[str, str]:
        """{name: digest} of what it learned from, and of the weights that it began with, as far as it noted them.

        The names of weights are the keys of the config that name their files, after "weights.".
        """
        known = self.environment["dataset"]
        found = {f"dataset.{name}": known[name] for name in ("filelists", "features") if known.get(name)}
        if known.get("class_names"):
            found["dataset.class_names"] = hashlib.sha256("\n".join(known["class_names"]).encode()).hexdigest()
        return found | {f"weights.{key}": digest for key, digest in (self.environment.get("weights") or {}).items()}

    @property
    def dataset(self) -> tuple[Any, ...]:
        """A key that is equal for runs of the same dataset and buckets, whatever their protocol, split and features."""
        known = self.environment["dataset"].get("filelists")
        return (known, *self.bucket_names)


def find_runs(places: Iterable[Path], listener: Listener = ignore) -> list[Run]:
    """The runs at and below the folders of `places`, each once, then the matrices in its files.

    They are sorted by path, with numbers by their value: lr=2.0 before lr=10.0.
    A warning names what is not a run, or cannot be reported. Raises RunError if nothing is left, and for a file
    that is not an accuracy matrix.
    """
    named = list(places)
    files = dict.fromkeys(place for place in named if place.is_file())
    runs: dict[Path, Run] = {}
    for folder in (place for place in named if place not in files):
        found = list(_run_folders(folder))
        if not found:
            text = f"no such folder: {folder}"
            if folder.is_dir():
                what = "a dataset folder" if is_dataset(folder) else "not a run folder, and contains none"
                text = f"{folder} is {what}: left out"
            listener(Message(text, warning=True))
        for run in found:
            place = run.resolve()
            if place in runs:
                continue
            try:
                runs[place] = read_run(run)
            except RunError as error:
                listener(Message(f"{first_line(error)}: left out", warning=True))
    in_order = [runs[place] for place in sorted(runs, key=_by_numbers)]
    in_order += [_foreign_run(file, in_order) for file in files]
    if not in_order:
        raise RunError("no run to report\ngive run folders of `clearctl train`, or folders that contain them")
    return in_order


def _by_numbers(place: Path) -> tuple[list[tuple[int, float, str]], Path]:
    """The key of a sort of paths in which the numbers in names count as numbers: 0.02, 0.1, 1e1; seed2, seed10."""
    parts = enumerate(_NUMBER.split(str(place)))
    return [(0, float(part), "") if index % 2 else (1, 0.0, part) for index, part in parts], place


def _foreign_run(file: Path, runs: Sequence[Run]) -> Run:
    """The matrix in a file as a run; buckets that it does not name have the names of the `runs`' if as many."""
    matrix, names = read_foreign(file)
    alike = (run.bucket_names for run in runs if len(run.bucket_names) == len(matrix))
    return Run(
        folder=file,
        values={"name": file.name},
        environment={"dataset": {}},
        bucket_names=names or next(alike, None) or list(map(str, range(len(matrix)))),
        matrix=matrix,
        untrained=[],
        epochs=[],
        evaluation={},
        finished=True,
        foreign=True,
    )


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
    for file, what, sound in (
        (rundir.matrix_file, "accuracies from 0 to 1", bool(((matrix >= 0) & (matrix <= 1)).all())),
        (rundir.eval_file, "'untrained' of every bucket", len(untrained) in (0, len(bucket_names))),
        (rundir.eval_file, "'anytime' in order", is_curve(evaluation.get("anytime") or [], len(bucket_names))),
    ):
        if not sound:
            raise RunError(f"{file(folder)} is damaged: it lacks {what}")
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
        selection=rundir.read_selection(folder),
    )


def require_one_dataset(runs: Sequence[Run]) -> None:
    """Raise RunError, naming a run of each, if the runs are of more than one dataset, or of other buckets."""
    first, *others = by_dataset(runs).values()
    for run in others:
        what = "buckets" if run.bucket_names != first.bucket_names else "datasets"
        raise RunError(
            f"{first.folder} and {run.folder} have different {what}, which do not belong in one table\n"
            "report them separately, or use --force to combine them"
        )


def without_validation(runs: Sequence[Run], listener: Listener) -> list[Run]:
    """The runs that were tested on the test part, if there are any; the others are reported.

    Runs that were tested on validation images, such as those that a setting was chosen by, are in a report of their
    own: nobody is to take their numbers for those of tests.
    """
    held_out = [run for run in runs if run.on_validation_images]
    if not 0 < len(held_out) < len(runs):
        return list(runs)
    text = f"{counted(len(held_out), 'run')} tested on validation images, such as {held_out[0].folder}, left out"
    listener(Message(f"{text}: report them alone, or use --force to include them"))
    return [run for run in runs if not run.on_validation_images]


def by_dataset(runs: Sequence[Run]) -> dict[tuple[Any, ...], Run]:
    """{dataset: the first run of it}; a matrix from a file is of any dataset that has buckets of the same names."""
    found = {run.dataset: run for run in reversed(runs) if not run.foreign}
    found = {run.dataset: run for run in runs if found.get(run.dataset) is run}
    for run in runs:
        if run.foreign and all(run.bucket_names != other.bucket_names for other in found.values()):
            found[run.dataset] = run
    return found


def _run_folders(folder: Path) -> Iterator[Path]:
    for place, below, _ in os.walk(folder):
        if rundir.is_run(Path(place)):
            below.clear()
            yield Path(place)
