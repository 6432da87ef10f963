"""selection.json: the settings tried, their results, the chosen one; in the work directory and in runs."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from clearctl import atomic, regular, rundir
from clearctl.errors import RunError
from clearctl.sweep.outcome import RunOutcome
from clearctl.sweep.select.choice import Choice
from clearctl.sweep.select.metric import SelectionMetric


def record(choice: Choice, metric: SelectionMetric, first: int | None, engine: str) -> dict[str, Any]:
    """A choice as in selection.json."""
    assert choice.chosen is not None
    return {
        "metric": metric.name,
        "first": first,
        "engine": engine,
        "config": choice.config,
        "chosen": choice.chosen.label,
        "ties": list(choice.ties),
        "tried": len(choice.settings),
        "seeds": choice.num_seeds,
        "settings": [setting.as_json() for setting in choice.settings],
    }


def write_choices(folder: Path, records: Sequence[dict[str, Any]]) -> Path:
    """Write selection.json of a work directory. Raises RunError."""
    file = rundir.selection_file(folder)
    _write(file, {"choices": list(records)})
    return file


def write_to_runs(chosen: dict[str, Any], outcomes: Sequence[RunOutcome]) -> None:
    """Write a record into each run folder of the setting that it says was chosen. Raises RunError."""
    for outcome in outcomes:
        if outcome.run is not None:
            _write(rundir.selection_file(outcome.run), chosen)


def earlier_choices(folder: Path, records: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A line for each config of which another setting was chosen, and tested, before."""
    try:
        before = json.loads(regular.read_text(rundir.selection_file(folder)))["choices"]
        chosen = {one["config"]: (one["chosen"], one["tried"]) for one in before}
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or none that a sweep has written
        return
    for one in records:
        label, tried = chosen.get(one["config"], (one["chosen"], 0))
        if label != one["chosen"]:
            yield (
                f"{label} was chosen before from {tried}, now {one['chosen']} from {one['tried']}: both are"
                " tested on the test images, so say so when you publish the numbers"
            )


def _write(file: Path, content: dict[str, Any]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(file, json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise RunError(f"{file} cannot be written: {error.strerror or error}") from None
