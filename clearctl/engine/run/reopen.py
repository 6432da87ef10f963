"""Reopen a started run: check config, dataset and versions, and remove everything newer than its state."""

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clearctl import atomic, checksums, rundir
from clearctl.config.dialect import write_out_defaults
from clearctl.config.settings import Settings
from clearctl.data.stream import Stream
from clearctl.distributed import world
from clearctl.distributed.randomness import seed_everything
from clearctl.distributed.world import broadcast
from clearctl.engine.build.experiment import Experiment, build_experiment
from clearctl.engine.build.model import build_model
from clearctl.engine.build.samples import BuiltSamples, build_samples
from clearctl.engine.build.sharing import require_alike
from clearctl.engine.build.stream import build_stream
from clearctl.engine.gpu import changes_of_gpu, describe_gpu
from clearctl.engine.machine import describe, device_name
from clearctl.engine.run.changes import other_values, other_versions, with_changes
from clearctl.engine.run.inputs import named_contents, other_code
from clearctl.engine.run.loop import SavedStates
from clearctl.engine.run.train import record_epoch, report_unwritable
from clearctl.engine.states import files as state_files
from clearctl.engine.states.files import DamagedStateError, StateKey
from clearctl.engine.states.state import truncate_run_files
from clearctl.errors import RunError
from clearctl.progress import Listener, Message, ignore
from clearctl.strategies.strategy import Benchmark
from clearctl.threads import keep_threads


@dataclass(frozen=True)
class SharedData:
    """The data that runs with one scenario may share: the stream, its benchmark, and its description."""

    stream: Stream
    samples: BuiltSamples
    benchmark: Benchmark
    description: dict[str, Any]


@dataclass(frozen=True)
class Reopened:
    """A run that has started, built as its config says; its state is `saved`, and not yet loaded."""

    stream: Stream
    experiment: Experiment
    saved: SavedStates | None


def reopen(
    run: Path,
    settings: Settings,
    environment: dict[str, Any],
    device: torch.device,
    *,
    accept_changes: bool = False,
    listener: Listener,
    shared: SharedData | None = None,
    built_on: torch.device | None = None,
    noted: Mapping[str, Any] | None = None,
) -> Reopened:
    """Open a run that is held, by all processes, to train on `device`.

    `shared` is used instead of reading the dataset again. The experiment is `built_on` the device, unless another is
    given. The entries of `noted` are added to environment.json.
    Raises what `resume` raises.
    """
    target = device if built_on is None else built_on
    opened, scenario = settings.config, settings.scenario
    saved = broadcast(_saved(run, listener) if world.is_first() else None)
    changed = [] if saved is None else list(other_values(saved.start["config"], opened))
    differences = [*changed, *other_versions(environment)]
    seed_everything(settings.seed)
    stream = build_stream(scenario, settings.data, ignore, target) if shared is None else shared.stream
    dataset = stream.describe(scenario.dataset_root) if shared is None else shared.description
    require_alike(opened, dataset)
    if environment["dataset"].get("fingerprint") not in (None, dataset["fingerprint"]):
        differences.append(f"dataset: {scenario.dataset_root} has changed since the run started")
    if saved is not None and saved.start["buckets"] != stream.bucket_names:
        raise RunError(
            f"{run} was started with the buckets {', '.join(saved.start['buckets'])}, but the dataset or config now has"
            f" {', '.join(stream.bucket_names)}\nundo that, or start a new run"
        )
    differences += [f"code: module {name} has changed" for name in other_code(opened.values, environment)]
    _require_accepted(run, differences, accept_changes, listener)
    _keep_threads(environment, device, listener)
    model = build_model(settings, stream, listener).to(target)
    samples = build_samples(settings, stream, target, listener) if shared is None else shared.samples
    with report_unwritable(run):
        if world.is_first():
            _truncate_run(run, saved)
        experiment = build_experiment(
            settings,
            stream,
            model,
            target,
            run=run,
            listener=listener,
            on_epoch=lambda done, lr: record_epoch(run, done, lr),
            samples=samples,
            benchmark=None if shared is None else shared.benchmark,
            resumed=saved is not None,
            environment=environment,
        )
        if saved is not None and changed:
            if world.is_first():
                saved = with_changes(saved, opened, experiment, stream, target, run)
                state_files.replace_all(rundir.state_folder(run), StateKey(saved.bucket), saved.start)
            saved = broadcast(saved)
        if world.is_first():
            _note(run, environment, device, saved, differences, dataset, opened.values, dict(noted or {}))
    return Reopened(stream, experiment, saved)


