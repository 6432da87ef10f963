"""Resuming a run that was killed or stopped, so that it ends as if it had never been."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from clearctl import atomic, checksums, rundir
from clearctl.config.dialect import write_out_defaults
from clearctl.config.protocol import on_training_images
from clearctl.config.settings import Settings, fill
from clearctl.distributed import world
from clearctl.distributed.randomness import seed_everything
from clearctl.distributed.world import broadcast, detect_lost_peers, process_group
from clearctl.engine.build.config import open_run_config
from clearctl.engine.build.experiment import build_experiment
from clearctl.engine.build.model import build_model
from clearctl.engine.build.samples import build_samples
from clearctl.engine.build.sharing import require_alike, require_shareable
from clearctl.engine.build.stream import build_stream
from clearctl.engine.gpu import changes_of_gpu, describe_gpu
from clearctl.engine.machine import (
    current_device,
    describe,
    deterministic_algorithms,
    device_name,
    resolve_device,
)
from clearctl.engine.run.changes import other_values, other_versions, with_changes
from clearctl.engine.run.inputs import named_contents, other_code
from clearctl.engine.run.loop import SavedStates
from clearctl.engine.run.train import TrainResult, record_epoch, report_unwritable, run_lock, run_to_end, write_report
from clearctl.engine.states import files as state_files
from clearctl.engine.states.files import DamagedStateError, StateKey
from clearctl.engine.states.state import truncate_run_files
from clearctl.errors import RunError
from clearctl.metrics import from_json
from clearctl.progress import Listener, Message, ignore
from clearctl.strategies.patches import applied
from clearctl.threads import keep_threads


@applied()
def resume(
    run: Path | str,
    *,
    device: str | None = None,
    accept_changes: bool = False,
    listener: Listener = ignore,
) -> TrainResult:
    """Resume the run in the folder `run`, from its latest state that is whole.

    A finished one is only read, and gets its report.html if that is missing. Config, seed and, unless another `device`
    is given, the device are the run's. It ends with the weights, the accuracy matrix and the metrics of a run that
    never stopped, on the same machine with the same versions.
    Raises RunError for a folder that is no run, that another process holds, whose states are all damaged, or whose
    config, dataset or versions have changed, each difference a line, unless `accept_changes`; and what `train` raises.
    """
    started = time.perf_counter()
    listener = listener if world.is_first() else ignore
    run = Path(run).resolve()
    if not rundir.is_run(run):
        raise RunError(f"{run} is no run folder: it has no config.py and environment.json")
    with run_lock(run):
        finished = _finished(run, started)
        if finished is not None:
            listener(Message(f"{run} is finished: there is nothing to resume"))
            if world.is_first() and not rundir.report_file(run).is_file():  # the last that is written
                write_report(run, listener)
            return finished
        environment = rundir.read_environment(run)
        opened = open_run_config(run, work_dir=run.parent)
        settings = fill(opened)
        require_shareable(settings.strategy)
        target = _device(device, environment, listener)
        deterministic = deterministic_algorithms(settings.compute.deterministic, target, listener)
        with current_device(target), detect_lost_peers(), process_group(target), deterministic:
            return _resume_locked(run, settings, environment, target, accept_changes, listener, started)


def _resume_locked(
    run: Path,
    settings: Settings,
    environment: dict[str, Any],
    target: torch.device,
    accept_changes: bool,
    listener: Listener,
    started: float,
) -> TrainResult:
    """Resume a run that is held, by all processes."""
    opened, scenario = settings.config, settings.scenario
    saved = broadcast(_saved(run, listener) if world.is_first() else None)
    changed = [] if saved is None else list(other_values(saved.start["config"], opened))
    differences = [*changed, *other_versions(environment)]
    seed_everything(settings.seed)
    stream = build_stream(scenario, settings.data, ignore, target)
    dataset = stream.describe(scenario.dataset_root)
    require_alike(opened, dataset)
    if environment["dataset"].get("fingerprint") not in (None, dataset["fingerprint"]):
        differences.append(f"dataset: what is in {scenario.dataset_root} is not what the run began with")
    if saved is not None and saved.start["buckets"] != stream.bucket_names:
        raise RunError(
            f"{run} has learned the buckets {', '.join(saved.start['buckets'])}, and the dataset or config now has"
            f" {', '.join(stream.bucket_names)}\nundo that, or start a new run"
        )
    differences += [f"code: module {name} was changed" for name in other_code(opened.values, environment)]
    _require_accepted(run, differences, accept_changes, listener)
    _keep_threads(environment, target, listener)
    model = build_model(settings, stream, listener).to(target)
    samples = build_samples(settings, stream, target, listener)
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
            resumed=saved is not None,
            wandb_id=environment.get("wandb_run"),
        )
        if saved is not None and changed:
            if world.is_first():
                saved = with_changes(saved, opened, experiment, stream, target, run)
                state_files.replace_all(rundir.state_folder(run), StateKey(saved.bucket), saved.start)
            saved = broadcast(saved)
        if world.is_first():
            _note(run, environment, target, saved, differences, dataset, opened.values)
    listener(Message(f"resuming {run} {_where(saved, stream.bucket_names)}"))
    return run_to_end(settings, experiment, stream, run, listener, started=started, saved=saved)


def _finished(run: Path, started: float) -> TrainResult | None:
    """What a run found that has nothing left to do; None for any other."""
    if not rundir.is_finished(run):
        return None
    matrix, names = rundir.read_matrix(run)
    found = rundir.read_eval(run)
    seconds = time.perf_counter() - started
    marked = on_training_images(rundir.read_config(run))
    return TrainResult(run, names, matrix, from_json(found), seconds, found.get("diverged"), marked)


def _saved(run: Path, listener: Listener) -> SavedStates | None:
    """The latest state that is whole; None where none was ever written. Raises RunError where none is left."""
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
            listener(Message(f"{text}: the state before it is used", warning=True))
        return SavedStates(key.bucket, start, within)
    if not there:
        return None
    weights = list(rundir.checkpoints(run).values())
    rest = (
        f"its last weights are whole: start a new run with load_from={str(weights[-1])!r}"
        if weights
        else "it has no weights yet: start a new run"
    )
    raise RunError(f"{run} cannot be resumed: {'; '.join(dict.fromkeys(damaged))}\n{rest}")


def _device(name: str | None, environment: dict[str, Any], listener: Listener) -> torch.device:
    """The run's device, or the one that is named, which is reported."""
    before = str(environment.get("device", "auto"))
    before_kind = before.partition(":")[0] if world.size() > 1 else before
    target = resolve_device(name or before_kind)
    processes = environment.get("processes", 1)
    if processes != world.size():
        listener(
            Message(
                f"the run was shared by {processes} processes and resumes with {world.size()}: the numbers will differ"
                " in their last digits from those of a run that never stopped",
                warning=True,
            )
        )
    if str(target) != before or device_name(target) != environment.get("device_name", device_name(target)):
        listener(
            Message(
                f"the run was on {before} ({environment.get('device_name')}) and resumes on {target}"
                f" ({device_name(target)}): the numbers will not be exactly those of a run that never stopped",
                warning=True,
            )
        )
    for change in changes_of_gpu(environment.get("gpu"), describe_gpu(target)):
        listener(
            Message(
                f"{change} since the run began: the numbers may not be exactly those of a run that never stopped",
                warning=True,
            )
        )
    return target


