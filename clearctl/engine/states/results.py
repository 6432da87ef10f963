"""The results of a run, written so that a kill leaves the latest complete state: eval.json and accuracy_matrix.csv."""

import copy
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from clearctl import atomic, rundir
from clearctl.engine.divergence import Divergence
from clearctl.measured import measured_matrices
from clearctl.metrics import Matrix, compute_numbers, to_json
from clearctl.strategies.strategy import VALIDATION_STREAM

TESTED = "test_stream"


@dataclass
class RunResults:
    """The accuracy matrix, row after row, and Avalanche's metrics of each training and evaluation.

    `untrained` is the accuracy of the model before any training on each bucket, in stream order. `validation_rows` and
    `validation` are what `rows` and `test` are, of the validation parts. `anytime` are the points of the anytime
    accuracy, if it is measured. `divergence` is what watches the run.
    """

    bucket_names: list[str]
    untrained: list[float] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)
    train: dict[int, dict[str, Any]] = field(default_factory=dict)
    test: dict[int, dict[str, Any]] = field(default_factory=dict)
    validation_rows: list[list[float]] = field(default_factory=list)
    validation: dict[int, dict[str, Any]] = field(default_factory=dict)
    anytime: list[dict[str, Any]] = field(default_factory=list)
    divergence: Divergence | None = None

    @property
    def matrix(self) -> Matrix:
        """R [buckets trained on, N]."""
        return np.array(self.rows).reshape(len(self.rows), len(self.bucket_names))

    @property
    def diverged(self) -> dict[str, Any] | None:
        """The place where the run has diverged (see `Divergence`); None if it has not."""
        return self.divergence.found if self.divergence is not None else None

    @property
    def complete(self) -> bool:
        """Whether every bucket was trained on."""
        return len(self.rows) == len(self.bucket_names)

    def numbers(self) -> dict[str, float]:
        """{name: value} of the summary numbers; empty until the matrix is complete."""
        if not self.complete:
            return {}
        measured = measured_matrices(self.test, len(self.bucket_names), self.anytime)
        return compute_numbers(self.matrix, np.array(self.untrained), added=False, measured=measured)

    def validation_numbers(self) -> dict[str, float]:
        """The summary numbers of the validation parts; empty until they are complete, and without any such part."""
        complete = len(self.validation_rows) == len(self.bucket_names)
        return compute_numbers(np.array(self.validation_rows), added=False) if complete else {}

    def add(self, row: list[float], train: dict[str, Any], test: dict[str, Any]) -> None:
        """Add a bucket: its row of the matrix, and the metrics of the training on it and of the test after it.

        Avalanche returns the latest value of every metric so far: of each phase only its own are kept. Not every
        metric of a test names its phase (AMCA), but each names the stream that was tested.
        """
        of_tests = {"eval_phase", TESTED, VALIDATION_STREAM}
        learned = {name: value for name, value in train.items() if not of_tests & set(name.split("/"))}
        self.train[len(self.rows)] = _jsonable(learned)
        others = {"train_phase", VALIDATION_STREAM}
        self.test[len(self.rows)] = _jsonable(
            {name: v for name, v in test.items() if not others & set(name.split("/"))}
        )
        self.rows.append(row)

    def add_validation(self, row: list[float], tested: dict[str, Any]) -> None:
        """Add the test on the validation parts after a bucket, as `add` does those on the test parts."""
        found = {name: value for name, value in tested.items() if VALIDATION_STREAM in name.split("/")}
        self.validation[len(self.validation_rows)] = _jsonable(found)
        self.validation_rows.append(row)

    def repeat(self) -> None:
        """Add a bucket with the results of the first, for a model that learns all of them at once."""
        self.train[len(self.rows)], self.test[len(self.rows)] = self.train[0], self.test[0]
        self.rows.append(list(self.rows[0]))
        if self.validation_rows:
            self.validation[len(self.validation_rows)] = self.validation[0]
            self.validation_rows.append(list(self.validation_rows[0]))

    def state(self) -> dict[str, Any]:
        """All of it as plain values, which stay as they are when buckets are added."""
        names = ("untrained", "rows", "train", "test", "validation_rows", "validation", "anytime")
        kept = {name: copy.copy(getattr(self, name)) for name in names}
        return {**kept, "diverged": self.diverged}

    def set_state(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken of."""
        kept = copy.deepcopy(state)
        found = kept.pop("diverged", None)  # states of earlier versions lack it
        if self.divergence is not None:
            self.divergence.found = found
        for name, value in kept.items():
            setattr(self, name, value)

    def write(self, run: Path) -> None:
        """Write eval.json and accuracy_matrix.csv."""
        rundir.write_matrix(run, self.matrix, self.bucket_names)
        atomic.write_json(
            rundir.eval_file(run),
            {
                "train": {str(number): values for number, values in self.train.items()},
                "test": {str(number): values for number, values in self.test.items()},
                **_jsonable(to_json(self.numbers())),
                "untrained": self.untrained,
                "diverged": self.diverged,
                **({"validation": self._of_validation()} if self.validation_rows else {}),
                **({"anytime": self.anytime} if self.anytime else {}),
            },
        )

    def _of_validation(self) -> dict[str, Any]:
        return {
            "accuracy_matrix": self.validation_rows,
            "test": {str(number): values for number, values in self.validation.items()},
            **_jsonable(to_json(self.validation_numbers())),
        }


def _jsonable(value: object) -> Any:
    """Numbers, tensors and arrays as JSON can hold them (NaN as null); what is neither, a figure say, is left out."""
    if isinstance(value, dict):
        pairs = {str(name): _jsonable(child) for name, child in value.items()}
        return {name: child for name, child in pairs.items() if child is not _LEFT_OUT}
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "alternatives"):  # Avalanche's figure and the numbers it is drawn from
        return next((found for found in map(_jsonable, value.alternatives) if found is not _LEFT_OUT), _LEFT_OUT)
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_jsonable(child) for child in value]
    return _LEFT_OUT


_LEFT_OUT = object()
