"""What a sweep is made of: the product of configs, seeds and grids of values, held against the runs that are there."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from clearctl import rundir
from clearctl.config.load import Config, flatten
from clearctl.engine.build import open_config
from clearctl.errors import ConfigError, RunError, UsageError

State = Literal["new", "resume", "finished"]


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep. `label` says what tells it from the others but for its seed.

    `state`: `finished` is not run again, `resume` goes on in the run folder `run`, `new` has none yet.
    """

    label: str
    seed: int
    config: Config
    source: str
    state: State
    run: Path | None

    @property
    def work_dir(self) -> Path:
        """Where its run folder is, or will be made."""
        return Path(self.config.values["work_dir"])


def make_plan(
    configs: Sequence[Path | str],
    *,
    seeds: Sequence[int] | None = None,
    grid: Mapping[str, Sequence[str]] | None = None,
    work_dir: Path | str | None = None,
    dataset_root: Path | str | None = None,
) -> list[PlannedRun]:
    """The runs of a sweep: each config with each combination of the `grid` {key: texts of its values} and each seed.

    A seed is that of everything random, and with the iid protocol of the split too, unless the grid has that key.
    Without `seeds` each config keeps its own. Run folders lie in the config's own `work_dir`, or in a folder of
    `work_dir` for each config and combination. A run that is there already is recognised by its config, whichever
    command made it. Raises ConfigError with the faults of all configs, and UsageError for runs that are planned twice.
    """
    names = config_names([Path(file) for file in configs])
    combinations = list(itertools.product(*([(key, text) for text in texts] for key, texts in (grid or {}).items())))
    faults: dict[str, None] = {}  # of many combinations mostly the same ones
    opened: list[tuple[str, str, Config]] = []
    for file, name in zip(configs, names, strict=True):
        for combination in combinations:
            varied = [(key, text) for key, text in combination if len((grid or {})[key]) > 1]
            label = ",".join([name, *(f"{key.rpartition('.')[2]}={text}" for key, text in varied)])
            place = None if work_dir is None else Path(work_dir) / label.replace("/", "_")
            try:
                config = open_config(
                    file,
                    overrides=tuple(f"{key}={text}" for key, text in combination),
                    work_dir=place,
                    dataset_root=dataset_root,
                )
            except ConfigError as error:
                faults.update(dict.fromkeys(str(error).splitlines()))
                continue
            opened.append((label, str(file), config))
    if faults:
        raise ConfigError("\n".join(faults))
    keys = set(grid or {})
    runs = [
        _planned(label, source, config if seed is None else _with_seed(config, seed, keys))
        for label, source, config in opened
        for seed in (seeds if seeds is not None else [None])
    ]
    _require_different(runs)
    there: dict[Path, list[tuple[Path, dict[str, Any]]]] = {}
    return [_found(run, there) for run in runs]


def read_grid(texts: Sequence[str]) -> dict[str, list[str]]:
    """{key: texts of its values} of `KEY=VALUE,VALUE,...` texts; commas inside brackets or quotes part nothing.

    Raises UsageError.
    """
    grid: dict[str, list[str]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        parts = [part.strip() for part in _parted(values)]
        if not equals or not key.strip() or not all(parts):
            raise UsageError(f"--set {text}: expected KEY=VALUE,VALUE, such as cl_strategy.optimizer.lr=0.1,1.0")
        if key.strip() in grid:
            raise UsageError(f"--set {text}: {key.strip()} is given twice; put all its values into one --set")
        grid[key.strip()] = parts
    return grid


def config_names(files: Sequence[Path]) -> list[str]:
    """A name for each config file: its stem, with as many folders before it as tell it from the others."""
    parts = [file.resolve().with_suffix("").parts for file in files]
    names = []
    for index, own in enumerate(parts):
        others = [other for other in parts[:index] + parts[index + 1 :] if other != own]
        length = next(
            (n for n in range(1, len(own)) if all(other[-n:] != own[-n:] for other in others)),
            len(own),
        )
        names.append("_".join(part.strip("/") for part in own[-length:]))
    return names


def _parted(text: str) -> list[str]:
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += character
    return parts


def _with_seed(config: Config, seed: int, given: set[str]) -> Config:
    scenario = dict(config.values["scenario"])
    if scenario.get("evaluation_protocol") == "iid" and "scenario.seed" not in given:
        scenario["seed"] = seed
    values = {**config.values, "scenario": scenario}
    return replace(config, values=values if "seed" in given else {**values, "seed": seed})


def _planned(label: str, source: str, config: Config) -> PlannedRun:
    return PlannedRun(label, config.values["seed"], config, source, "new", None)


def _values(values: Mapping[str, Any]) -> dict[str, str]:
    """What makes a run the same as another: all its values, but not where its folder is."""
    return {key: repr(value) for key, value in flatten(dict(values)) if key != "work_dir"}


def _require_different(runs: Sequence[PlannedRun]) -> None:
    seen: dict[tuple[Any, ...], PlannedRun] = {}
    for run in runs:
        key = (str(run.work_dir), *sorted(_values(run.config.values).items()))
        if key in seen:
            raise UsageError(f"{run.label} with seed {run.seed} is in the sweep twice")
        seen[key] = run


def _found(planned: PlannedRun, there: dict[Path, list[tuple[Path, dict[str, Any]]]]) -> PlannedRun:
    """`planned` as the run that is there, if one is: a finished one, else the newest. `there` has what was read."""
    place = planned.work_dir
    if place not in there:
        there[place] = list(_runs_in(place))
    wanted = _values(planned.config.values)
    alike = [run for run, values in there[place] if _values(values) == wanted]
    for run in alike:
        if rundir.is_finished(run):
            return replace(planned, state="finished", run=run)
    return replace(planned, state="resume", run=alike[-1]) if alike else planned


def _runs_in(place: Path) -> list[tuple[Path, dict[str, Any]]]:
    found = []
    for run in sorted(place.glob("*")):
        if rundir.is_run(run):
            try:
                found.append((run, rundir.read_config(run)))
            except RunError:  # one that a person has changed is none of the sweep's
                continue
    return found
