"""Changes since a run started: its config, its dataset, the versions. Reported, and accepted on request."""

import platform
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from clearctl.config.fill import fill
from clearctl.config.load import Config, flatten
from clearctl.data.stream import Stream
from clearctl.engine.build.experiment import Experiment, build_experiment
from clearctl.engine.build.model import build_model
from clearctl.engine.machine import packages
from clearctl.engine.run.inputs import FIRST_WEIGHTS
from clearctl.engine.run.loop import SavedStates
from clearctl.engine.states.results import RunResults
from clearctl.engine.states.state import RunState, without_loggers
from clearctl.errors import RunError
from clearctl.progress import ignore
from clearctl.strategies.snapshot.merge import OtherPartsError, merged
from clearctl.version import __version__


def other_values(before: dict[str, Any], now: Config) -> Iterator[str]:
    """A line for each value of the config that is another."""
    old_values, new_values = dict(flatten(before)), dict(flatten(now.values))
    for key in [*old_values, *(key for key in new_values if key not in old_values)]:
        old, new = (repr(values[key]) if key in values else "missing" for values in (old_values, new_values))
        if old != new and key != "work_dir":  # a run folder may be moved
            note = ", which no longer has an effect" if _only_affects_start(key) else ""
            yield f"config: {key} was {old}, is now {new}{note}"


def _only_affects_start(key: str) -> bool:
    """Whether a value of the config only says what the first weights and random numbers are."""
    return key in ("seed", *FIRST_WEIGHTS) or "init_cfg" in key.split(".")


def other_versions(environment: dict[str, Any]) -> Iterator[str]:
    """A line for each library that has another version than environment.json says."""
    before = {
        "clearctl": environment.get("clearctl"),
        "python": environment.get("python"),
        **environment.get("packages", {}),
    }
    now = {"clearctl": __version__, "python": platform.python_version(), **packages()}
    for name, version in before.items():
        if version != now.get(name):
            yield f"version: {name} was {version}, is now {now.get(name)}"


def with_changes(
    saved: SavedStates, now: Config, experiment: Experiment, stream: Stream, device: torch.device, run: Path
) -> SavedStates:
    """`saved` with the values of the config `now`, of which `experiment` is, if they are others than in its own.

    A state in the middle of an epoch is left out, since its batches may be others. Raises RunError for a config whose
    run is made of other parts.
    """
    # The loggers are those of the config now: they start over.
    settings = fill(replace(now, values={**saved.start["config"], "loggers": []}))
    model = build_model(settings, stream, ignore).to(device)
    first = build_experiment(settings, stream, model, device, run=run, on_epoch=lambda done, lr: None)
    before = RunState(first, RunResults(stream.bucket_names), run).capture_strategy()
    after = RunState(replace(experiment, loggers=[]), RunResults(stream.bucket_names), run).capture_strategy()
    within = saved.within
    if within is not None and within["place"]["position"] is not None:
        within = None

    def changed(state: dict[str, Any]) -> dict[str, Any]:
        return {
            **state,
            "config": now.values,
            "strategy": merged(without_loggers(state["strategy"]), *map(without_loggers, (before, after))),
        }

    try:
        return SavedStates(saved.bucket, changed(saved.start), None if within is None else changed(within))
    except OtherPartsError as error:
        raise RunError(
            f"the config of {run} has changed the parts of its run, at {error}\n"
            "undo that, or start a new run with load_from"
        ) from None