def _require_accepted(run: Path, differences: list[str], accept: bool, listener: Listener) -> None:
    if not differences:
        return
    if not accept:
        lines = "\n".join(differences)
        raise RunError(f"{run} is not what it was:\n{lines}\nundo that, or resume anyway with --accept-changes")
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
    """Take from the run's files what came after its state."""
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
) -> None:
    """Bring environment.json up to date, and add to it that the run was resumed, and what was other than before."""
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
    for key in ("stacked", "graph"):  # a stack leaves no states: the run has started over, and alone
        environment.pop(key, None)
    atomic.write_json(rundir.environment_file(run), environment)


def _moved(environment: dict[str, Any], device: torch.device) -> Iterator[str]:
    """What a run is carried out on otherwise than before."""
    before, now = environment.get("device_name"), device_name(device)
    if before is not None and (str(device) != environment["device"] or now != before):
        yield f"from {environment['device']} ({before}) to {device} ({now})"
    yield from changes_of_gpu(environment.get("gpu"), describe_gpu(device))
    if environment.get("processes", 1) != world.size():
        yield f"from {environment.get('processes', 1)} to {world.size()} processes"


def _where(saved: SavedStates | None, names: list[str]) -> str:
    if saved is None:
        return "from its beginning: it was stopped before anything was saved"
    if saved.within is None:
        return f"at the start of bucket {names[saved.bucket]}"
    place = saved.within["place"]
    steps = f" and {place['steps']} steps" if place["steps"] else ""
    return f"in bucket {names[saved.bucket]}, after {place['epochs']} epochs{steps}"
