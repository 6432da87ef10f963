"""`--nproc N`: the same command in several processes, started by torch's launcher."""

import logging
import os
import signal
import sys
import uuid
from typing import TYPE_CHECKING, NoReturn

import typer

from clearctl.cli.console import importing, output
from clearctl.distributed import world
from clearctl.errors import RunError, UsageError
from clearctl.wording import counted

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

# The commands that several processes can share.
SHARED = ("train", "resume", "eval", "extract-features")
MOST_PER_CORE = 8  # processes; of thousands the machine would run out of memory while they start
FORWARDED_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")  # which torch's launcher sends to the processes


def share_among(processes: int) -> None:
    """Run the present command in this many processes, and end with their exit code; return if this is one of them.

    Raises UsageError if torchrun has started another number of them, and RunError if they were killed.
    """
    if world.size() > 1:
        if processes not in (1, world.size()):
            raise UsageError(f"--nproc {processes}: torchrun has started {world.size()} processes: leave --nproc out")
        return
    cores = os.cpu_count() or 1
    most = max(16, MOST_PER_CORE * cores)
    if processes > most:
        raise UsageError(f"--nproc {processes}: this machine has {counted(cores, 'core')}: give at most {most}")
    if processes > 1:
        _launch(processes)


def refuse_if_shared(command: str | None) -> None:
    """Raise UsageError if several processes were started for a `command` that one process does."""
    if world.size() > 1 and command is not None and command not in SHARED:
        raise UsageError(f"{command} is done by one process: start it without torchrun (for {', '.join(SHARED)})")


def _launch(processes: int) -> None:
    with importing():
        import torch
        from torch.distributed.elastic.multiprocessing.api import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
        from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable(logging.ERROR)  # torch's report of an error that the processes themselves report
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, torch.get_num_threads() // processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        max_restarts=0,
        # torch would also end at those that `nohup` and background jobs ignore.
        signals_to_handle=",".join(
            name for name in FORWARDED_SIGNALS if signal.getsignal(signal.Signals[name]) != signal.SIG_IGN
        ),
    )
    try:
        elastic_launch(config, sys.executable)(*sys.orig_argv[1:])
    except ChildFailedError as failed:
        _exit_like(failed, processes)
    except SignalException as stopped:
        raise typer.Exit(128 + stopped.sigval) from None
    raise typer.Exit


def _exit_like(failed: "ChildFailedError", processes: int) -> NoReturn:
    """End with the exit code of the process that reported an error. Raises RunError if none could.

    A process that was killed is named, even if another one, which lost contact to it, has ended before. SIGTERM is what
    torch ends the others with, once one has reported an error.
    """
    _, first = failed.get_first_failure()
    exit_codes = [failure.exitcode for failure in failed.failures.values() if failure.exitcode > 0]
    by_torch = -signal.SIGTERM if exit_codes else None
    killed = [(rank, each) for rank, each in failed.failures.items() if each.exitcode < 0 and each.exitcode != by_torch]
    if not killed:
        raise typer.Exit(first.exitcode if first.exitcode > 0 else exit_codes[0])
    rank, first = min(killed, key=lambda found: found[1].timestamp)
    output.stderr.show_cursor()  # of a terminal; the live bars of a process that is killed leave it hidden
    ended = f"process {rank} of {processes} was ended by {signal.Signals(-first.exitcode).name}"
    if not exit_codes:
        raise RunError(
            f"{ended}, and so were the others\n"
            f"start it again; a run that has its folder is resumed with `clearctl resume RUN_DIR --nproc {processes}`"
        )
    output.message(ended)  # the others only report that they lost it
    raise typer.Exit(exit_codes[0])
