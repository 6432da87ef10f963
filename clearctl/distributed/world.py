"""The processes that torchrun started for one run, and their communication.

They are numbered from 0, their `rank`; only the first writes files and prints. Without torchrun there is one process,
and nothing here does anything. torch is imported where it is needed: commands ask for the rank before it is.
"""

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from clearctl.errors import CapabilityError, RunError

if TYPE_CHECKING:
    import torch
    from torch._C._distributed_c10d import Store

# While one decodes images or writes, the others wait. A process that died is noticed at once, by its connection.
COLLECTIVE_TIMEOUT = timedelta(hours=2)
START_TIMEOUT = timedelta(minutes=5)  # one may have ended on another machine, whose torchrun does not say so
STORE_TIMEOUT = timedelta(seconds=30)
# Only torchrun sets them all: a cluster may set WORLD_SIZE for the machines of a job.
_NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

Value = TypeVar("Value")


def size() -> int:
    """The number of processes, on all machines."""
    return _number("WORLD_SIZE", 1)


def rank() -> int:
    """The number of this process, from 0."""
    return _number("RANK", 0)


def local_rank() -> int:
    """The number of this process on its machine, from 0."""
    return _number("LOCAL_RANK", 0)


def local_size() -> int:
    """The number of processes on this machine."""
    return _number("LOCAL_WORLD_SIZE", 1)


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return rank() == 0


def restart_count() -> int:
    """The number of times that torchrun has started all processes again (`--max-restarts`)."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0)


def restarts_processes() -> bool:
    """Whether torchrun will start all processes again when one of them ends with an error."""
    return restart_count() < _number("TORCHELASTIC_MAX_RESTARTS", 0)


def _number(name: str, without: int) -> int:
    return int(os.environ.get(name, without)) if all(name in os.environ for name in _NEEDED) else without


@contextmanager
def process_group(device: "torch.device") -> Iterator[None]:
    """A context in which the processes can talk: by gloo, and about tensors on a GPU, `device`, by NCCL.

    NCCL takes the current GPU as the process's own: `device` must be that (`engine.machine.current_device`). Raises
    CapabilityError if torch was built without.
    """
    from torch import distributed

    if size() == 1 or (distributed.is_available() and distributed.is_initialized()):
        yield
        return
    on_gpu = device.type == "cuda"
    if not distributed.is_available() or (on_gpu and not distributed.is_nccl_available()):
        missing = "NCCL" if distributed.is_available() else "torch.distributed"
        raise CapabilityError(f"this torch was built without {missing}\nrun it in one process, without torchrun")
    store = _store(f"attempt/{restart_count()}")  # in torchrun's own, where torch would find what earlier attempts left
    if store is not None:
        _wait_for_all(store)
        store.set_timeout(COLLECTIVE_TIMEOUT)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        timeout=COLLECTIVE_TIMEOUT,
        store=store,
        rank=-1 if store is None else rank(),  # as its environment says
        world_size=-1 if store is None else size(),
        device_id=device if on_gpu else None,
    )
    yield
    # Not after an error: the others would notice before it is reported, and report something else.
    distributed.destroy_process_group()


def _wait_for_all(store: "Store") -> None:
    """Wait for all processes. Raises RunError that names the missing ones; they report why they ended."""
    store.set(f"there/{rank()}", "")
    everyone = [f"there/{number}" for number in range(size())]
    try:
        store.wait(everyone, START_TIMEOUT)
    except RuntimeError:
        missing = [str(number) for number in range(size()) if not store.check([f"there/{number}"])]
        raise RunError(
            f"process {', '.join(missing)} of {size()} did not connect within {START_TIMEOUT.seconds // 60} minutes\n"
            "check its output on its machine, then start all processes again"
        ) from None


def broadcast(value: Value) -> Value:
    """Return the first process's `value`; all processes must call it. Tensors must be on the CPU."""
    if size() == 1:
        return value
    from torch import distributed

    values: list[Any] = [value]
    distributed.broadcast_object_list(values, 0)
    found: Value = values[0]
    return found


def gather_to_first(value: Value) -> list[Value]:
    """The `value` of each process, by rank, in the first; in the others nothing. All processes must call it."""
    if size() == 1:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * size() if is_first() else []
    distributed.gather_object(value, values if is_first() else None, 0)
    return values


class Agreement:
    """A number that all processes agree on: the largest of theirs.

    It is exchanged while they work, and known one call later, so no process waits for it.
    """

    def __init__(self) -> None:
        self._alone = size() == 1
        self._under_way: tuple[Any, torch.Tensor] | None = None

    def reached(self, mine: int) -> int:
        """The largest number that a process gave at its call before this one, or alone: `mine`."""
        if self._alone:
            return mine
        import torch
        from torch import distributed

        found = 0
        if self._under_way is not None:
            work, earlier = self._under_way
            work.wait()
            found = int(earlier)
        number = torch.tensor(mine)
        self._under_way = distributed.all_reduce(number, distributed.ReduceOp.MAX, async_op=True), number
        return found


class PeerLostError(RunError):
    """Another process of the run has ended, so that this one cannot continue either."""


@contextmanager
def detect_lost_peers() -> Iterator[None]:
    """A context in which what torch says where another process has ended becomes a PeerLostError."""
    try:
        yield
    except RuntimeError as error:
        if size() == 1 or not _is_of_a_connection(error):
            raise
        if threading.current_thread() is threading.main_thread():
            signal.signal(
                signal.SIGTERM, signal.SIG_IGN
            )  # torchrun's, who is in a hurry: what happened is reported first
        raise PeerLostError("another process of this run has ended") from error


def _is_of_a_connection(error: RuntimeError) -> bool:
    from torch import distributed

    of_gloo = re.search(r"gloo.*(onnect|peer|ead error|rite error|imed out)", str(error), re.DOTALL)
    return isinstance(error, distributed.DistError) or of_gloo is not None


def is_first_to_report() -> bool:
    """Whether no other process has reported an error, in this attempt: what one has reported is not reported again."""
    if size() == 1:
        return True
    store = _store(f"attempt/{restart_count()}")
    return is_first() if store is None else store.add("reported", 1) == 1


def remember(name: str, value: str) -> None:
    """Keep `value` for the processes of later attempts; without torchrun's store it is forgotten."""
    store = _store("run")
    if store is not None:
        store.set(name, value)


def recall(name: str) -> str | None:
    """The text that an earlier attempt kept under `name`."""
    store = _store("run")
    return store.get(name).decode() if store is not None and store.check([name]) else None


def _store(prefix: str) -> "Store | None":
    """The part under `prefix` of the store that torchrun itself keeps, and that outlives the processes.

    None under another launcher, and if it has ended.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    from torch._C._distributed_c10d import PrefixStore, TCPStore

    try:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        return PrefixStore(f"clearctl/{prefix}", TCPStore(host, port, is_master=False, timeout=STORE_TIMEOUT))
    except RuntimeError:
        return None
