"""Resume a run that was killed or stopped, with the results of an uninterrupted one."""

import time
from pathlib import Path
from typing import Any

import torch

from clearctl import rundir
from clearctl.config.fill import fill
from clearctl.config.protocol import on_training_images
from clearctl.distributed import world
from clearctl.distributed.world import detect_lost_peers, process_group
from clearctl.engine.build.config import open_run_config
from clearctl.engine.build.sharing import require_shareable
from clearctl.engine.gpu import changes_of_gpu, describe_gpu
from clearctl.engine.machine import (
    current_device,
    deterministic_algorithms,
    device_name,
    resolve_device,
)
from clearctl.engine.run.loop import SavedStates
from clearctl.engine.run.reopen import reopen
from clearctl.engine.run.train import TrainResult, run_lock, run_to_end, write_report
from clearctl.metrics import from_json
from clearctl.named_run import require_run
from clearctl.progress import Listener, Message, ignore
from clearctl.strategies.patches import applied
from clearctl.wording import counted


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
    Raises RunError for a folder that is not a run, that another process holds, whose states are all damaged, or whose
    config, dataset or versions have changed, each difference a line, unless `accept_changes`; and what `train` raises.
    """
    started = time.perf_counter()
    listener = listener if world.is_first() else ignore
    run = Path(run).resolve()
    require_run(run)
    with run_lock(run):
        finished = _finished(run, started)
        if finished is not None:
            listener(Message(f"{run} is already finished: nothing to resume"))
            if world.is_first() and not rundir.report_file(run).is_file():  # the last that is written
                write_report(run, listener)
            return finished
        environment = rundir.read_environment(run)
        settings = fill(open_run_config(run, work_dir=run.parent))
        require_shareable(settings.strategy)
        target = _device(device, environment, listener)
        deterministic = deterministic_algorithms(settings.compute.deterministic, target, listener)
        with current_device(target), detect_lost_peers(), process_group(target), deterministic:
            opened = reopen(run, settings, environment, target, accept_changes=accept_changes, listener=listener)
            experiment, stream, saved = opened.experiment, opened.stream, opened.saved
            listener(Message(f"resuming {run} {_where(saved, stream.bucket_names)}"))
            return run_to_end(settings, experiment, stream, run, listener, started=started, saved=saved)


def _finished(run: Path, started: float) -> TrainResult | None:
    """The result of a run that has nothing left to do; None for any other."""
    if not rundir.is_finished(run):
        return None
    matrix, names = rundir.read_matrix(run)
    found = rundir.read_eval(run)
    seconds = time.perf_counter() - started
    marked = on_training_images(rundir.read_config(run))
    return TrainResult(run, names, matrix, from_json(found), seconds, found.get("diverged"), marked)


def _device(name: str | None, environment: dict[str, Any], listener: Listener) -> torch.device:
    """The run's device, or the one that is named, which is reported."""
    before = str(environment.get("device", "auto"))
    before_kind = before.partition(":")[0] if world.size() > 1 else before
    target = resolve_device(name or before_kind)
    processes = environment.get("processes", 1)
    if processes != world.size():
        listener(
            Message(
                f"the run had {processes} processes and resumes with {world.size()}: the results will differ"
                " from those of an uninterrupted run in their last digits",
                warning=True,
            )
        )
    if str(target) != before or device_name(target) != environment.get("device_name", device_name(target)):
        listener(
            Message(
                f"the run was on {before} ({environment.get('device_name')}) and resumes on {target}"
                f" ({device_name(target)}): the results will not be bit-identical to those of an uninterrupted run",
                warning=True,
            )
        )
    for change in changes_of_gpu(environment.get("gpu"), describe_gpu(target)):
        listener(
            Message(
                f"{change} since the run started: the last digits of results may differ from an uninterrupted run",
                warning=True,
            )
        )
    return target


def _where(saved: SavedStates | None, names: list[str]) -> str:
    if saved is None:
        return "from its beginning: no state was saved"
    if saved.within is None:
        return f"at the start of bucket {names[saved.bucket]}"
    place = saved.within["place"]
    steps = f" and {counted(place['steps'], 'step')}" if place["steps"] else ""
    return f"in bucket {names[saved.bucket]}, after {counted(place['epochs'], 'epoch')}{steps}"
