"""The metrics that a plugin such as EarlyStoppingPlugin can watch: numbers of a test, by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from clearctl.strategies.registry import METRICS

# Metrics whose values are pictures or tables, or say nothing about how good the model is.
_NO_NUMBERS = ("accuracy_matrix_metrics", "confusion_matrix_metrics", "images_samples_metrics", "mean_scores_metrics")


def test_metrics(entries: Sequence[Any]) -> list[str]:
    """The names under which the metrics that `entries` describe give numbers in a test, without phase and stream.

    An entry with a fault gives none.
    """
    return [name for entry in entries if isinstance(entry, dict) for name in _names(entry)]


def _names(entry: Mapping[str, Any]) -> list[str]:
    kind = entry.get("type")
    if METRICS.fault(kind) is not None or kind in _NO_NUMBERS:
        return []
    try:
        made = METRICS[str(kind)](**{name: value for name, value in entry.items() if name != "type"})
    except Exception:  # whatever is wrong with it is its own fault
        return []
    metrics = made if isinstance(made, list | tuple) else [made]
    # The generic ones say when they are measured; all others are measured in tests.
    return [str(metric) for metric in metrics if getattr(metric, "_mode", "eval") == "eval"]
