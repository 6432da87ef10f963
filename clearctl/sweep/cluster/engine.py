"""The engine `ray` on the machine that starts the sweep."""

import os
import signal
import socket
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from clearctl.cores import usable_cores
from clearctl.engine.run.stopping import StopRequest
from clearctl.errors import CapabilityError, RunError, UsageError
from clearctl.progress import Event, Message
from clearctl.sweep.cluster.folders import install_run, pack
from clearctl.sweep.cluster.remote import RemoteResult, RemoteTask, run_unit
from clearctl.sweep.outcome import RunEnded, RunOutcome, RunProgress, RunStarted, SweepListener
from clearctl.sweep.plan import PlannedRun
from clearctl.sweep.stacks import WorkUnit, units
from clearctl.wording import first_line

_POLL_S = 0.2
_REACH_S = 10.0


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster: its `address`, or None for $RAY_ADDRESS or one started here, and what each run takes of it.

    A run has as many threads as CPUs; of a GPU it may take a part.
    """

    address: str | None = None
    cpus_per_run: float = 1.0
    gpus_per_run: float = 0.0

    def __post_init__(self) -> None:
        """Raise UsageError for amounts that Ray does not know."""
        for amount, what in ((self.cpus_per_run, "CPUs"), (self.gpus_per_run, "GPUs")):
            if amount < 0 or amount != round(amount, 4) or (amount > 1 and not float(amount).is_integer()):
                raise UsageError(
                    f"{amount} {what} per run: Ray allows a whole number, or a fraction with at most four decimals"
                )

    @property
    def device(self) -> str:
        """The device that runs train on there."""
        return "cuda" if self.gpus_per_run else "cpu"

    @property
    def threads(self) -> int:
        """The number of torch's threads for a run there."""
        return max(1, int(self.cpus_per_run))


def run_on_ray(
    runs: Sequence[tuple[int, PlannedRun]],
    cluster: Cluster,
    *,
    stack: bool,
    listener: SweepListener,
    stop_request: StopRequest,
) -> None:
    """Carry out `runs` (each with its number in the plan) on a Ray cluster, as many at a time as it has room for.

    With `stack` those that may be are trained together, in as many stacks as there is room for now. The dataset has to
    be at the same path on every machine, and clearctl installed. Run folders end up where the plan has them, whether
    the machines share that folder or not. Raises CapabilityError without Ray, for an address where none is, and where
    the cluster is lost; RunError for a work_dir that cannot be written.
    """
    ray = import_ray()
    address = cluster.address or os.environ.get("RAY_ADDRESS") or None
    with _connected(ray, address), _tokens(runs) as tokens:
        for text in _missing_resources(ray, cluster):
            if address is None:  # no other machine will ever come
                raise CapabilityError(f"{text}\nuse a smaller --cpus-per-run or --gpus-per-run, or give a cluster")
            listener(Message(f"{text}: runs wait until one joins", warning=True))
        event_queue = ray.util.queue.Queue(actor_options={"num_cpus": 0})
        work = ray.remote(num_cpus=cluster.cpus_per_run, num_gpus=cluster.gpus_per_run, max_retries=0)(_run_unit)
        waiting: dict[Any, WorkUnit] = {}
        for unit in units(runs, stack=stack, jobs=_room(ray, cluster)):
            tasks = [
                RemoteTask(
                    planned,
                    tokens[planned.work_dir],
                    pack(planned.run) if planned.run is not None else None,
                    cluster.device,
                    cluster.threads,
                )
                for _, planned in unit
            ]
            waiting[work.remote([index for index, _ in unit], tasks, event_queue)] = unit
        try:
            _relay_events(ray, waiting, event_queue, listener, stop_request)
        except KeyboardInterrupt:
            for reference in waiting:
                ray.cancel(reference, force=True)
            raise
        except ray.exceptions.RayError as error:  # of what passes on the events; a run's own is its outcome
            raise CapabilityError(
                f"the Ray cluster was lost: {_last_line(error)}\n"
                "run the same command again: finished runs are kept, the others are resumed"
            ) from None


