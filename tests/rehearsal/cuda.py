"""What stands in for torch.cuda while a rehearsal GPU is there."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from rehearsal import graphs
from torch.optim.optimizer import Optimizer
from torch.utils.data import DataLoader

ROOM_BYTES = 8 << 30


class _Stream:
    device = torch.device("cuda", 0)

    def __init__(self, *given: Any, **named: Any) -> None: ...

    def wait_stream(self, other: Any) -> None: ...

    def wait_event(self, event: Any) -> None: ...

    def synchronize(self) -> None: ...

    def record_event(self, event: Any = None) -> "_Event":
        return _Event()


class _Event:
    def __init__(self, *given: Any, **named: Any) -> None: ...

    def record(self, *given: Any) -> None: ...

    def synchronize(self) -> None: ...

    def wait(self, *given: Any) -> None: ...

    def query(self) -> bool:
        return True

    def elapsed_time(self, other: Any) -> float:
        return 0.0


class _Autocast(torch.autocast):
    """Autocast on the CPU, where all the operations are."""

    def __init__(self, device_type: str, *given: Any, **named: Any) -> None:
        super().__init__("cpu" if device_type == "cuda" else device_type, *given, **named)


@contextmanager
def replaced(gpu: Any, is_on_gpu: Callable[[torch.Tensor], bool]) -> Iterator[None]:
    """Within, torch.cuda speaks of `gpu`, the only one of its kind."""
    random, seeding, loading = gpu.generator, torch.manual_seed, DataLoader.__init__

    def seed(number: int) -> torch.Generator:
        random.manual_seed(int(number) % 2**63)
        return seeding(number)

    def load(self: Any, *given: Any, **named: Any) -> None:
        loading(self, *given, **{**named, "pin_memory": False})  # by real CUDA

    def record(tensor: torch.Tensor, stream: Any) -> None:
        if not is_on_gpu(tensor):
            raise RuntimeError("record_stream of a tensor on the CPU")

    stand_ins = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "is_initialized": lambda: True,
        "init": lambda: None,
        "_lazy_init": lambda: None,
        "_is_in_bad_fork": lambda: False,
        "get_device_name": lambda device=None: "rehearsal GPU",
        "get_device_capability": lambda device=None: (9, 0),
        "is_bf16_supported": lambda *given, **named: True,
        "set_device": lambda device: None,
        "synchronize": lambda device=None: gpu.wait("synchronize"),
        "empty_cache": lambda: None,
        "mem_get_info": lambda device=None: (ROOM_BYTES, ROOM_BYTES),
        "max_memory_allocated": lambda device=None: 0,
        "memory_allocated": lambda device=None: 0,
        "Stream": _Stream,
        "Event": _Event,
        "current_stream": lambda device=None: _Stream(),
        "stream": lambda stream: nullcontext(),
        "get_rng_state": lambda device=None: random.get_state(),
        "set_rng_state": lambda state, device=None: random.set_state(state),
        "get_rng_state_all": lambda: [random.get_state()],
        "set_rng_state_all": lambda states: random.set_state(states[0]),
        "manual_seed": random.manual_seed,
        "manual_seed_all": random.manual_seed,
        "initial_seed": random.initial_seed,
        **graphs.stand_ins(gpu, is_on_gpu),
    }
    checks = ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check")
    with ExitStack() as put_back:
        for name, stand_in in stand_ins.items():
            put_back.enter_context(mock.patch.object(torch.cuda, name, stand_in))
        for owner, name, value in (
            (torch, "autocast", _Autocast),
            (torch.amp.autocast_mode, "autocast", _Autocast),
            (torch, "manual_seed", seed),
            (torch.random, "manual_seed", seed),
            (torch.accelerator, "current_accelerator", lambda *given, **named: torch.device("cuda")),
            (DataLoader, "__init__", load),
            *((Optimizer, name, lambda self: None) for name in checks if hasattr(Optimizer, name)),
        ):
            put_back.enter_context(mock.patch.object(owner, name, value))
        put_back.enter_context(mock.patch.object(torch.Tensor, "record_stream", record))
        yield
