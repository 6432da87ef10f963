"""The plan of a sweep: the product of configs, seeds and grids of values, compared with existing runs."""

import hashlib
import itertools
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from clearctl import rundir
from clearctl.config.load import Config, flatten
from clearctl.config.words import read_literal
from clearctl.engine.build.config import open_config
from clearctl.engine.run.inputs import RunInputs
from clearctl.errors import ConfigError, RunError, UsageError

PlanState = Literal["new", "resume", "finished"]

_LONGEST_NAME = 200  # of 255 bytes that file systems allow


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep. `label` says how it differs from the others except for its seed.

    `state`: `finished` is not run again, `resume` is resumed in the run folder `run`, `new` has none yet. `changed`
    says why an existing run does not count: its data are not the current ones. `name` is that of its config among
    those of the sweep.
    """

    label: str
    seed: int
    config: Config
    source: str
    state: PlanState
    run: Path | None
    changed: str = ""
    name: str = ""

    @property
    def work_dir(self) -> Path:
        """The work directory that its run folder is, or will be, in."""
        return Path(self.config.values["work_dir"])


Combination: TypeAlias = Sequence[tuple[str, str]]  # keys, each with the text of a value


def make_plan(
    configs: Sequence[Path | str],
    *,
    seeds: Sequence[int] | None = None,
    grid: Mapping[str, Sequence[str]] | None = None,
    work_dir: Path | str | None = None,
    dataset_root: Path | str | None = None,
) -> list[PlannedRun]:
    """The runs of a sweep: each config with each combination of the `grid` {key: texts of its values} and each seed.

    A run that already exists is recognised by its config, whichever command made it. See `list_runs`.
    """
    combinations = list_combinations(grid or {})
    varied = [key for key, texts in (grid or {}).items() if len(texts) > 1]
    return find_states(list_runs(configs, combinations, varied, seeds, work_dir=work_dir, dataset_root=dataset_root))


def list_combinations(grid: Mapping[str, Sequence[str]]) -> list[Combination]:
    """The product of a grid {key: texts of its values}."""
    return list(itertools.product(*([(key, text) for text in texts] for key, texts in grid.items())))


def list_runs(
    configs: Sequence[Path | str],
    combinations: Sequence[Combination] | Mapping[str, Sequence[Combination]],
    varied: Collection[str],
    seeds: Sequence[int] | None,
    *,
    work_dir: Path | str | None = None,
    dataset_root: Path | str | None = None,
) -> list[PlannedRun]:
    """Each config with each of the combinations of values and each seed, as if no run existed.

    The `combinations` are those of all configs, or of each {name of the config: combinations}. Labels name the keys
    that are `varied`. A seed is that of everything random, and with the iid protocol of the split too, unless a
    combination has `scenario.seed`. Without `seeds` each config keeps its own. Run folders are in the config's own
    `work_dir`, or in a folder of `work_dir` for each config and combination. Raises ConfigError with the faults of all
    configs, and UsageError for runs that are planned twice, or none at all.
    """
    faults: dict[str, None] = {}  # of many combinations mostly the same ones
    runs: list[PlannedRun] = []
    for file, name in zip(configs, config_names([Path(file) for file in configs]), strict=True):
        for combination in combinations[name] if isinstance(combinations, Mapping) else combinations:
            keys = [key for key, _ in combination]
            if seeds is not None and "seed" in keys:
                raise UsageError("seeds are given twice, with --seeds and as values of seed: leave one out")
            label = run_label(name, combination, varied)
            try:
                config = open_config(
                    file,
                    overrides=tuple(f"{key}={text}" for key, text in combination),
                    work_dir=None if work_dir is None else Path(work_dir) / _folder_name(label),
                    dataset_root=dataset_root,
                )
            except ConfigError as error:
                faults.update(dict.fromkeys(str(error).splitlines()))
                continue
            of_seeds = [_with_seed(config, seed, "scenario.seed" in keys) for seed in seeds or ()]
            runs += [
                PlannedRun(label, one.values["seed"], one, config.file, "new", None, name=name)
                for one in ([config] if seeds is None else of_seeds)
            ]
    if faults:
        raise ConfigError("\n".join(faults))
    if not runs:
        raise UsageError("the sweep has no runs: expected at least one config and one seed")
    _require_different(runs)
    return runs


def run_label(name: str, combination: Combination, varied: Collection[str]) -> str:
    """`config,lr=0.1`: the name of a config, and its values for the keys that are `varied`."""
    parts = [f"{key.rpartition('.')[2]}={read_literal(text)}" for key, text in combination if key in varied]
    return ",".join([name, *parts])


def find_states(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """The runs compared with the existing ones."""
    there: dict[Path, list[tuple[Path, dict[str, Any]]]] = {}
    inputs = RunInputs()
    return [_found(run, there, inputs) for run in runs]


def config_names(files: Sequence[Path]) -> list[str]:
    """A name for each config file: its stem, with as many folders before it as make it unique."""
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


def _folder_name(label: str) -> str:
    """The label as the name of a folder, which may be neither a path nor too long for a file system."""
    name = label.replace("/", "_")
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    kept = name.encode()[: _LONGEST_NAME - 9].decode(errors="ignore")
    return f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _with_seed(config: Config, seed: int, keeps_split: bool) -> Config:
    scenario = dict(config.values["scenario"])
    if scenario.get("evaluation_protocol") == "iid" and not keeps_split:
        scenario["seed"] = seed
    return replace(config, values={**config.values, "scenario": scenario, "seed": seed})


def _values(values: Mapping[str, Any]) -> dict[str, str]:
    """The values by which runs count as the same: all of a run's, except for where its folder is."""
    return {key: repr(value) for key, value in flatten(dict(values)) if key != "work_dir"}


def _require_different(runs: Sequence[PlannedRun]) -> None:
    seen: dict[tuple[Any, ...], PlannedRun] = {}
    for run in runs:
        key = (str(run.work_dir), *sorted(_values(run.config.values).items()))
        if key in seen:
            raise UsageError(f"{run.label} with seed {run.seed} is in the sweep twice")
        seen[key] = run


def _found(planned: PlannedRun, there: dict[Path, list[tuple[Path, dict[str, Any]]]], inputs: RunInputs) -> PlannedRun:
    """`planned` as the existing run, if there is one: a finished one, else the newest. `there` has what was read.

    A run whose data have changed since is not it.
    """
    place = planned.work_dir
    if place not in there:
        there[place] = list(_runs_in(place))
    wanted = _values(planned.config.values)
    alike = []
    for run in (run for run, values in there[place] if _values(values) == wanted):
        try:
            changes = inputs.changes(planned.config, rundir.read_environment(run))
        except RunError:  # what cannot be read is for the run itself to report
            changes = []
        if changes:
            text = f"{planned.label} seed {planned.seed} is run again: {', '.join(changes)} changed since {run}"
            planned = replace(planned, changed=text)
        else:
            alike.append(run)
    for run in alike:
        with suppress(RunError):  # what cannot be read is for the run itself to report
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
