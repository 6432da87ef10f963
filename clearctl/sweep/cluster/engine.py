"""The engine `ray` as the machine sees it that asks for a sweep."""

import os
import signal
import socket
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clearctl.engine.stopping import Wish
from clearctl.errors import CapabilityError
from clearctl.progress import Event
from clearctl.sweep.cluster.folders import gather, pack
from clearctl.sweep.cluster.remote import Delivery, Parcel, deliver
from clearctl.sweep.outcome import Outcome, RunEnded, RunStarted, RunTold, SweepListener
from clearctl.sweep.plan import PlannedRun

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

    @property
    def device(self) -> str:
        """What runs train on there."""
        return "cuda" if self.gpus_per_run else "cpu"

    @property
    def threads(self) -> int:
        """How many threads of torch a run has there."""
        return max(1, int(self.cpus_per_run))


def run_on_ray(
    runs: Sequence[tuple[int, PlannedRun]], cluster: Cluster, *, listener: SweepListener, wish: Wish
) -> None:
    """Carry out `runs` (each with its number in the plan) on a Ray cluster, as many at a time as it has room for.

    The dataset has to be at the same path on every machine, and clearctl installed. Run folders end up
    where the plan has them, whether the machines share that folder or not. Raises CapabilityError without Ray, and for
    an address where none is.
    """
    ray = import_ray()
    with _connected(ray, cluster.address), _tokens(runs) as tokens:
        ears = ray.util.queue.Queue(actor_options={"num_cpus": 0})
        work = ray.remote(num_cpus=cluster.cpus_per_run, num_gpus=cluster.gpus_per_run, max_retries=0)(_work)
        waiting: dict[Any, tuple[int, PlannedRun]] = {}
        for index, planned in runs:
            before = pack(planned.run) if planned.run is not None else None
            parcel = Parcel(planned, tokens[planned.work_dir], before, cluster.device, cluster.threads)
            waiting[work.remote(index, parcel, ears)] = (index, planned)
        try:
            _follow(ray, waiting, ears, listener, wish)
        except KeyboardInterrupt:
            for reference in waiting:
                ray.cancel(reference, force=True)
            raise


def import_ray() -> Any:
    """The library, with what is used of it. Raises CapabilityError where it is not installed."""
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


def _work(index: int, parcel: Parcel, ears: Any) -> Delivery:
    """Run by Ray in a process of the cluster."""
    told = [ears.actor.put.remote(RunStarted(index))]

    def tell(event: Event) -> None:
        # Not waited for: a process that waits gives its CPU back, and Ray would begin another run on it.
        told[0] = ears.actor.put.remote(RunTold(index, event))

    delivery = deliver(parcel, tell)
    import_ray().get(told[0])  # which comes after those before it
    return delivery


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    started_here = not ray.is_initialized()
    if started_here:
        where = f"the Ray at {address}" if address else "a Ray"
        try:
            _require_reachable(address)
            own = {} if address or os.environ.get("RAY_ADDRESS") else {"num_cpus": _cores(), "include_dashboard": False}
            with _signals_kept():
                ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
        except Exception as error:
            verb = "reached" if address else "started"
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            raise CapabilityError(
                f"{where} cannot be {verb}: {reason}\nstart one with `ray start --head`, or use --engine local"
            ) from None
    try:
        yield
    finally:
        if started_here:
            ray.shutdown()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Undo that Ray takes SIGTERM for itself."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def _require_reachable(address: str | None) -> None:
    """Raise OSError at once where nobody listens: Ray itself would try for a minute."""
    host, colon, port = (address or "").rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _tokens(runs: Sequence[tuple[int, PlannedRun]]) -> Iterator[dict[Path, Path]]:
    """{work_dir: a file in it} by which a process of the cluster sees whether it sees the same folder."""
    name = f".sweep-{uuid.uuid4().hex}"
    tokens = {planned.work_dir: planned.work_dir / name for _, planned in runs}
    try:
        for folder, token in tokens.items():
            folder.mkdir(parents=True, exist_ok=True)
            token.touch()
        yield tokens
    finally:
        for token in tokens.values():
            token.unlink(missing_ok=True)


def _follow(
    ray: Any, waiting: dict[Any, tuple[int, PlannedRun]], ears: Any, listener: SweepListener, wish: Wish
) -> None:
    """Pass on what is told until all have ended; where the end is wished, those under way save their state first."""
    passed_on = False
    while waiting:
        if wish.signum is not None and not passed_on:
            passed_on = True
            for reference in waiting:
                ray.cancel(reference, recursive=False)
        ended, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=_POLL_S)
        for event in ears.get_nowait_batch(ears.qsize()):  # not until it is empty: it may fill as fast
            listener(event)
        for reference in ended:
            index, planned = waiting.pop(reference)
            listener(RunEnded(index, _outcome(ray, reference, planned)))


def _outcome(ray: Any, reference: Any, planned: PlannedRun) -> Outcome:
    try:
        delivery: Delivery = ray.get(reference)
    except ray.exceptions.TaskCancelledError:
        return Outcome("stopped", error="stopped before its state could be saved")
    except ray.exceptions.RayError as error:
        return Outcome(
            "failed", error=f"it was lost on the cluster: {_last_line(error)}", exit_code=5, traceback=str(error)
        )
    if delivery.packed is None:
        return delivery.outcome
    assert delivery.outcome.run is not None
    try:
        return replace(delivery.outcome, run=gather(delivery.packed, delivery.outcome.run.name, planned))
    except OSError as error:
        text = f"{planned.work_dir} cannot be written: {error.strerror or error}"
        return Outcome("failed", error=text, exit_code=5)


def _last_line(error: BaseException) -> str:
    """Of what Ray says, that which names the fault."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
