"""Accuracy class by class, if the run's config measured it with class accuracies or a confusion matrix.

The names are Avalanche's: "Top1_ClassAcc_Stream/eval_phase/test_stream/Task000/<class>" over all test sets,
"Top1_ClassAcc_Exp/eval_phase/test_stream/Task000/Exp<bucket>/<class>" on one bucket's, and
"ConfusionMatrix_Stream/eval_phase/test_stream", whose rows are the true classes. With `scenario.task_labels='bucket'`
the number after Task is the bucket's, and there is no accuracy over all test sets but in the confusion matrix.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearctl.metrics import Matrix
from clearctl.report.groups import Group
from clearctl.report.runs import Run

_NAME = re.compile(r"Top1_ClassAcc_(Stream|Exp)/eval_phase/test_stream/Task(\d+)(?:/Exp(\d+))?/(\d+)")
_CONFUSION = "ConfusionMatrix_Stream/eval_phase/test_stream"


@dataclass(frozen=True)
class ClassAccuracies:
    """Means over the runs of a group; NaN if a class was not measured.

    `names` [C] are the classes, `over_time` [C, rows] their accuracy on all test images after each bucket, `at_end`
    [C, N] that of the last model on each bucket. Either is None if no run has it. With `over_buckets` `over_time`
    is the mean over the buckets' accuracies, each counted once, because no run has the accuracy on all images.
    """

    names: list[str]
    over_time: Matrix | None
    at_end: Matrix | None
    over_buckets: bool = False

    @property
    def values(self) -> list[Matrix]:
        """Those of the two matrices that are not None."""
        return [matrix for matrix in (self.over_time, self.at_end) if matrix is not None]


def class_accuracies(group: Group) -> ClassAccuracies | None:
    """The class accuracies that the runs that count have all measured; None if there are none."""
    if not group.counted:
        return None
    over_time, at_end = (_mean([measure(run) for run in group.counted]) for measure in (_over_time, _at_end))
    known = [matrix for matrix in (over_time, at_end) if matrix is not None]
    if not known:
        return None
    count = max(len(matrix) for matrix in known)
    names = group.runs[0].environment["dataset"].get("class_names") or []
    over_time, at_end = (None if matrix is None else _padded(matrix, count) for matrix in (over_time, at_end))
    over_buckets = any(_by_bucket(run) and not _of_confusion(run) for run in group.counted)
    return ClassAccuracies([*names[:count], *map(str, range(len(names), count))], over_time, at_end, over_buckets)


def _over_time(run: Run) -> Matrix | None:
    """[C, rows], from the class accuracies or else the confusion matrices; with bucket labels in the other order."""
    first, second = (_of_confusion, _of_names) if _by_bucket(run) else (_of_names, _of_confusion)
    return _filled(first(run) or second(run), len(run.matrix))


def _of_names(run: Run) -> dict[tuple[int, int], float | None]:
    """{(class, row): accuracy} of the class accuracies; the mean over the task labels, if there are several."""
    found: dict[tuple[int, int], list[float]] = {}
    for number in range(len(run.matrix)):
        for name, value in _test(run, number).items():
            match = _NAME.fullmatch(name)
            if match and match[1] == "Stream":
                found.setdefault((int(match[4]), number), []).extend([] if value is None else [value])
    return {place: sum(values) / len(values) if values else None for place, values in found.items()}


def _of_confusion(run: Run) -> dict[tuple[int, int], float | None]:
    """{(class, row): accuracy} of the confusion matrices."""
    if _normalized_by_prediction(run):
        return {}
    return {
        (label, number): row[label] / sum(row)
        for number in range(len(run.matrix))
        for label, row in enumerate(_test(run, number).get(_CONFUSION) or [])
        if sum(row) > 0
    }


def _at_end(run: Run) -> Matrix | None:
    """[C, N] of the last model."""
    found = ((_NAME.fullmatch(name), value) for name, value in _test(run, len(run.matrix) - 1).items())
    entries = {
        (int(name[4]), int(name[3])): value
        for name, value in found
        # Avalanche has accuracies of 0 for the labels of other buckets, where the config lists classes by label.
        if name and name[1] == "Exp" and not (_by_bucket(run) and int(name[2]) != int(name[3]))
    }
    return _filled(entries, len(run.bucket_names))


def _test(run: Run, number: int) -> dict[str, Any]:
    """The measurements after training on bucket `number`."""
    return run.evaluation.get("test", {}).get(str(number)) or {}


def _by_bucket(run: Run) -> bool:
    """Whether each bucket has its own task label."""
    return bool(run.values.get("scenario", {}).get("task_labels") == "bucket")


def _normalized_by_prediction(run: Run) -> bool:
    """Whether the confusion matrix has shares of what was predicted, from which no accuracy follows."""
    metrics = run.values.get("metrics") or []
    return any(entry.get("normalize") == "pred" for entry in metrics if entry.get("type") == "confusion_matrix_metrics")


def _filled(entries: dict[tuple[int, int], float | None], columns: int) -> Matrix | None:
    """[C, columns] with NaN for what has no entry; None if nothing has."""
    known = {place: value for place, value in entries.items() if value is not None and place[1] < columns}
    if not known:
        return None
    matrix = np.full((max(label for label, _ in known) + 1, columns), np.nan)
    for place, value in known.items():
        matrix[place] = value
    return matrix


def _mean(matrices: Sequence[Matrix | None]) -> Matrix | None:
    """The mean of matrices of all runs; None if a run has none."""
    known = [matrix for matrix in matrices if matrix is not None]
    if len(known) < len(matrices):
        return None
    count = max(len(matrix) for matrix in known)
    return np.asarray(np.mean([_padded(matrix, count) for matrix in known], axis=0))


def _padded(matrix: Matrix, count: int) -> Matrix:
    """The matrix with rows of NaN up to `count`."""
    return np.vstack([matrix, np.full((count - len(matrix), matrix.shape[1]), np.nan)])