def import_ray() -> Any:
    """The library, with what is used of it. Raises CapabilityError if it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # it warns that this will be the default
    try:
        import ray
        import ray.util.queue
    except ImportError:
        raise CapabilityError(
            "--engine ray needs Ray, which is not installed\ninstall it with `pip install 'clearctl[ray]'`"
        ) from None
    return ray


def _run_unit(indices: Sequence[int], tasks: Sequence[RemoteTask], event_queue: Any) -> list[RemoteResult]:
    """Run by Ray in a process of the cluster."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in what a script starts in the background with `&`
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which `ray.cancel` uses
    # Not waited for: a process that waits gives its CPU back, and Ray would begin another run on it.
    last_put = [event_queue.actor.put.remote(RunStarted(index)) for index in indices]

    def report(index: int, event: Event) -> None:
        last_put[0] = event_queue.actor.put.remote(RunProgress(index, event))

    results = run_unit(tasks, [partial(report, index) for index in indices])
    import_ray().get(last_put)  # which come after those before them
    return results


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    started_here = not ray.is_initialized()
    if started_here:
        where = f"the Ray at {address}" if address else "a Ray"
        try:
            _require_reachable(address)
            own = {} if address else {"num_cpus": usable_cores(), "include_dashboard": False}
            with _preserve_sigterm_handler():
                ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
        except Exception as error:
            verb = "reached" if address else "started"
            raise CapabilityError(
                f"{where} cannot be {verb}: {first_line(error)}\n"
                "start one with `ray start --head`, or use --engine local"
            ) from None
    try:
        yield
    finally:
        if started_here:
            ray.shutdown()


def _room(ray: Any, cluster: Cluster) -> int:
    """The number of runs that the connected machines carry out at a time."""
    there = ray.cluster_resources()
    asked = {"CPU": cluster.cpus_per_run, "GPU": cluster.gpus_per_run}
    return max(1, min((int(there.get(name, 0) / amount) for name, amount in asked.items() if amount), default=1))


def _missing_resources(ray: Any, cluster: Cluster) -> Iterator[str]:
    """Yields the resources of a run that no machine has so far: Ray would wait for one silently."""
    there = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for name, wanted in (("CPU", cluster.cpus_per_run), ("GPU", cluster.gpus_per_run)):
        most = max((resources.get(name, 0) for resources in there), default=0)
        if wanted > most:
            yield f"a run takes {wanted:g} {name}s, but no machine of the Ray cluster has more than {most:g}"


@contextmanager
def _preserve_sigterm_handler() -> Iterator[None]:
    """Undo that Ray takes SIGTERM for itself."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _require_reachable(address: str | None) -> None:
    """Raise OSError at once where no one listens: Ray itself would try for a minute."""
    host, colon, port = (address or "").rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()


@contextmanager
def _tokens(runs: Sequence[tuple[int, PlannedRun]]) -> Iterator[dict[Path, Path]]:
    """{work_dir: a file in it} by which a process of the cluster sees whether it sees the same folder."""
    name = f".sweep-{uuid.uuid4().hex}"
    tokens = {planned.work_dir: planned.work_dir / name for _, planned in runs}
    try:
        for folder, token in tokens.items():
            _make(folder, token)
        yield tokens
    finally:
        for token in tokens.values():
            with suppress(OSError):
                token.unlink()


def _make(folder: Path, token: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        token.touch()
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written: {error.strerror or error}\nchoose another with --work-dir"
        ) from None


def _relay_events(
    ray: Any,
    waiting: dict[Any, WorkUnit],
    event_queue: Any,
    listener: SweepListener,
    stop_request: StopRequest,
) -> None:
    """Pass on events until all runs have ended; on a stop request those in progress save their state first."""
    passed_on = False
    begun: set[int] = set()
    while waiting:
        if stop_request.signum is not None and not passed_on:
            passed_on = True
            for reference in waiting:
                ray.cancel(reference, recursive=False)
        ended, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=_POLL_S)
        for event in event_queue.get_nowait_batch(event_queue.qsize()):  # not until it is empty: it may fill as fast
            if isinstance(event, RunStarted):
                begun.add(event.index)
            listener(event)
        for reference in ended:
            unit = waiting.pop(reference)
            for (index, _), outcome in zip(unit, _outcomes(ray, reference, unit), strict=True):
                if outcome.status != "stopped" or index in begun:  # one cancelled before it began has not ended
                    listener(RunEnded(index, outcome))


def _outcomes(ray: Any, reference: Any, unit: WorkUnit) -> list[RunOutcome]:
    try:
        results: list[RemoteResult] = ray.get(reference)
    except ray.exceptions.TaskCancelledError:
        return [RunOutcome("stopped", error="stopped before its state could be saved")] * len(unit)
    except ray.exceptions.RayError as error:
        text = f"lost on the cluster: {_last_line(error)}"
        return [RunOutcome("failed", error=text, exit_code=5, traceback=str(error))] * len(unit)
    return [_outcome(result, planned) for result, (_, planned) in zip(results, unit, strict=True)]


def _outcome(result: RemoteResult, planned: PlannedRun) -> RunOutcome:
    if result.packed is None:
        return result.outcome
    assert result.outcome.run is not None
    try:
        return replace(result.outcome, run=install_run(result.packed, result.outcome.run.name, planned))
    except OSError as error:
        text = f"{planned.work_dir} cannot be written: {error.strerror or error}"
        return RunOutcome("failed", error=text, exit_code=5)


def _last_line(error: BaseException) -> str:
    """The part of Ray's message that names the fault."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
