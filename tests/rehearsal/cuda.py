"""What stands in for torch.cuda, and what builds on it, while rehearsal GPUs are there."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from rehearsal import graphs
from rehearsal.labels import device_of, index_of, is_on_gpu, is_pinned, name_of, pin
from torch import distributed
from torch.optim.optimizer import Optimizer

if TYPE_CHECKING:
    from rehearsal.gpu import RehearsalGpu

ROOM_BYTES = 8 << 30


class Stream:
    """A stream of a GPU: how many copies from pinned memory it was given, and how many are `done` for certain."""

    def __init__(self, gpu: "RehearsalGpu", index: int) -> None:
        self.gpu = gpu
        self.index = index
        self.device = device_of(index)
        self.given = self.done = 0

    def enqueue(self) -> int:
        """The number of a copy that it is given."""
        self.given += 1
        return self.given

    def finish(self, until: int | None = None) -> None:
        """Do what it was given, or the copies up to the one with that number."""
        self.done = max(self.done, self.given if until is None else until)

    def wait_stream(self, other: "Stream") -> None: ...

    def wait_event(self, event: Any) -> None: ...

    def synchronize(self) -> None:
        """Wait for all that it was given."""
        self.gpu.wait("a stream")
        self.finish()

    def record_event(self, event: "Event | None" = None) -> "Event":
        """An event, behind all that it was given so far."""
        found = event or Event(self.gpu)
        found.record(self)
        return found


class Event:
    """A place in a stream."""

    def __init__(self, gpu: "RehearsalGpu", **named: Any) -> None:
        self.gpu = gpu
        self.stream: Stream | None = None
        self.number = 0

    def record(self, stream: Stream | None = None) -> None:
        """Be behind all that the stream was given so far."""
        self.stream = stream or self.gpu.streams[self.gpu.current]
        self.number = self.stream.given
        self.gpu.touch(self.stream.index, "event")

    def synchronize(self) -> None:
        """Wait for what was before it."""
        self.gpu.waits["event", ""] += 1
        if self.stream is not None:
            self.stream.finish(self.number)

    def wait(self, *given: Any) -> None: ...

    def query(self) -> bool:
        """Whether what was before it is done."""
        return self.stream is None or self.stream.done >= self.number

    def elapsed_time(self, other: Any) -> float:
        return 0.0


class _Autocast(torch.autocast):
    """Autocast on the CPU, where all the operations are."""

    def __init__(self, device_type: str, *given: Any, **named: Any) -> None:
        super().__init__("cpu" if device_type == "cuda" else device_type, *given, **named)


class _Device:
    """torch.cuda as it is asked by way of one of several GPUs."""

    def __init__(self, gpu: "RehearsalGpu") -> None:
        self.gpu = gpu

    def on(self, device: Any, what: str) -> int:
        """The index of a device on which something is done."""
        index = self.gpu.index(device)
        self.gpu.touch(index, what)
        return index

    def exchange(self, index: int) -> int:
        """Make another GPU the current one; the index of the one before."""
        before = self.gpu.current
        if index >= 0:
            self.gpu.current = index
        return before

    def set_device(self, device: Any) -> None:
        """Make a GPU the current one of this thread: a loader's thread that pins has one of its own."""
        index = self.gpu.index(device)
        if threading.current_thread() is threading.main_thread():
            self.gpu.current = index
        self.gpu.touch(index, "set_device")

    def enter(self, index: int) -> int:
        """As `exchange`, by the context manager, which makes a context on the device if there is none."""
        before = self.exchange(index)
        self.gpu.touched.add(self.gpu.current)
        return before

    def stream(self, device: Any = None, **named: Any) -> Stream:
        """A new stream."""
        return Stream(self.gpu, self.on(device, "stream"))

    @contextmanager
    def within(self, stream: Stream | None) -> Iterator[None]:
        """Within, that stream is the current one of its GPU, and that GPU is the current one."""
        if stream is None:
            yield
            return
        before, device = self.gpu.streams[stream.index], self.gpu.current
        self.gpu.streams[stream.index], self.gpu.current = stream, stream.index
        try:
            yield
        finally:
            self.gpu.streams[stream.index], self.gpu.current = before, device

    def synchronize(self, device: Any = None) -> None:
        """Wait for a GPU."""
        index = self.on(device, "synchronize")
        self.gpu.wait("synchronize")
        self.gpu.streams[index].finish()

    def properties(self, device: Any = None) -> SimpleNamespace:
        """What is known of a GPU without using it."""
        self.gpu.index(device)
        return SimpleNamespace(name="rehearsal GPU", total_memory=ROOM_BYTES, major=9, minor=0)


