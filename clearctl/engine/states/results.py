"""What a run found, written so that a kill leaves the latest whole state: eval.json and accuracy_matrix.csv."""

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

TESTED = "test_stream"


@dataclass
class RunResults:
    """The accuracy matrix, row after row, and Avalanche's metrics of each training and evaluation.

    `untrained` is the accuracy of the model before any training on each bucket, in stream order. `anytime` are the
    points of the anytime accuracy, where it is measured. `divergence` is what watches the run.
    """

    bucket_names: list[str]
    untrained: list[float] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)
    train: dict[int, dict[str, Any]] = field(default_factory=dict)
    test: dict[int, dict[str, Any]] = field(default_factory=dict)
    anytime: list[dict[str, Any]] = field(default_factory=list)
    divergence: Divergence | None = None

    @property
    def matrix(self) -> Matrix:
        """R [buckets trained on, N]."""
        return np.array(self.rows).reshape(len(self.rows), len(self.bucket_names))

    @property
    def diverged(self) -> dict[str, Any] | None:
        """Where the run has diverged (see `Divergence`); None where it has not."""
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

    def add(self, row: list[float], train: dict[str, Any], test: dict[str, Any]) -> None:
        """Add a bucket: its row of the matrix, and the metrics of the training on it and of the test after it.

        Avalanche returns the latest value of every metric so far: of each phase only its own are kept. Not every
        metric of a test names its phase (AMCA), but each names the stream that was tested.
        """
        learned = {name: value for name, value in train.items() if not {"eval_phase", TESTED} & set(name.split("/"))}
        self.train[len(self.rows)] = _jsonable(learned)
        self.test[len(self.rows)] = _jsonable({name: v for name, v in test.items() if "train_phase" not in name})
        self.rows.append(row)

    def state(self) -> dict[str, Any]:
        """All of it as plain values, which stay as they are when buckets are added."""
        kept = {name: copy.copy(getattr(self, name)) for name in ("untrained", "rows", "train", "test", "anytime")}
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
                **({"anytime": self.anytime} if self.anytime else {}),
            },
        )


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
