"""One run of a sweep, carried out in the process that an engine gives it."""

import time
import traceback

import torch

from clearctl.engine.loop import TrainResult, start
from clearctl.engine.resume import resume
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
        text = str(error) if isinstance(error, Stopped) else "stopped at once"
        return Outcome("stopped", seconds=time.perf_counter() - started, error=text)


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