def _random(gpu: "RehearsalGpu") -> dict[str, Any]:
    """Generators, one for each GPU; those who seed all of them use none."""

    def seed_all(number: int) -> None:
        for generator in gpu.generators:
            generator.manual_seed(int(number) % 2**63)

    return {
        "get_rng_state": lambda device="cuda": gpu.generators[gpu.index(device)].get_state(),
        "set_rng_state": lambda state, device="cuda": gpu.generators[gpu.index(device)].set_state(state),
        "get_rng_state_all": lambda: [generator.get_state() for generator in gpu.generators],
        "set_rng_state_all": lambda states: [g.set_state(s) for g, s in zip(gpu.generators, states, strict=False)],
        "manual_seed": lambda number: gpu.generators[gpu.current].manual_seed(number),
        "manual_seed_all": seed_all,
        "initial_seed": lambda: gpu.generators[gpu.current].initial_seed(),
    }


def _of_cuda(gpu: "RehearsalGpu") -> dict[str, Any]:
    """{name in torch.cuda: what stands in for it}."""
    device = _Device(gpu)
    return {
        "is_available": lambda: True,
        "device_count": lambda: gpu.count,
        "current_device": lambda: gpu.current,
        "is_initialized": lambda: True,
        "is_current_stream_capturing": lambda: gpu.capturing,
        "init": lambda: None,
        "_lazy_init": lambda: None,
        "_is_in_bad_fork": lambda: False,
        "get_device_name": lambda device=None: "rehearsal GPU",
        "get_device_capability": lambda device=None: (9, 0),
        "get_device_properties": device.properties,
        "is_bf16_supported": lambda *given, **named: True,
        "set_device": device.set_device,
        "_exchange_device": device.enter,
        "_maybe_exchange_device": device.exchange,
        "synchronize": device.synchronize,
        "empty_cache": lambda: None,
        "mem_get_info": lambda asked=None: (device.on(asked, "mem_get_info"), (ROOM_BYTES, ROOM_BYTES))[1],
        "max_memory_allocated": lambda asked=None: 0 * device.on(asked, "max_memory_allocated"),
        "memory_allocated": lambda asked=None: 0 * device.on(asked, "memory_allocated"),
        "Stream": device.stream,
        "Event": lambda **named: Event(gpu, **named),
        "current_stream": lambda asked=None: gpu.streams[device.on(asked, "current_stream")],
        "stream": device.within,
        **_random(gpu),
        **graphs.stand_ins(gpu, is_on_gpu),
    }


def _of_accelerator(gpu: "RehearsalGpu") -> dict[str, Any]:
    """{name in torch.accelerator: what stands in for it}."""
    return {
        "is_available": lambda: True,
        "device_count": lambda: gpu.count,
        "current_accelerator": lambda *given, **named: torch.device("cuda"),
        "current_device_index": lambda: gpu.current,
        "set_device_index": _Device(gpu).set_device,
    }


def _of_tensors(gpu: "RehearsalGpu") -> dict[str, Any]:
    """{method of torch.Tensor: what stands in for it}, in every thread."""

    def record_stream(tensor: torch.Tensor, stream: Stream) -> None:
        if not is_on_gpu(tensor):
            raise RuntimeError("record_stream of a tensor on the CPU")
        if index_of(tensor) != stream.index:
            raise RuntimeError(
                f"record_stream of a tensor on {name_of(index_of(tensor))} for a stream of {stream.device}"
            )

    def pin_memory(tensor: torch.Tensor, device: Any = None) -> torch.Tensor:
        if is_on_gpu(tensor):
            raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
        return tensor if is_pinned(tensor) else pin(tensor.clone())

    return {
        "record_stream": record_stream,
        "pin_memory": pin_memory,
        "is_pinned": lambda tensor, device=None: is_pinned(tensor),
    }


def _of_distributed(gpu: "RehearsalGpu") -> dict[str, Any]:
    """{name in torch.distributed: what stands in for it}: groups of NCCL are of gloo, also for tensors on a GPU."""
    begin = distributed.init_process_group

    def init_process_group(backend: str, **named: Any) -> None:
        gpu.groups.append({"backend": backend, "current": device_of(gpu.current), **named})
        begin(backend.replace("nccl", "gloo"), **{**named, "device_id": None})

    return {"is_nccl_available": lambda: True, "init_process_group": init_process_group}


@contextmanager
def replaced(gpu: "RehearsalGpu") -> Iterator[None]:
    """Within, torch.cuda speaks of the GPUs of `gpu`, which are the only ones."""
    seeding, seed_gpus = torch.manual_seed, _random(gpu)["manual_seed_all"]

    def seed(number: int) -> torch.Generator:
        seed_gpus(number)
        return seeding(number)

    checks = ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check")
    with ExitStack() as put_back:
        for owner, stand_ins in (
            (torch.cuda, _of_cuda(gpu)),
            (torch.accelerator, _of_accelerator(gpu)),
            (torch.Tensor, _of_tensors(gpu)),
            (distributed, _of_distributed(gpu)),
            (torch, {"autocast": _Autocast, "manual_seed": seed}),
            (torch.amp.autocast_mode, {"autocast": _Autocast}),
            (torch.random, {"manual_seed": seed}),
            (Optimizer, {name: lambda self: None for name in checks if hasattr(Optimizer, name)}),
        ):
            for name, stand_in in stand_ins.items():
                put_back.enter_context(mock.patch.object(owner, name, stand_in))
        yield
