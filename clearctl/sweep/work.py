"""One run of a sweep, or a stack of them, carried out in the process that an engine gives it."""

import shutil
import time
import traceback
from collections.abc import Sequence

import torch

from clearctl.engine.loop import TrainResult, sole_worker, start
from clearctl.engine.resume import resume
from clearctl.engine.stack.train import train_stack
from clearctl.errors import ClearctlError, Stopped
from clearctl.progress import Listener
from clearctl.sweep.outcome import Outcome
from clearctl.sweep.plan import PlannedRun


def carry_out(planned: PlannedRun, *, device: str, threads: int, listener: Listener) -> Outcome:
    """Start the run, or go on with it, with `threads` threads of torch; whatever it raises is the outcome."""
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


def carry_out_stack(
    runs: Sequence[PlannedRun], *, device: str, threads: int, listeners: Sequence[Listener]
) -> list[Outcome]:
    """Train the runs as one batched model; whatever that raises is the outcome of each."""
    started = time.perf_counter()
    torch.set_num_threads(threads)
    try:
        for planned in runs:
            if planned.run is not None:  # what a stack left that was stopped: there is nothing in it to go on from
                with sole_worker(planned.run):
                    shutil.rmtree(planned.run)
        results = train_stack(
            [planned.config for planned in runs],
            device=device,
            sources=[planned.source for planned in runs],
            listeners=listeners,
        )
        return [finished(result) for result in results]
    except Exception as error:
        return [failed(error, time.perf_counter() - started)] * len(runs)
    except KeyboardInterrupt as error:
        return [_stopped(error, time.perf_counter() - started)] * len(runs)


def finished(result: TrainResult) -> Outcome:
    """The outcome of a run that came to its end."""
    return Outcome(
        "finished", result.run, result.matrix, result.clear_metrics, result.gem_metrics, seconds=result.seconds
    )


def failed(error: Exception, seconds: float) -> Outcome:
    """The outcome of a run that raised."""
    if isinstance(error, ClearctlError) and error.exit_code != 1:
        return Outcome("failed", seconds=seconds, error=str(error), exit_code=error.exit_code)
    return Outcome(
        "failed",
        seconds=seconds,
        error=f"{type(error).__name__}: {error}",
        exit_code=1,
        traceback="".join(traceback.format_exception(error)),
    )


def _stopped(error: KeyboardInterrupt, seconds: float) -> Outcome:
    return Outcome("stopped", seconds=seconds, error=str(error) if isinstance(error, Stopped) else "stopped at once")
