"""Accuracy class by class, where the run's config measured it with class accuracies or a confusion matrix.

The names are Avalanche's: "Top1_ClassAcc_Stream/eval_phase/test_stream/Task000/<class>" over all test sets,
"Top1_ClassAcc_Exp/eval_phase/test_stream/Task000/Exp<bucket>/<class>" on one bucket's, and
"ConfusionMatrix_Stream/eval_phase/test_stream", whose rows are the true classes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearctl.metrics import Matrix
from clearctl.report.groups import Group
from clearctl.report.runs import Run

_NAME = re.compile(r"Top1_ClassAcc_(Stream|Exp)/eval_phase/test_stream/Task\d+(?:/Exp(\d+))?/(\d+)")
_CONFUSION = "ConfusionMatrix_Stream/eval_phase/test_stream"


@dataclass(frozen=True)
class ClassAccuracies:
    """Means over the runs of a group; NaN where a class was not measured.

    `names` [C] are the classes, `over_time` [C, rows] their accuracy on all test images after each bucket, `at_end`
    [C, N] that of the last model on each bucket. Either is None where no run has it.
    """

    names: list[str]
    over_time: Matrix | None
    at_end: Matrix | None

    @property
    def values(self) -> list[Matrix]:
        """Those of the two that there are."""
        return [matrix for matrix in (self.over_time, self.at_end) if matrix is not None]


def class_accuracies(group: Group) -> ClassAccuracies | None:
    """What the runs that count have all measured; None where that is nothing."""
    over_time, at_end = (_mean([measure(run) for run in group.counted]) for measure in (_over_time, _at_end))
    known = [matrix for matrix in (over_time, at_end) if matrix is not None]
    if not known:
        return None
    count = max(len(matrix) for matrix in known)
    names = group.runs[0].environment["dataset"].get("class_names") or []
    padded = [None if matrix is None else _padded(matrix, count) for matrix in (over_time, at_end)]
    return ClassAccuracies([*names[:count], *map(str, range(len(names), count))], *padded)


def _over_time(run: Run) -> Matrix | None:
    """[C, rows], from the class accuracies or else the confusion matrices."""
    tests = [_test(run, number) for number in range(len(run.matrix))]
    entries = {
        (int(found[3]), number): value
        for number, test in enumerate(tests)
        for name, value in test.items()
        if (found := _NAME.fullmatch(name)) and found[1] == "Stream"
    }
    if not entries and not _normalized_by_prediction(run):
        entries = {
            (label, number): row[label] / sum(row)
            for number, test in enumerate(tests)
            for label, row in enumerate(test.get(_CONFUSION) or [])
            if sum(row) > 0
        }
    return _filled(entries, len(run.matrix))


def _at_end(run: Run) -> Matrix | None:
    """[C, N] of the last model."""
    found = ((_NAME.fullmatch(name), value) for name, value in _test(run, len(run.matrix) - 1).items())
    entries = {(int(name[3]), int(name[2])): value for name, value in found if name and name[1] == "Exp"}
    return _filled(entries, len(run.bucket_names))


def _test(run: Run, number: int) -> dict[str, Any]:
    """What was measured after training on bucket `number`."""
    return run.evaluation.get("test", {}).get(str(number)) or {}


def _normalized_by_prediction(run: Run) -> bool:
    """Whether the confusion matrix has shares of what was predicted, from which no accuracy can be told."""
    metrics = run.values.get("metrics") or []
    return any(entry.get("normalize") == "pred" for entry in metrics if entry.get("type") == "confusion_matrix_metrics")


def _filled(entries: dict[tuple[int, int], float | None], columns: int) -> Matrix | None:
    """[C, columns] with NaN for what has no entry; None where nothing has."""
    known = {place: value for place, value in entries.items() if value is not None and place[1] < columns}
    if not known:
        return None
    matrix = np.full((max(label for label, _ in known) + 1, columns), np.nan)
    for place, value in known.items():
        matrix[place] = value
    return matrix


def _mean(matrices: Sequence[Matrix | None]) -> Matrix | None:
    """The mean of matrices of all runs; None where a run has none."""
    known = [matrix for matrix in matrices if matrix is not None]
    if len(known) < len(matrices):
        return None
    count = max(len(matrix) for matrix in known)
    return np.asarray(np.mean([_padded(matrix, count) for matrix in known], axis=0))


def _padded(matrix: Matrix, count: int) -> Matrix:
    """The matrix with rows of NaN up to `count`."""
    return np.vstack([matrix, np.full((count - len(matrix), matrix.shape[1]), np.nan)])