def _saved(run: Path, listener: Listener) -> SavedStates | None:
    """The latest state that is whole; None if none was ever written. Raises RunError if none is left."""
    folder = rundir.state_folder(run)
    for place in (folder, run, rundir.checkpoint_file(run, 0).parent):
        state_files.clean(place)
    there = state_files.state_keys(folder)
    damaged: list[str] = []

    def read(key: StateKey) -> dict[str, Any] | None:
        try:
            return state_files.read(folder, key)
        except DamagedStateError as error:
            damaged.append(str(error))
            return None

    starts: dict[int, dict[str, Any] | None] = {}
    for key in reversed(there):
        if key.bucket not in starts:
            starts[key.bucket] = read(key.start)
        start = starts[key.bucket]
        within = None if key.is_start or start is None else read(key)
        if start is None or (within is None and not key.is_start):
            continue
        write_out_defaults(start["config"], of_run=True)
        for text in dict.fromkeys(damaged):
            listener(Message(f"{text}: using the previous state", warning=True))
        return SavedStates(key.bucket, start, within)
    if not there:
        return None
    weights = list(rundir.checkpoints(run).values())
    rest = (
        f"its last weights are intact: start a new run with load_from={str(weights[-1])!r}"
        if weights
        else "it has no weights yet: start a new run"
    )
    raise RunError(f"{run} cannot be resumed: {'; '.join(dict.fromkeys(damaged))}\n{rest}")


def _require_accepted(run: Path, differences: list[str], accept: bool, listener: Listener) -> None:
    if not differences:
        return
    if not accept:
        lines = "\n".join(differences)
        raise RunError(
            f"{run} has changed since it was started:\n{lines}\nundo that, or resume anyway with --accept-changes"
        )
    for text in differences:
        listener(Message(f"accepted: {text}", warning=True))


def _keep_threads(environment: dict[str, Any], device: torch.device, listener: Listener) -> None:
    """Compute with as many threads as before."""
    threads = environment.get("torch_threads")
    if environment.get("processes", 1) != world.size():  # it will differ anyway, and they share the processors
        return
    if device.type == "cpu" and isinstance(threads, int):
        keep_threads(threads, "in the run", listener)


def _truncate_run(run: Path, saved: SavedStates | None) -> None:
    """Remove from the run's files the lines that follow its state."""
    folders = (rundir.csv_folder(run), rundir.tensorboard_folder(run))
    if saved is not None:
        there = [rundir.metrics_file(run), *(file for folder in folders for file in folder.glob("*"))]
        truncate_run_files(saved.latest, run, there)
        return
    results = (rundir.metrics_file(run), rundir.log_file(run), rundir.eval_file(run), rundir.matrix_file(run))
    # The sums before the checkpoints: a kill in between leaves no line without its file.
    sums = checksums.sums_file(rundir.checkpoint_file(run, 0).parent)
    for file in (*results, sums, *rundir.checkpoints(run).values()):
        file.unlink(missing_ok=True)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _note(
    run: Path,
    environment: dict[str, Any],
    device: torch.device,
    saved: SavedStates | None,
    differences: list[str],
    dataset: dict[str, Any],
    values: dict[str, Any],
    noted: dict[str, Any],
) -> None:
    """Update environment.json, and add to it that the run was resumed, and what has changed."""
    entry = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "bucket": saved.bucket if saved is not None else 0,
        "device": str(device),
        "processes": world.size(),
        "accepted": differences,
        "moved": list(_moved(environment, device)),
    }
    now = describe(device, dataset, environment["seed"])
    if "code" in environment:
        now["code"] = named_contents(values)["code"]
    environment |= {**now, "resumed": [*environment.get("resumed", []), entry]}
    if saved is None or (saved.bucket == 0 and saved.within is None):  # earlier training of it no longer counts
        for key in ("stacked", "graph"):
            environment.pop(key, None)
    environment |= noted
    atomic.write_json(rundir.environment_file(run), environment)


def _moved(environment: dict[str, Any], device: torch.device) -> Iterator[str]:
    """Yields the differences between the machine of the run so far and the present one."""
    before, now = environment.get("device_name"), device_name(device)
    if before is not None and (str(device) != environment["device"] or now != before):
        yield f"from {environment['device']} ({before}) to {device} ({now})"
    yield from changes_of_gpu(environment.get("gpu"), describe_gpu(device))
    if environment.get("processes", 1) != world.size():
        yield f"from {environment.get('processes', 1)} to {world.size()} processes"
