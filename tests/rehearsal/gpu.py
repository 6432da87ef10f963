"""GPUs that are not there: tensors on the CPU, of which some claim to lie on cuda:0 or cuda:1.

`with RehearsalGpu() as gpu:` and then run anything with device "cuda". What a real GPU refuses is refused, in torch's
words: operands on different devices, NumPy arrays of its tensors, generators of another device; and so is what it
would not notice: writing to pinned memory that it has not read yet. What makes the host wait is counted in
`gpu.waits`, with the place in the program that it came from, and each operation that is no view in `gpu.launches`.

Every storage carries a label: the device that it is said to lie on (`labels`). A TorchDispatchMode sees every
operation, backward and optimizers too, and gives results the label of their operands; random numbers come from a
generator of the device's own (`operations`). A TorchFunctionMode sees what never reaches the dispatcher, such as
`.device`, `.to("cuda")` and `.tolist()` (`functions`). `cuda.replaced` stands in for torch.cuda, `graphs` for its
graphs.

It cannot see kernels, memory, Triton, what streams do at the same time, and NCCL: what processes exchange is checked
and counted in `gpu.collectives`, and sent by gloo.
"""

import sys
from collections import Counter
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import torch
from rehearsal import cuda, graphs
from rehearsal.functions import Function, Moved
from rehearsal.labels import CUDA, HOST, copy_begins, index_of, is_pinned, name_of
from rehearsal.operations import NCCL_DTYPES, Dispatch

__all__ = ["CUDA", "RehearsalGpu"]


class RehearsalGpu:
    """What was done on `count` GPUs while they were there.

    `waits` counts {(what, place): times}, `launches` the operations by name, `unpinned` the copies to a GPU that claim
    not to block, from memory that is not pinned, `collectives` {(name, device, dtype): times}. `touched` has the
    indices of the GPUs on which anything was done, and `elsewhere` what was done on one that was not the current one.
    `environment` is (CUBLAS_WORKSPACE_CONFIG, whether algorithms were deterministic) at the first matrix product, None
    before. `groups` are the arguments of each process group that was asked for, with the current device.
    """

    def __init__(self, count: int = 2) -> None:
        self.count = count
        self.waits: Counter[tuple[str, str]] = Counter()
        self.launches: Counter[str] = Counter()
        self.unpinned: Counter[str] = Counter()
        self.collectives: Counter[tuple[str, str, torch.dtype]] = Counter()
        self.groups: list[dict[str, Any]] = []
        self.touched: set[int] = set()
        self.elsewhere: Counter[tuple[str, str]] = Counter()
        self.environment: tuple[str | None, bool] | None = None
        self.generators = [torch.Generator().manual_seed(0) for _ in range(count)]
        self.current = 0
        self.streams = [cuda.Stream(self, index) for index in range(count)]  # the current one of each
        self.moving: tuple[int, bool] | None = None  # where the next `_to_copy` goes to, and whether it is to wait
        self.near = HOST  # where the first tensor lies that the function under way was given
        self.graphs: list[graphs.Graph] = []  # that were captured
        self.capturing = False  # whether one is being captured

    def __enter__(self) -> "RehearsalGpu":
        self._stack = ExitStack()
        for mode in (cuda.replaced(self), Dispatch(self), Function(self)):
            self._stack.enter_context(mode)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def index(self, device: Any) -> int:
        """The index of a device as torch takes it, HOST for the CPU; `cuda` is the current one."""
        if device is None:
            return self.current
        found = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
        if found.type != "cuda":
            return HOST
        index = self.current if found.index is None else found.index
        if index >= self.count:
            raise RuntimeError("CUDA error: invalid device ordinal")
        return index

    def touch(self, index: int, what: str) -> None:
        """Note that something is done on a GPU."""
        self.touched.add(index)
        if index != self.current:
            self.elsewhere[what, place()] += 1

    def wait(self, what: str) -> None:
        """Count a wait of the host, for all that the current stream of the current GPU has to do.

        Raises RuntimeError while a CUDA graph is captured.
        """
        if self.capturing:
            raise RuntimeError(f"CUDA error: operation not permitted when stream is capturing ({what})")
        self.waits[what, place()] += 1
        self.streams[self.current].finish()

    def move(self, tensor: torch.Tensor, to: int, *, copy: bool = False, non_blocking: bool = False) -> torch.Tensor:
        """The tensor on another device, or itself where it is there, unless a `copy` is asked for."""
        if index_of(tensor) == to and not copy:
            return tensor
        if torch._C.TensorBase.requires_grad.__get__(tensor) and torch.is_grad_enabled():
            moved: torch.Tensor = Moved.apply(tensor, to, non_blocking, self)
            return moved
        return self.copied(tensor, to, non_blocking=non_blocking)

    def copied(self, tensor: torch.Tensor, to: int, *, non_blocking: bool = False) -> torch.Tensor:
        """A copy on one of the devices, of which autograd knows nothing."""
        self.moving = to, non_blocking
        return torch.ops.aten._to_copy.default(tensor.detach())

    def copied_between(self, tensor: torch.Tensor, origin: int, to: int, *, non_blocking: bool) -> None:
        """Count what a copy makes the host wait for, and note what a GPU has yet to read."""
        if origin == to or not tensor.numel():
            return
        for index in {origin, to} - {HOST}:
            self.touch(index, "copy")
        if to == HOST:
            self.wait("copy to the host")
            if non_blocking:
                self.wait("a copy to the host that does not block: read before it has ended?")
        elif origin == HOST:
            if is_pinned(tensor) and non_blocking:
                copy_begins(tensor, self.streams[to])
                return
            if non_blocking:
                self.unpinned[place()] += 1
            self.wait("copy from memory that is not pinned" if not is_pinned(tensor) else "copy to the device")

    def require_nccl(self, name: str, tensors: list[torch.Tensor], index: int) -> None:
        """Raise RuntimeError for what NCCL does not exchange: on another GPU, of other dtypes, or not contiguous."""
        if index != self.current:
            raise RuntimeError(f"{name} on {name_of(index)}, while {name_of(self.current)} is the process's own GPU")
        for tensor in tensors:
            if tensor.dtype not in NCCL_DTYPES:
                raise RuntimeError(f"Input tensor data type is not supported for NCCL process group: {tensor.dtype}")
            if not tensor.is_contiguous():
                raise ValueError("Tensors must be contiguous")
        self.touch(index, name)


def place() -> str:
    """Where in the program the host is: the innermost frame that is neither torch's nor of the rehearsal."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not any(part in name for part in ("/rehearsal/", "/torch/", "<frozen", "contextlib")):
            return f"{'/'.join(name.split('/')[-2:])} {frame.f_code.co_name}"
        frame = frame.f_back
    return "?"
