"""CUDA graphs of a rehearsal GPU: a captured graph is the list of operations, with the memory that each was given.

As on a real GPU, capturing computes nothing: what was changed in place is put back, and what was made is not a number.
A replay carries the operations out again in the same memory, and no Python of the program. So a program whose Python
would have done something else by then, or that has put a tensor in the place of another, gets other results than
without a graph. A wait for the GPU and a copy from or to the host are refused while capturing, in torch's words, and a
replay is refused when the program has let go of a tensor that the graph reads.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only


def stand_ins(gpu: Any, is_on_gpu: Callable[[torch.Tensor], bool]) -> dict[str, Any]:
    """What takes the place of names of torch.cuda while `gpu` is there."""

    def captured(graph: "Graph", pool: Any = None, stream: Any = None, **named: Any) -> AbstractContextManager[None]:
        return graph.captured()

    return {"CUDAGraph": lambda keep_graph=False: Graph(gpu, is_on_gpu), "graph": captured}


class Graph:
    """A torch.cuda.CUDAGraph; `replays` counts them."""

    def __init__(self, gpu: Any, is_on_gpu: Callable[[torch.Tensor], bool]) -> None:
        self.gpu = gpu
        self.is_on_gpu = is_on_gpu
        self.replays = 0
        gpu.graphs.append(self)

    @contextmanager
    def captured(self) -> Iterator[None]:
        """What torch.cuda.graph does."""
        torch.cuda.synchronize()
        self._recording = _Recording(self.is_on_gpu)
        self.gpu.capturing = True
        try:
            with self._recording:
                yield
        finally:
            self.gpu.capturing = False
            self._recording.undo()

    @torch.no_grad()
    def replay(self) -> None:
        """Carry out what was captured; one launch."""
        self.replays += 1
        launches = self.gpu.launches.copy()
        with torch._C._AutoDispatchBelowAutograd():
            for func, *given_and_made in self._recording.operations:
                _carry_out(func, *tree_map_only(_External, _External.tensor, given_and_made))
        self.gpu.launches = launches
        self.gpu.launches["graph"] += 1


class _External:
    """A tensor in memory that was there before the capture: a graph knows the address, and does not keep the memory."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.storage = weakref.ref(tensor.untyped_storage())
        self.place = tensor.storage_offset(), tensor.size(), tensor.stride()
        self.dtype = tensor.dtype

    def tensor(self) -> torch.Tensor:
        storage = self.storage()
        if storage is None:
            raise RuntimeError("a tensor that the graph reads was freed: its memory may hold anything by now")
        with _plainly():
            return torch.empty(0, dtype=self.dtype).set_(storage, *self.place)


class _Recording(TorchDispatchMode):
    """Notes each operation on the GPU, and what memory was changed that had been there before."""

    def __init__(self, is_on_gpu: Callable[[torch.Tensor], bool]) -> None:
        super().__init__()
        self.is_on_gpu = is_on_gpu
        self.operations: list[tuple[Any, Any, Any, list[Any]]] = []
        self.made: dict[int, torch.Tensor] = {}  # by address
        self.before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}  # what was there, and a copy

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        with _plainly():
            for tensor in _changed(func, args, kwargs):
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in {*self.made, *self.before}:
                    self.before[storage.data_ptr()] = storage, storage.clone()
        result = func(*args, **kwargs)
        results = [each for each in tree_leaves(result) if isinstance(each, torch.Tensor)]
        if not any(map(self.is_on_gpu, [*given, *results])):
            return result
        with _plainly():
            known = {tensor.untyped_storage().data_ptr() for tensor in given}
            for tensor in results:
                if tensor.untyped_storage().data_ptr() not in known:
                    self.made[tensor.untyped_storage().data_ptr()] = tensor
            self.operations.append((func, *tree_map_only(torch.Tensor, self._noted, (args, kwargs, results))))
        return result

    def _noted(self, tensor: torch.Tensor) -> Any:
        """What a graph knows of an operand: of a number on the host the value of now."""
        if not self.is_on_gpu(tensor):
            return tensor.clone()
        return tensor if tensor.untyped_storage().data_ptr() in self.made else _External(tensor)

    def undo(self) -> None:
        """Leave everything as if nothing had been computed."""
        with _plainly():
            for storage, copy in self.before.values():
                storage.copy_(copy)
            self.before.clear()
            for tensor in self.made.values():
                if tensor.is_floating_point():
                    tensor.fill_(float("nan"))


@contextmanager
def _plainly() -> Iterator[None]:
    """Within, what is done is not the program's."""
    below_autograd = torch._C._AutoDispatchBelowAutograd()
    with torch._C.DisableTorchFunction(), _disable_current_modes(), torch.no_grad(), below_autograd:
        yield


def _changed(func: Any, args: Any, kwargs: Any) -> Iterator[torch.Tensor]:
    """The arguments that the operation changes."""
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            yield from (each for each in tree_leaves(value) if isinstance(each, torch.Tensor))


def _carry_out(func: Any, args: Any, kwargs: Any, made: list[torch.Tensor]) -> None:
    """The operation again, with its results in the memory where they were."""
    if func.is_view:
        return
    result = func(*args, **kwargs)
    with _plainly():
        found = [each for each in tree_leaves(result) if isinstance(each, torch.Tensor)]
        for old, new in zip(made, found, strict=True):
            if old.data_ptr() != new.data_ptr():
                old.copy_(new)
