"""The consequences of a config's evaluation protocol for its results."""

from collections.abc import Mapping
from typing import Any

from clearctl.config.keys import SCENARIO
from clearctl.metrics import NUMBERS

STREAMING: str = SCENARIO["evaluation_protocol"].default
WHOLE_STREAM = ("JointTraining",)  # strategies that see every bucket before the first test


def protocol_of(values: Mapping[str, Any]) -> str:
    """The evaluation protocol of a config's values, "streaming" or "iid"."""
    return str(values["scenario"].get("evaluation_protocol") or STREAMING)


def on_validation_images(values: Mapping[str, Any]) -> bool:
    """Whether a run is tested on images held out of its training part instead of the test part."""
    return bool(values["scenario"].get("evaluate_on") == "validation")


def sees_all_first(values: Mapping[str, Any]) -> bool:
    """Whether the strategy sees every bucket before the first test."""
    return values["cl_strategy"]["type"] in WHOLE_STREAM


def on_training_images(values: Mapping[str, Any], *, of_matrix: bool = False) -> frozenset[str]:
    """The names of the summary numbers that include accuracies on training images.

    Under the streaming protocol a bucket is tested on its training images: the diagonal of the matrix and everything
    below it is such. For joint training, which sees the whole stream first, this holds for all entries. With
    `of_matrix` only numbers of the accuracy matrix.
    """
    if protocol_of(values) != STREAMING or on_validation_images(values):
        return frozenset()
    everything = sees_all_first(values)
    there = {
        name: number
        for name, number in NUMBERS.items()
        if number.compute is not None
        and (number.measured is None or (not of_matrix and _measures(values, number.measured)))
    }
    return frozenset(name for name, number in there.items() if everything or number.on_or_below_diagonal)


def _measures(values: Mapping[str, Any], what: str) -> bool:
    """Whether a run of the config measures `what`, from which a summary number is computed."""
    if what == "anytime":
        return values["cl_strategy"].get("eval_every_steps") is not None
    return any(entry.get("type") == "calibration_metrics" for entry in values.get("metrics") or [])
