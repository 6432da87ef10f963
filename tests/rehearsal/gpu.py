"""A GPU that is not there: tensors on the CPU, of which some claim to lie on cuda:0.

`with RehearsalGpu() as gpu:` and then run anything with device "cuda". What a real GPU refuses is refused, in torch's
words: operands on different devices, NumPy arrays of its tensors, generators of another device. What makes the host
wait is counted in `gpu.waits`, with the place in the program that it came from, and each operation that is no view in
`gpu.launches`.

Every storage carries a label: the device that it is said to lie on. A TorchDispatchMode sees every operation, backward
and optimizers too, and gives results the label of their operands; random numbers come from a generator of the device's
own. A TorchFunctionMode sees what never reaches the dispatcher, such as `.device`, `.to("cuda")` and `.tolist()`.
`cuda.replaced` stands in for torch.cuda, `graphs` for its graphs.

It cannot see streams and their order, real asynchrony, kernels, memory, NCCL and Triton.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import torch
from rehearsal import cuda, graphs
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
TWO_DEVICES = "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"

# Operations whose result the host has to know before it goes on.
WAITING = frozenset(
    {
        "_local_scalar_dense",
        "nonzero",
        "masked_select",
        "_unique",
        "_unique2",
        "unique_dim",
        "unique_consecutive",
        "equal",
        "is_nonzero",
        "bincount",
        "histc",
        "linalg_inv_ex",
        "linalg_svd",
        "_linalg_svd",
        "_linalg_eigh",
        "linalg_cholesky_ex",
    }
)
DRAWING = frozenset(
    {
        "bernoulli",
        "bernoulli_",
        "native_dropout",
        "rand",
        "randn",
        "normal",
        "normal_",
        "uniform_",
        "randint",
        "random_",
        "randperm",
        "multinomial",
        "exponential_",
        "rand_like",
        "randn_like",
        "randint_like",
        "dropout",
        "rrelu_with_noise",
        "log_normal_",
        "cauchy_",
        "geometric_",
    }
)
# Operations whose operands may lie on different devices.
FREE = frozenset(
    {"detach", "alias", "lift_fresh", "set_", "_pin_memory", "record_stream", "_foreach_copy_", "_foreach_copy"}
)
INDEXING = frozenset({"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"})
# Operations that take not even a number from the other device.
STRICT = frozenset(
    {
        "mm",
        "addmm",
        "bmm",
        "linear",
        "convolution",
        "nll_loss_forward",
        "index_select",
        "gather",
        "scatter",
        "cat",
        "index_add_",
        "embedding",
    }
)
PRODUCTS = frozenset({"mm", "addmm", "bmm", "convolution"})


def is_on_gpu(tensor: torch.Tensor) -> bool:
    """Whether the tensor is said to lie on the GPU."""
    with torch._C.DisableTorchFunction():
        return getattr(tensor.untyped_storage(), "_rehearsal_gpu", False)


def put_on_gpu(tensor: torch.Tensor) -> torch.Tensor:
    """Say that the tensor lies on the GPU."""
    with torch._C.DisableTorchFunction():
        tensor.untyped_storage()._rehearsal_gpu = True
    return tensor


class RehearsalGpu:
    """What was done on the GPU while it was there.

    `waits` counts {(what, place): times}, `launches` the operations by name, `unpinned` the copies to it that claim not
    to block, from memory that is not pinned. `environment` is (CUBLAS_WORKSPACE_CONFIG, whether algorithms were
    deterministic) at the first matrix product, None before. `generator` is the device's own.
    """

    def __init__(self) -> None:
        self.waits: Counter[tuple[str, str]] = Counter()
        self.launches: Counter[str] = Counter()
        self.unpinned: Counter[str] = Counter()
        self.environment: tuple[str | None, bool] | None = None
        self.generator = torch.Generator()
        self.generator.manual_seed(0)
        self.moving: bool | None = None  # where the next `_to_copy` goes to
        self.graphs: list[graphs.Graph] = []  # that were captured
        self.capturing = False  # whether one is being captured
        self.near_gpu = False  # whether the function under way was given a tensor on the GPU

    def __enter__(self) -> "RehearsalGpu":
        self._stack = ExitStack()
        for mode in (cuda.replaced(self, is_on_gpu), _Dispatch(self), _Function(self)):
            self._stack.enter_context(mode)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def wait(self, what: str) -> None:
        """Count a wait of the host. Raises RuntimeError while a CUDA graph is captured."""
        if self.capturing:
            raise RuntimeError(f"CUDA error: operation not permitted when stream is capturing ({what})")
        self.waits[what, _place()] += 1

    def move(self, tensor: torch.Tensor, to_gpu: bool, *, copy: bool = False) -> torch.Tensor:
        """The tensor on the other device, or itself where it is there, unless a `copy` is asked for."""
        if is_on_gpu(tensor) == to_gpu and not copy:
            return tensor
        if torch._C.TensorBase.requires_grad.__get__(tensor) and torch.is_grad_enabled():
            return _Moved.apply(tensor, to_gpu, self)
        return self.copied(tensor, to_gpu)

    def copied(self, tensor: torch.Tensor, to_gpu: bool) -> torch.Tensor:
        """A copy on one of the devices, of which autograd knows nothing."""
        self.moving = to_gpu
        return torch.ops.aten._to_copy.default(tensor.detach())


def _place() -> str:
    """Where in the program the host is: the innermost frame that is neither torch's nor of the rehearsal."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not any(part in name for part in ("/rehearsal/", "/torch/", "<frozen", "contextlib")):
            return f"{'/'.join(name.split('/')[-2:])} {frame.f_code.co_name}"
        frame = frame.f_back
    return "?"


