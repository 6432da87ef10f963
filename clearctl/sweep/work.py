"""One run of a sweep, or a stack of them, in the process that an engine provides."""

import shutil
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

from clearctl import rundir
from clearctl.config.fill import fill
from clearctl.data.stream import Stream
from clearctl.engine.build.stream import build_stream
from clearctl.engine.machine import resolve_device
from clearctl.engine.run.resume import resume
from clearctl.engine.run.train import TrainResult, run_lock, start
from clearctl.engine.stack.opening import NEW, starting_bucket
from clearctl.engine.stack.train import largest_stack, resume_stack, train_stack
from clearctl.errors import ClearctlError, RunError, Stopped
from clearctl.progress import Listener
from clearctl.shortage import shortage
from clearctl.sweep.outcome import RunOutcome
from clearctl.sweep.plan import PlannedRun


def execute_run(planned: PlannedRun, *, device: str, threads: int, listener: Listener) -> RunOutcome:
    """Start the run, or resume it, with `threads` threads of torch; whatever it raises is the outcome."""
    started = time.perf_counter()
    torch.set_num_threads(threads)
    try:
        if planned.run is not None:
            result = resume(planned.run, device=device, listener=listener)
        else:
            result = start(planned.config, planned.source, device=device, listener=listener)
        return finished(result)
    except Exception as error:
        return failed(error, time.perf_counter() - started)
    except KeyboardInterrupt as error:
        return _stopped(error, time.perf_counter() - started)


def execute_stack(
    runs: Sequence[PlannedRun], *, device: str, threads: int, listeners: Sequence[Listener]
) -> list[RunOutcome]:
    """Train the runs as one batched model, as many at a time as fit into memory; what that raises is their outcome.

    A run that cannot begin, or that another process has continued in the meantime, is carried out alone.
    """
    torch.set_num_threads(threads)
    outcomes: dict[int, RunOutcome] = {}
    try:
        target = resolve_device(device)
        together = _ready(runs, target)
        most = largest_stack(fill(runs[0].config), target)
    except Exception as error:
        return [failed(error, 0.0)] * len(runs)
    except KeyboardInterrupt as error:
        return [_stopped(error, 0.0)] * len(runs)
    alone = [[index] for index in range(len(runs)) if not any(index in group for group in together)]
    stacks = [group[first : first + most] for group in together for first in range(0, len(group), most)]
    for part in [*alone, *stacks]:
        planned, told = [runs[index] for index in part], [listeners[index] for index in part]
        if any(outcome.status == "stopped" for outcome in outcomes.values()):
            ended = [RunOutcome("stopped", error="stopped before it started")] * len(part)
        elif part in alone:
            ended = [execute_run(planned[0], device=device, threads=threads, listener=told[0])]
        else:
            ended = _train(planned, device, threads, told)
        outcomes.update(zip(part, ended, strict=True))
    return [outcomes[index] for index in range(len(runs))]


def _train(runs: Sequence[PlannedRun], device: str, threads: int, listeners: Sequence[Listener]) -> list[RunOutcome]:
    """Train runs that begin with the same bucket; if one cannot continue, each alone, so that it reports why."""
    started = time.perf_counter()
    folders = [planned.run for planned in runs if planned.run is not None and planned.run.exists()]
    try:
        if folders:
            results = resume_stack(folders, device=device, listeners=listeners)
        else:
            configs, sources = [planned.config for planned in runs], [planned.source for planned in runs]
            results = train_stack(configs, device=device, sources=sources, listeners=listeners)
        return [finished(result) for result in results]
    except RunError as error:
        if not folders:
            return [failed(error, time.perf_counter() - started)] * len(runs)
        return [
            execute_run(planned, device=device, threads=threads, listener=listener)
            for planned, listener in zip(runs, listeners, strict=True)
        ]
    except Exception as error:
        return [failed(error, time.perf_counter() - started)] * len(runs)
    except KeyboardInterrupt as error:
        return [_stopped(error, time.perf_counter() - started)] * len(runs)


def _ready(runs: Sequence[PlannedRun], target: torch.device) -> list[list[int]]:
    """The numbers of the runs that may be trained together, by the bucket they begin with, if their data can be read.

    Features that do not fit in memory cannot be stacked. Since the plan was made another sweep may have
    continued a run. Unfinished runs that have nothing to resume from are removed.
    """
    streams: dict[str, Stream] = {}  # held, so that features are read once
    ready: dict[int, list[int]] = {}
    for index, planned in enumerate(runs):
        settings = fill(planned.config)
        with suppress(Exception):  # which the run alone will raise, and report
            key = repr(settings.scenario)
            streams[key] = streams.get(key) or build_stream(settings.scenario, settings.data, device=target)
            if streams[key].is_mapped:
                continue
            bucket = starting_bucket(planned.run)
            if bucket is None or (bucket == NEW and planned.run is not None and not _remove_leftovers(planned.run)):
                continue
            ready.setdefault(bucket, []).append(index)
    return list(ready.values())


def _remove_leftovers(run: Path) -> bool:
    """Remove the folder of a run that saved no state. Returns False if it has one or is finished."""
    with run_lock(run):
        if rundir.is_finished(run) or rundir.has_state(run):
            return False
        shutil.rmtree(run)
    return True


def finished(result: TrainResult) -> RunOutcome:
    """The outcome of a run that came to its end."""
    return RunOutcome(
        "finished",
        result.run,
        result.matrix,
        result.numbers,
        seconds=result.seconds,
        diverged=result.diverged,
    )


def failed(error: Exception, seconds: float) -> RunOutcome:
    """The outcome of a run that raised."""
    error = shortage(error) or error
    if isinstance(error, ClearctlError) and error.exit_code != 1:
        return RunOutcome("failed", seconds=seconds, error=str(error), exit_code=error.exit_code)
    return RunOutcome(
        "failed",
        seconds=seconds,
        error=f"{type(error).__name__}: {error}",
        exit_code=1,
        traceback="".join(traceback.format_exception(error)),
    )


def _stopped(error: KeyboardInterrupt, seconds: float) -> RunOutcome:
    return RunOutcome(
        "stopped", seconds=seconds, error=str(error) if isinstance(error, Stopped) else "stopped immediately"
    )
