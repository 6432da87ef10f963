"""What Python asks of a tensor on a rehearsal GPU without an operation, such as `.device` and `.to("cuda")`."""

from typing import TYPE_CHECKING, Any

import torch
from rehearsal.labels import HOST, device_of, index_of, is_on_gpu, name_of, pin, tensors_in
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from rehearsal.gpu import RehearsalGpu

_PROPERTIES = {getattr(torch.Tensor, name).__get__: name for name in ("device", "is_cuda", "is_cpu")}


class Function(TorchFunctionMode):
    """Answers what never reaches the dispatcher."""

    def __init__(self, gpu: "RehearsalGpu") -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        gpu, first = self.gpu, args[0] if args else None
        if func in _PROPERTIES:
            index = index_of(first)
            found = {"device": device_of(index), "is_cuda": index != HOST, "is_cpu": index == HOST}
            return found[_PROPERTIES[func]]
        if func is torch.Tensor.to:
            return self._to(*args, **kwargs)
        if func is torch.Tensor.type_as:
            return self._to(first, args[1])
        if func is torch.Tensor.cpu:
            return gpu.move(first, HOST)
        if func is torch.Tensor.cuda:
            return self._to(first, *(args[1:] or ("cuda",)), **kwargs)
        if func in (torch.Tensor.numpy, torch.Tensor.__array__) and is_on_gpu(first):
            where = name_of(index_of(first))
            raise TypeError(f"can't convert {where} device type tensor to numpy. Use Tensor.cpu() to copy it first.")
        if func is torch.Tensor.tolist and is_on_gpu(first):
            gpu.wait("tolist")
        if func is torch.Tensor.get_device:
            return index_of(first)
        if func in (torch.as_tensor, torch.tensor):
            return self._made(func, args, kwargs)
        if func is torch.nn.functional.one_hot and is_on_gpu(first):
            return self._one_hot(*args, **kwargs)
        if kwargs.pop("pin_memory", False):
            gpu.touch(gpu.current, "pin_memory")
            return pin(func(*args, **kwargs))
        before = gpu.near
        has_device = isinstance(first, torch.Tensor) and kwargs.get("device") is None
        gpu.near = index_of(first) if has_device else HOST
        try:
            return func(*args, **kwargs)
        finally:
            gpu.near = before

    def _one_hot(self, values: torch.Tensor, num_classes: int = -1) -> torch.Tensor:
        """As on CUDA: the CPU's, which is not run here, reads the smallest and largest value before."""
        if num_classes < 0:
            num_classes = int(values.max()) + 1
        zeros = torch.zeros((*values.shape, num_classes), dtype=values.dtype, device=device_of(index_of(values)))
        return zeros.scatter_(-1, values[..., None], 1)

    def _made(self, func: Any, args: Any, kwargs: Any) -> torch.Tensor:
        device = kwargs.pop("device", None)
        if func is torch.tensor and any(map(is_on_gpu, tensors_in(args[0]))):
            self.gpu.wait("a tensor of numbers on the device")
        made: torch.Tensor = func(*args, **kwargs)
        if device is not None and (func is torch.as_tensor or self.gpu.index(device) != HOST):
            return self.gpu.move(made, self.gpu.index(device))
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
                device, dtype = device_of(index_of(value)), value.dtype
            elif isinstance(value, torch.dtype):
                dtype = value
            elif isinstance(value, bool):
                non_blocking = non_blocking or position >= 1 and value
            elif value is not None:
                device = value
        place = index_of(tensor)
        to = place if device is None else self.gpu.index(device)
        if place != to:
            moved = self.gpu.move(tensor, to, copy=True, non_blocking=non_blocking)
        else:
            moved = tensor.clone() if copy else tensor
        if (dtype is None or dtype == moved.dtype) and memory_format is None:
            return moved
        formatted = {} if memory_format is None else {"memory_format": memory_format}
        return torch._C.TensorBase.to(moved, moved.dtype if dtype is None else dtype, **formatted)


class Moved(torch.autograd.Function):
    """A copy to another device whose gradient is copied back."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, to: int, non_blocking: bool, gpu: "RehearsalGpu") -> torch.Tensor:
        ctx.was, ctx.gpu = index_of(tensor), gpu
        return gpu.copied(tensor, to, non_blocking=non_blocking)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        back = ctx.gpu.copied(gradient, ctx.was) if index_of(gradient) != ctx.was else gradient
        return back, None, None, None