def _tensors(*values: Any) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(*value)
        elif isinstance(value, dict):
            yield from _tensors(*value.values())


def _is_cuda(device: Any) -> bool:
    return torch.device(device).type == "cuda"


class _Dispatch(TorchDispatchMode):
    """Refuses, counts and labels each operation."""

    def __init__(self, gpu: RehearsalGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket._qualified_op_name.split("::")[1]
        asked = kwargs.get("device")
        if asked is not None:
            kwargs["device"] = CPU
        # What is not said is filled in by C++ with the device of the operands: these say where they are.
        to_gpu = True if asked is not None and _is_cuda(asked) else None
        tensors = list(_tensors(args, kwargs))
        here = [is_on_gpu(tensor) for tensor in tensors]
        if name.startswith(("_foreach", "_fused", "_amp_")) and name not in FREE:
            return self._of_lists(func, name, args, kwargs, tensors, here)
        on_gpu = self._result(name, args, tensors, here, to_gpu)
        if on_gpu or any(here):
            self._count(name, any(here), is_launch=not func.is_view)
        if name in DRAWING and (on_gpu or any(here)):
            return self._drawn(func, args, kwargs, on_gpu)
        return _labelled(func(*args, **kwargs), on_gpu)

    def _result(self, name: str, args: Any, tensors: list[torch.Tensor], here: list[bool], to_gpu: bool | None) -> bool:
        """Whether the result lies on the GPU. Raises RuntimeError where the operands cannot be where they are."""
        gpu = self.gpu
        if name == "_to_copy":
            if gpu.moving is not None:
                to_gpu, gpu.moving = gpu.moving, None
            result = here[0] if to_gpu is None else to_gpu
            self._copied(tensors[0], here[0], result)
            return result
        if name == "copy_":
            self._copied(args[1], is_on_gpu(args[1]), is_on_gpu(args[0]))
            return is_on_gpu(args[0])
        if name in FREE:
            return here[0] if here else bool(to_gpu)
        if name in INDEXING:
            return self._indexed(name, args)
        if any(here) and not all(here):
            hosts = [tensor for tensor, is_here in zip(tensors, here, strict=True) if not is_here]
            clash = any(tensor.ndim > 0 for tensor in hosts) or name in STRICT
            if clash and not (name == "cat" and not any(tensor.numel() for tensor in hosts)):
                raise RuntimeError(f"{TWO_DEVICES} (shapes {[tuple(tensor.shape) for tensor in tensors]} in {name})")
        if to_gpu is not None:
            return to_gpu
        return any(here) if tensors else gpu.near_gpu

    def _copied(self, tensor: torch.Tensor, from_gpu: bool, to_gpu: bool) -> None:
        if from_gpu and not to_gpu:
            self.gpu.wait("copy to the host")
        elif to_gpu and not from_gpu and tensor.numel():
            self.gpu.wait("copy from memory that is not pinned")

    def _indexed(self, name: str, args: Any) -> bool:
        on_gpu = is_on_gpu(args[0])
        for index in (index for index in args[1] if index is not None):
            if is_on_gpu(index) and not on_gpu:
                raise RuntimeError(
                    f"indices should be either on cpu or on the same device as the indexed tensor (cpu) [{name}]"
                )
            if on_gpu and not is_on_gpu(index):
                self.gpu.wait("an index copied to the device")
            if on_gpu and index.dtype in (torch.bool, torch.uint8):
                self.gpu.wait("a mask as index")
        for value in args[2:]:
            if isinstance(value, torch.Tensor) and value.ndim > 0 and is_on_gpu(value) != on_gpu:
                raise RuntimeError(f"{TWO_DEVICES} [{name}]")
        return on_gpu

    def _of_lists(
        self, func: Any, name: str, args: Any, kwargs: Any, tensors: list[torch.Tensor], here: list[bool]
    ) -> Any:
        """An operation on lists of tensors, each of which has its result where it is itself."""
        lists = [arg for arg in args if isinstance(arg, list | tuple) and arg and isinstance(arg[0], torch.Tensor)]
        columns = [arg for arg in lists if len(arg) == len(lists[0])] if lists else []
        for column in zip(*columns, strict=True):
            if len({is_on_gpu(tensor) for tensor in column}) > 1 and any(tensor.ndim for tensor in tensors):
                raise RuntimeError(f"{TWO_DEVICES} [{name}]")
        if any(here):
            self._count(name, True, is_launch=True)
        result = func(*args, **kwargs)
        for tensor, source in zip(_tensors(result), _tensors(lists), strict=False):
            _labelled(tensor, is_on_gpu(source))
        return result

    def _count(self, name: str, reads_gpu: bool, *, is_launch: bool) -> None:
        gpu = self.gpu
        gpu.launches[name] += is_launch
        if name in WAITING and reads_gpu:
            gpu.wait(name)
        if name in PRODUCTS and gpu.environment is None:
            gpu.environment = os.environ.get("CUBLAS_WORKSPACE_CONFIG"), torch.are_deterministic_algorithms_enabled()

    def _drawn(self, func: Any, args: Any, kwargs: Any, on_gpu: bool) -> Any:
        """Random numbers of the device's own generator."""
        gpu, given = self.gpu, kwargs.get("generator")
        if given is not None and given is not gpu.generator:
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        before = torch.default_generator.get_state()
        torch.default_generator.set_state(gpu.generator.get_state())
        try:
            return _labelled(func(*args, **kwargs), on_gpu)
        finally:
            gpu.generator.set_state(torch.default_generator.get_state())
            torch.default_generator.set_state(before)


def _labelled(result: Any, on_gpu: bool) -> Any:
    if on_gpu:
        for tensor in _tensors(result):
            put_on_gpu(tensor)
    return result


_PROPERTIES = {getattr(torch.Tensor, name).__get__: name for name in ("device", "is_cuda", "is_cpu")}


class _Function(TorchFunctionMode):
    """What Python asks of a tensor without an operation."""

    def __init__(self, gpu: RehearsalGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        gpu, first = self.gpu, args[0] if args else None
        if func in _PROPERTIES:
            here = is_on_gpu(first)
            return {"device": CUDA if here else CPU, "is_cuda": here, "is_cpu": not here}[_PROPERTIES[func]]
        if func is torch.Tensor.to:
            return self._to(*args, **kwargs)
        if func is torch.Tensor.type_as:
            return self._to(first, args[1])
        if func in (torch.Tensor.cuda, torch.Tensor.cpu):
            return gpu.move(first, func is torch.Tensor.cuda)
        if func in (torch.Tensor.numpy, torch.Tensor.__array__) and is_on_gpu(first):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy it first.")
        if func is torch.Tensor.tolist and is_on_gpu(first):
            gpu.wait("tolist")
        if func is torch.Tensor.get_device:
            return 0 if is_on_gpu(first) else -1
        if func is torch.Tensor.pin_memory:
            if is_on_gpu(first):
                raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
            return first
        if func is torch.Tensor.is_pinned:
            return False
        if func in (torch.as_tensor, torch.tensor):
            return self._made(func, args, kwargs)
        if func is torch.nn.functional.one_hot and is_on_gpu(first) and "num_classes" not in kwargs and len(args) < 2:
            gpu.wait("one_hot without num_classes")
        before = gpu.near_gpu
        gpu.near_gpu = isinstance(first, torch.Tensor) and is_on_gpu(first) and kwargs.get("device") is None
        try:
            return func(*args, **kwargs)
        finally:
            gpu.near_gpu = before

    def _made(self, func: Any, args: Any, kwargs: Any) -> torch.Tensor:
        device = kwargs.pop("device", None)
        if func is torch.tensor and any(map(is_on_gpu, _tensors(args[0]))):
            self.gpu.wait("a tensor of numbers on the device")
        made = func(*args, **kwargs)
        if device is not None and (func is torch.as_tensor or _is_cuda(device)):
            return self.gpu.move(made, _is_cuda(device))
        return made

    def _to(
        self,
        tensor: torch.Tensor,
        *given: Any,
        device: Any = None,
        dtype: torch.dtype | None = None,
        non_blocking: bool = False,
        copy: bool = False,
        memory_format: torch.memory_format | None = None,
    ) -> torch.Tensor:
        for position, value in enumerate(given):
            if isinstance(value, torch.Tensor):
                device, dtype = (CUDA if is_on_gpu(value) else CPU), value.dtype
            elif isinstance(value, torch.dtype):
                dtype = value
            elif isinstance(value, bool):
                non_blocking = non_blocking or position >= 1 and value
            elif value is not None:
                device = CUDA if isinstance(value, int) else torch.device(value)
        from_gpu = is_on_gpu(tensor)
        to_gpu = from_gpu if device is None else _is_cuda(device)
        if from_gpu != to_gpu and non_blocking:
            if to_gpu:
                self.gpu.unpinned[_place()] += 1
            else:
                self.gpu.wait("a copy to the host that does not block: read before it has ended?")
        moved = self.gpu.move(tensor, to_gpu, copy=True) if from_gpu != to_gpu else tensor.clone() if copy else tensor
        if (dtype is None or dtype == moved.dtype) and memory_format is None:
            return moved
        formatted = {} if memory_format is None else {"memory_format": memory_format}
        return torch._C.TensorBase.to(moved, moved.dtype if dtype is None else dtype, **formatted)


class _Moved(torch.autograd.Function):
    """A copy to the other device whose gradient is copied back."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, to_gpu: bool, gpu: RehearsalGpu) -> torch.Tensor:
        ctx.was, ctx.gpu = is_on_gpu(tensor), gpu
        return gpu.copied(tensor, to_gpu)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        here = is_on_gpu(gradient)
        return (ctx.gpu.copied(gradient, ctx.was) if here != ctx.was else gradient), None, None
