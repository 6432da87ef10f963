"""What a rehearsal GPU sees of each operation: it refuses, counts and labels (see `gpu`)."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from rehearsal.labels import CPU, HOST, index_of, is_being_copied, is_pinned, name_of, put_on, tensors_in
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from rehearsal.gpu import RehearsalGpu

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
FREE = frozenset({"detach", "alias", "lift_fresh", "set_", "record_stream", "_foreach_copy_", "_foreach_copy"})
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
# What NCCL can send, of torch's dtypes (torch/csrc/distributed/c10d/NCCLUtils, ncclDataType).
NCCL_DTYPES = frozenset(
    {
        torch.int8,
        torch.uint8,
        torch.int32,
        torch.int64,
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.bool,
    }
)


def _two_devices(indices: Iterator[int], what: str) -> RuntimeError:
    first, second, *_ = sorted({name_of(index) for index in indices}, reverse=True)
    text = f"Expected all tensors to be on the same device, but found at least two devices, {first} and {second}!"
    return RuntimeError(f"{text} ({what})")


class Dispatch(TorchDispatchMode):
    """Refuses, counts and labels each operation."""

    def __init__(self, gpu: "RehearsalGpu") -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        namespace, name = func.overloadpacket._qualified_op_name.split("::")
        asked = kwargs.get("device")
        if asked is not None:
            kwargs["device"] = CPU
        # What is not said is filled in by C++ with the device of the operands: these say where they are.
        to = None if asked is None or torch.device(asked).type != "cuda" else self.gpu.index(asked)
        tensors = list(tensors_in(args, kwargs))
        places = [index_of(tensor) for tensor in tensors]
        self._refuse_writing(func, name, tensors)
        if namespace == "c10d":
            return self._collective(func, name, args, kwargs, tensors, places)
        if name.startswith(("_foreach", "_fused", "_amp_")) and name not in FREE:
            return self._of_lists(func, name, args, kwargs, tensors, places)
        place = self._result(name, args, tensors, places, to)
        if place != HOST or any(index != HOST for index in places):
            self._count(name, places, place, is_launch=not func.is_view)
        if name in DRAWING and place != HOST:
            return self._drawn(func, args, kwargs, place)
        return _labelled(func(*args, **kwargs), place)

    def _result(self, name: str, args: Any, tensors: list[torch.Tensor], places: list[int], to: int | None) -> int:
        """Where the result lies. Raises RuntimeError where the operands cannot be where they are."""
        gpu = self.gpu
        if name == "_to_copy":
            non_blocking = False
            if gpu.moving is not None:
                (to, non_blocking), gpu.moving = gpu.moving, None
            result = places[0] if to is None else to
            gpu.copied_between(tensors[0], places[0], result, non_blocking=non_blocking)
            return result
        if name == "copy_":
            target, source = index_of(args[0]), index_of(args[1])
            gpu.copied_between(args[1], source, target, non_blocking=any(args[2:]))
            return target
        if name in FREE:
            return places[0] if places else HOST if to is None else to
        if name in INDEXING:
            return self._indexed(name, args)
        if len(set(places)) > 1:
            self._refuse_mixed(name, tensors, places)
        if to is not None:
            return to
        return max(places) if tensors else gpu.near

    def _refuse_mixed(self, name: str, tensors: list[torch.Tensor], places: list[int]) -> None:
        hosts = [tensor for tensor, place in zip(tensors, places, strict=True) if place == HOST]
        clash = any(tensor.ndim > 0 for tensor in hosts) or name in STRICT or len({*places} - {HOST}) > 1
        if clash and not (name == "cat" and not any(tensor.numel() for tensor in hosts)):
            raise _two_devices(iter(places), f"shapes {[tuple(tensor.shape) for tensor in tensors]} in {name}")

    def _refuse_writing(self, func: Any, name: str, tensors: list[torch.Tensor]) -> None:
        """Raise RuntimeError where pinned memory is written that a GPU may still have to read."""
        if not func._schema.is_mutable or not any(map(is_pinned, tensors)):
            return
        written = tensors if name.startswith("_foreach") else tensors[:1]
        if any(map(is_being_copied, written)):
            raise RuntimeError(f"pinned memory is written in {name} while it is copied to the GPU")

    def _indexed(self, name: str, args: Any) -> int:
        place = index_of(args[0])
        for index in (index for index in args[1] if index is not None):
            if index_of(index) not in (place, HOST):
                raise RuntimeError(
                    "indices should be either on cpu or on the same device as the indexed tensor"
                    f" ({name_of(place)}) [{name}]"
                )
            if place != HOST and index_of(index) == HOST:
                self.gpu.wait("an index copied to the device")
            if place != HOST and index.dtype in (torch.bool, torch.uint8):
                self.gpu.wait("a mask as index")
        for value in args[2:]:
            if isinstance(value, torch.Tensor) and value.ndim > 0 and index_of(value) != place:
                raise _two_devices(iter((index_of(value), place)), name)
        return place

    def _of_lists(
        self, func: Any, name: str, args: Any, kwargs: Any, tensors: list[torch.Tensor], places: list[int]
    ) -> Any:
        """An operation on lists of tensors, each of which has its result where it is itself."""
        lists = [arg for arg in args if isinstance(arg, list | tuple) and arg and isinstance(arg[0], torch.Tensor)]
        columns = [arg for arg in lists if len(arg) == len(lists[0])] if lists else []
        for column in zip(*columns, strict=True):
            if len({index_of(tensor) for tensor in column}) > 1 and any(tensor.ndim for tensor in tensors):
                raise _two_devices(map(index_of, column), name)
        if any(place != HOST for place in places):
            self._count(name, places, max(places), is_launch=True)
        result = func(*args, **kwargs)
        for tensor, source in zip(tensors_in(result), tensors_in(lists), strict=False):
            _labelled(tensor, index_of(source))
        return result

    def _collective(
        self, func: Any, name: str, args: Any, kwargs: Any, tensors: list[torch.Tensor], places: list[int]
    ) -> Any:
        """What processes exchange: by NCCL where the tensors lie on this process's GPU, by gloo on the host."""
        if len(set(places)) > 1:
            raise _two_devices(iter(places), name)
        if places and places[0] != HOST:
            self.gpu.require_nccl(name, tensors, places[0])
        for tensor, place in zip(tensors, places, strict=True):
            self.gpu.collectives[name, name_of(place), tensor.dtype] += 1
        return func(*args, **kwargs)

    def _count(self, name: str, places: list[int], place: int, *, is_launch: bool) -> None:
        gpu, on = self.gpu, max(place, *places, HOST)
        gpu.touch(on, name)
        gpu.launches[name] += is_launch
        if name in WAITING and any(index != HOST for index in places):
            gpu.wait(name)
        if name in PRODUCTS and gpu.environment is None:
            gpu.environment = os.environ.get("CUBLAS_WORKSPACE_CONFIG"), torch.are_deterministic_algorithms_enabled()

    def _drawn(self, func: Any, args: Any, kwargs: Any, place: int) -> Any:
        """Random numbers of the device's own generator."""
        own, given = self.gpu.generators[place], kwargs.get("generator")
        if given is not None and given is not own:
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        before = torch.default_generator.get_state()
        torch.default_generator.set_state(own.get_state())
        try:
            return _labelled(func(*args, **kwargs), place)
        finally:
            own.set_state(torch.default_generator.get_state())
            torch.default_generator.set_state(before)


def _labelled(result: Any, place: int) -> Any:
    if place != HOST:
        for tensor in tensors_in(result):
            put_on(tensor, place)
    return result
