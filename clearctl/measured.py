"""Measurements besides the accuracy matrix that summary numbers are computed from. Needs numpy only."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clearctl.metrics import Matrix

# Metrics of a bucket's tests that summary numbers are computed from, by their name in eval.json.
_OF_BUCKETS = re.compile(r"(ECE|NLL|AUROC)_Exp/eval_phase/test_stream/Task\d+/Exp(\d+)")


def measured_matrices(
    test: Mapping[Any, Mapping[str, Any]], buckets: int, anytime: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Matrix]:
    """{"ECE": R [rows, N], "NLL": ..., "AUROC": ...}: the results on each of N `buckets` after each bucket.

    `test` is the content of eval.json, {number of the bucket: {name: value}}; null is NaN. Only metrics of every test.
    With points of the anytime accuracy, as in eval.json, also "anytime" [points, 2]: samples seen, accuracy.
    """
    rows: list[dict[str, dict[int, float]]] = []
    for values in test.values():
        row: dict[str, dict[int, float]] = {}
        for name, value in values.items():
            match = _OF_BUCKETS.fullmatch(name)
            if match and (value is None or isinstance(value, int | float)):
                row.setdefault(match[1], {})[int(match[2])] = float("nan") if value is None else float(value)
        rows.append(row)
    whole = set(range(buckets))
    names = [name for name in (rows[0] if rows else ()) if all(row.get(name, {}).keys() == whole for row in rows)]
    found = {name: np.array([[row[name][number] for number in range(buckets)] for row in rows]) for name in names}
    if anytime:
        found["anytime"] = np.array([[point["samples_seen"], accuracy_so_far(point)] for point in anytime])
    return found


def accuracy_so_far(point: Mapping[str, Any]) -> float:
    """The mean accuracy on the buckets up to the current one, of a point of the anytime accuracy."""
    return float(np.mean(point["accuracies"][: point["bucket"] + 1]))


def is_curve(points: Sequence[Mapping[str, Any]], buckets: int) -> bool:
    """Whether `points`, as in eval.json, are valid for a run over this number of `buckets`."""
    samples = [point["samples_seen"] for point in points]
    return sorted(samples) == samples and all(
        point["samples_seen"] > 0
        and 0 <= point["bucket"] < buckets == len(point["accuracies"])
        and all(0 <= accuracy <= 1 for accuracy in point["accuracies"])
        for point in points
    )
