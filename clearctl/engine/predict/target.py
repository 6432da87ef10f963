"""The weights to predict with: a run's after one bucket, after each bucket, or a file."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearctl import layout, rundir
from clearctl.config.fill import fill
from clearctl.config.load import Config
from clearctl.config.settings import Settings
from clearctl.engine.build.config import open_config, open_run_config
from clearctl.errors import ClearctlError, RunError, UsageError
from clearctl.named_run import require_run
from clearctl.nearby import nearby_file
from clearctl.progress import Listener, Message
from clearctl.wording import all_of, few


@dataclass(frozen=True)
class Target:
    """Weights and what they are of.

    `checkpoints` {name of the bucket after which they are: file}, in the order of the stream; of a file that is no
    run's by the file's name. `environment` is what the run noted, {} without a run. `run` is None without one.
    """

    config: Config
    settings: Settings
    class_names: tuple[str, ...]
    checkpoints: dict[str, Path]
    without_weights: tuple[str, ...]
    environment: dict[str, Any]
    run: Path | None


def find_target(
    target: Path, *, config: Path | None, bucket: str | None, all_buckets: bool, listener: Listener
) -> Target:
    """The weights that a run folder, or a checkpoint, stands for: of a run those after its last bucket.

    Args:
        target: a run folder, or a file of weights. A file in a run folder is that run's.
        config: for a file outside of one: the run folder, or the config, that it was trained with.
        bucket: of a run those after the bucket of this name.
        all_buckets: of a run those after each bucket that it has saved any of.
        listener: notified of buckets without weights.

    Raises UsageError, RunError, ConfigError; the dataset is not read, unless a config has to.
    """
    if bucket is not None and all_buckets:
        raise UsageError("--bucket and --all-buckets exclude each other: give one of them")
    if target.is_dir():
        return _of_run(target, config, bucket, all_buckets, listener)
    if target.suffix == ".py":
        raise UsageError(f"{target} is a config: give a run folder, or a checkpoint with --config {target}")
    if not target.exists():
        raise RunError(f"no run folder or checkpoint at {target}{nearby_file(target)}")
    if bucket is not None or all_buckets:
        raise UsageError(f"--bucket and --all-buckets are for run folders, but {target} is a file: leave them out")
    run = _run_around(target) if config is None else config if config.is_dir() else None
    if run is not None:
        require_run(run)
        return _target(open_run_config(run), run, {_name_in(run, target): target}, (), listener)
    if config is None:
        raise UsageError(
            f"{target} is not in a run folder, so its config is unknown\n"
            "give its run folder or config: --config RUN|FILE"
        )
    return _target(open_config(config), None, {target.stem: target}, (), listener)


def _of_run(run: Path, config: Path | None, bucket: str | None, all_buckets: bool, listener: Listener) -> Target:
    require_run(run)
    if config is not None:
        raise UsageError(f"--config is for a checkpoint outside a run folder, but {run} is one: leave it out")
    found = rundir.checkpoints(run)
    names = bucket_names(run)
    named = {_name(names, number): file for number, file in found.items()}
    if bucket is not None and bucket not in {*names, *named}:
        raise UsageError(f"--bucket {bucket}: the run has trained on {all_of(names) if names else 'no bucket'}")
    if not found:
        raise RunError(f"{run} has no weights: expected checkpoints/exp_<k>.pth, one for each trained bucket")
    without = tuple(name for name in names if name not in named)
    if bucket is not None and bucket not in named:
        number = names.index(bucket) + 1
        raise RunError(
            f"{run} has no weights after bucket {bucket}: {rundir.checkpoint_file(Path(), number)} is missing\n"
            f"there are weights after bucket {all_of(list(named))} (checkpoint_config.interval)"
        )
    if all_buckets:
        if without:
            listener(Message(f"there are no weights after bucket {few(without)}", warning=True))
        return _target(open_run_config(run), run, named, without, listener)
    chosen = bucket if bucket is not None else list(named)[-1]
    return _target(open_run_config(run), run, {chosen: named[chosen]}, without, listener)


def _target(
    config: Config, run: Path | None, checkpoints: dict[str, Path], without: tuple[str, ...], listener: Listener
) -> Target:
    environment = rundir.read_environment(run) if run is not None else {}
    settings = fill(config)
    names = tuple((environment.get("dataset") or {}).get("class_names") or ()) or _names_of_dataset(settings, listener)
    return Target(config, settings, names, checkpoints, without, environment, run)


def _names_of_dataset(settings: Settings, listener: Listener) -> tuple[str, ...]:
    """The class names of the config's dataset, if that exists; else none, which is reported."""
    scenario = settings.scenario
    try:
        return tuple(scenario.selection.names(layout.read_class_names(scenario.dataset_root)))
    except ClearctlError:
        text = (
            f"the class names are unknown, since there is no dataset at {scenario.dataset_root}: classes are numbered"
        )
        listener(Message(text, warning=True))
        return ()


def bucket_names(run: Path) -> list[str]:
    """The buckets that a run has learned, in their order; [] before the first."""
    if not rundir.matrix_file(run).is_file():
        return []
    matrix, names = rundir.read_matrix(run)
    return names[: len(matrix)]


def _name(names: list[str], number: int) -> str:
    """The name of the bucket that is learned as `number`, counted from 1."""
    return names[number - 1] if 1 <= number <= len(names) else str(number)


def _name_in(run: Path, file: Path) -> str:
    """The bucket after which `file` is, if it is a checkpoint as the run calls them; else its own name."""
    of_run = re.fullmatch(r"exp_(\d+)\.pth", file.name)
    return _name(bucket_names(run), int(of_run[1])) if of_run else file.stem


def _run_around(file: Path) -> Path | None:
    """The run folder that a file is in."""
    return next((folder for folder in file.absolute().parents if rundir.is_run(folder)), None)
