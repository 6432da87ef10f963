"""What is written on a storage: the GPU that it is said to lie on, and whether its memory is pinned."""

from collections.abc import Iterator
from typing import Any

import torch

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
HOST = -1  # in place of a GPU's index


def index_of(tensor: torch.Tensor) -> int:
    """The index of the GPU that the tensor is said to lie on; HOST for the CPU."""
    with torch._C.DisableTorchFunction():
        found: int = getattr(tensor.untyped_storage(), "_rehearsal_gpu", HOST)
    return found


def is_on_gpu(tensor: torch.Tensor) -> bool:
    """Whether the tensor is said to lie on a GPU."""
    return index_of(tensor) != HOST


def put_on(tensor: torch.Tensor, index: int) -> torch.Tensor:
    """Say that the tensor lies on the GPU `index`."""
    with torch._C.DisableTorchFunction():
        tensor.untyped_storage()._rehearsal_gpu = index
    return tensor


def device_of(index: int) -> torch.device:
    """The device of an index."""
    return CPU if index == HOST else torch.device("cuda", index)


def name_of(index: int) -> str:
    """ "cpu" or "cuda:N"."""
    return str(device_of(index))


def is_pinned(tensor: torch.Tensor) -> bool:
    """Whether the tensor is said to lie in pinned memory."""
    with torch._C.DisableTorchFunction():
        return hasattr(tensor.untyped_storage(), "_rehearsal_pinned")


def pin(tensor: torch.Tensor) -> torch.Tensor:
    """Say that the tensor lies in pinned memory."""
    with torch._C.DisableTorchFunction():
        tensor.untyped_storage()._rehearsal_pinned = None
    return tensor


def copy_begins(tensor: torch.Tensor, stream: Any) -> None:
    """Note that `stream` has to read the tensor, in pinned memory, and has not yet."""
    with torch._C.DisableTorchFunction():
        tensor.untyped_storage()._rehearsal_pinned = (stream, stream.enqueue())


def is_being_copied(tensor: torch.Tensor) -> bool:
    """Whether a GPU may still have to read the tensor."""
    with torch._C.DisableTorchFunction():
        copy = getattr(tensor.untyped_storage(), "_rehearsal_pinned", None)
    return copy is not None and copy[1] > copy[0].done


def tensors_in(*values: Any) -> Iterator[torch.Tensor]:
    """All tensors in values, lists, tuples and dicts."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_in(*value)
        elif isinstance(value, dict):
            yield from tensors_in(*value.values())
