"""Loads a captured state into live objects: they take its values, and missing ones are created.

Existing objects stay the same ones, since closures and hooks hold them; a network's parameters and buffers are
written into, since the optimizer and compiled code hold those.
"""

import copy
import random
from collections import defaultdict, deque
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any, TypeGuard, TypeVar

import torch
from avalanche.benchmarks.utils.transform_groups import identity
from avalanche.core import BasePlugin
from avalanche.evaluation import Metric, PluginMetric
from avalanche.logging import BaseLogger
from avalanche.training.storage_policy import ExemplarsBuffer
from torch import nn

from clearctl.strategies.snapshot.kinds import Node, Nodes, class_named, is_not_captured, name_of, passing, slots
from clearctl.strategies.snapshot.values import SIMPLE, insertion_order

# Objects that a build makes, in the same places each time: another class means that the state is of another run.
_BUILT = (BasePlugin, PluginMetric, BaseLogger)


class CannotRestoreError(Exception):
    """A state that does not fit what was built: `path` says where."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(f"{path}: {text}")


def restore(nodes: Nodes, roots: dict[str, Any], given: dict[str, Any], device: torch.device) -> None:
    """Load the state `nodes`, captured below `roots`, into the `roots` of a run that was built again, on `device`.

    Raises CannotRestoreError if it is not of such a run; then the roots are unusable.
    """
    work = _Restore(given, device)
    for (name, node), (live_name, live) in zip(nodes, roots.items(), strict=True):
        assert name == live_name
        if work.value(node, live, live_name) is not live:
            raise CannotRestoreError(live_name, "the state is of another kind of run")


_T = TypeVar("_T")
_ABSENT = object()  # there is nothing live at this place; or, as a result, there is nothing to put there


def _new_metric(kind: type) -> object:
    """A metric such as those that Avalanche makes when a stream is first tested: it has functions that no state holds.

    They are the factories of its values.
    """
    try:
        return kind()
    except TypeError:  # it takes arguments
        return _ABSENT


class _Restore:
    def __init__(self, given: dict[str, Any], device: torch.device) -> None:
        self.given = given
        self.device = device
        self.made: dict[int, Any] = {}  # by id
        # id() of each live object that stands for one of the state, or is not part of it
        self.taken: set[int] = {id(value) for value in given.values()}
        self.networks: dict[type, nn.Module] = {}  # the first of each class, to copy structure from
        self.in_buffers = 0
        self.in_memory = 0

    def value(self, node: Node, live: object, path: str) -> Any:
        if not isinstance(node, tuple):
            return node
        if node[0] in SIMPLE:
            return SIMPLE[node[0]](*node[1:])
        make: Callable[..., Any] | None = getattr(self, f"_{node[0]}", None)
        if make is None:
            raise CannotRestoreError(path, f"unknown kind {node[0]!r}")
        return make(live, path, *node[1:])

    def _keep(self, number: int, value: _T) -> _T:
        self.made[number] = value
        self.taken.add(id(value))
        return value

    def _free(self, live: object, kind: type[_T]) -> TypeGuard[_T]:
        """Whether `live` is of the class, and stands for nothing else yet."""
        return type(live) is kind and id(live) not in self.taken

    # Objects that are not state, or that existed before.

    def _same(self, live: object, path: str, number: int) -> object:
        return self.made[number]

    def _given(self, live: object, path: str, name: str) -> object:
        if name not in self.given:
            raise CannotRestoreError(path, f"the run has no {name}")
        return self.given[name]

    def _alone(self, live: object, path: str) -> object:
        return live

    def _position(self, live: object, path: str, number: int, node: Node) -> object:
        if not hasattr(live, "seek"):
            raise CannotRestoreError(path, "no iterator to resume")
        live.seek(self.value(node, _ABSENT, path))
        return self._keep(number, live)

    def _stateful(self, live: object, path: str, number: int, node: Node) -> object:
        if not hasattr(live, "load_state_dict"):
            raise CannotRestoreError(path, "no object accepts its state_dict")
        live.load_state_dict(self.value(node, _ABSENT, path))
        return self._keep(number, live)

    # Containers.

    def _items(self, nodes: list[Node], live: object, path: str) -> list[Any]:
        there = list(live) if isinstance(live, list | tuple | deque) else []
        there += [_ABSENT] * (len(nodes) - len(there))
        values = [
            self.value(node, old, f"{path}[{n}]") for n, (node, old) in enumerate(zip(nodes, there, strict=False))
        ]
        if any(value is _ABSENT for value in values):
            raise CannotRestoreError(path, "its content cannot be rebuilt")
        return values

    def _list(self, live: object, path: str, number: int, nodes: list[Node]) -> object:
        target = self._keep(number, live if self._free(live, list) else [])
        target[:] = self._items(nodes, live, path)
        return target

    def _ints(self, live: object, path: str, number: int, values: torch.Tensor) -> object:
        target = self._keep(number, live if self._free(live, list) else [])
        target[:] = values.tolist()
        return target

    _floats = _ints

    def _indices(self, live: object, path: str, number: int, values: torch.Tensor) -> object:
        target = self._keep(number, live if self._free(live, list) else [])
        target[:] = values.unbind()
        return target

    def _tuple(self, live: object, path: str, nodes: list[Node]) -> object:
        return tuple(self._items(nodes, live, path))

    def _named(self, live: object, path: str, kind: str, nodes: list[Node]) -> object:
        named = self._class_of(kind, path, tuple)
        return named(*self._items(nodes, live, path))

    def _set(self, live: object, path: str, number: int, nodes: list[Node]) -> object:
        target = self._keep(number, live if self._free(live, set) else set())
        values = self._items(nodes, None, path)
        target.clear()
        for value in insertion_order(values):
            target.add(value)
        return target

    def _frozenset(self, live: object, path: str, nodes: list[Node]) -> object:
        return frozenset(self._items(nodes, None, path))

    def _deque(self, live: object, path: str, number: int, most: int | None, nodes: list[Node]) -> object:
        return self._keep(number, deque(self._items(nodes, live, path), most))

    def _dict(self, live: object, path: str, number: int, kind_name: str, factory: Node, pairs: Nodes) -> object:
        kind = self._class_of(kind_name, path, dict)
        if self._free(live, kind):
            target = live
        elif issubclass(kind, defaultdict):
            made = self.value(factory, getattr(live, "default_factory", _ABSENT), path)
            if made is _ABSENT:
                raise CannotRestoreError(path, "the factory of its values cannot be rebuilt")
            target = kind(made)
        else:
            target = kind()
        self._keep(number, target)
        old = dict(live) if isinstance(live, dict) else {}
        old_keys = [*old, *[_ABSENT] * (len(pairs) - len(old))]
        entries = []
        for (key_node, node), old_key in zip(pairs, old_keys, strict=False):
            key = self.value(key_node, old_key, path)
            entries.append((key, self.value(node, old.get(key, _ABSENT), f"{path}[{key!r:.40}]")))
        target.clear()
        for key, value in entries:
            if value is not _ABSENT:
                target[key] = value
        return target

    # Objects.

    def _class_of(self, name: str, path: str, base: type[_T]) -> type[_T]:
        try:
            found = class_named(name)
        except ValueError as error:
            raise CannotRestoreError(path, str(error)) from None
        if not issubclass(found, base):
            raise CannotRestoreError(path, f"{name} is not a {base.__name__}")
        return found

    def _object(self, live: object, path: str, number: int, kind_name: str, nodes: dict[str, Node]) -> object:
        kind = self._class_of(kind_name, path, object)
        if isinstance(live, _BUILT) and type(live) is not kind:
            raise CannotRestoreError(path, f"the state has a {kind_name}, but this run has a {name_of(type(live))}")
        if type(live) is not kind and Metric in kind.__mro__:
            live = _new_metric(kind)
        target = self._keep(number, live if self._free(live, kind) else kind.__new__(kind))
        memory = isinstance(target, ExemplarsBuffer)
        self.in_memory += memory
        self._fill(target, live, path, nodes)
        self.in_memory -= memory
        return target

    def _module(self, live: object, path: str, number: int, kind_name: str, nodes: dict[str, Node]) -> object:
        kind = self._class_of(kind_name, path, nn.Module)
        target: nn.Module
        if self._free(live, kind):
            target = live
        else:
            pattern = live if type(live) is kind else self.networks.get(kind)
            if pattern is not None:
                target = copy.deepcopy(pattern)
            else:
                target = kind.__new__(kind)
                nn.Module.__init__(target)
        self._keep(number, target)
        self.networks.setdefault(kind, target)
        self._fill(target, target, path, nodes)
        return target

    def _fill(self, target: object, live: object, path: str, nodes: dict[str, Node]) -> None:
        """Give `target` the attributes of the state, and take from it those that the state lacks."""
        present = getattr(live, "__dict__", {}) if type(live) is type(target) else {}
        slotted = slots(type(target))
        for name, node in nodes.items():
            old = getattr(live, name, _ABSENT) if name in slotted else present.get(name, _ABSENT)
            buffers = name == "_buffers" and isinstance(target, nn.Module)
            self.in_buffers += buffers
            value = self.value(node, old, f"{path}.{name}")
            self.in_buffers -= buffers
            if value is _ABSENT:
                continue
            if name in slotted:
                object.__setattr__(target, name, value)
            else:
                target.__dict__[name] = value
        kept = passing(type(target))
        for name, value in list(getattr(target, "__dict__", {}).items()):
            if name not in nodes and name not in kept and not is_not_captured(type(value)):
                del target.__dict__[name]

    # Tensors.

    def _tensor(
        self,
        live: object,
        path: str,
        number: int,
        saved: torch.Tensor,
        is_parameter: bool,
        requires: bool,
        on_device: bool,
    ) -> object:
        there = live if isinstance(live, torch.Tensor) and id(live) not in self.taken else None
        alike = there is not None and there.shape == saved.shape and there.dtype == saved.dtype
        if there is not None and alike and (self.in_buffers or (is_parameter and isinstance(there, nn.Parameter))):
            there.requires_grad_(requires)
            there.data.copy_(saved)
            return self._keep(number, there)
        value = saved.to(self._place(there, path, on_device))
        if is_parameter:
            return self._keep(number, nn.Parameter(value, requires_grad=requires))
        return self._keep(number, value.requires_grad_(requires) if requires else value)

    def _place(self, live: torch.Tensor | None, path: str, on_device: bool) -> torch.device:
        """The device of a tensor. The state of a run on the CPU does not say what is on the device of another run."""
        if not on_device or self.device.type == "cpu":
            return torch.device("cpu")
        if live is not None:
            return live.device
        # An optimizer counts its steps, and a memory draws and sorts its samples, on the CPU.
        return torch.device("cpu") if self.in_memory or path.endswith("['step']") else self.device

    def _view(
        self, live: object, path: str, number: int, whole: int, size: list[int], stride: list[int], offset: int
    ) -> Any:
        return self._keep(number, self.made[whole].detach().as_strided(size, stride, offset))

    def _device(self, live: object, path: str, own: bool, name: str) -> object:
        return self.device if own else torch.device(name)

    def _generator(self, live: object, path: str, number: int, state: torch.Tensor) -> object:
        target = live if isinstance(live, torch.Generator) and id(live) not in self.taken else torch.Generator()
        target.set_state(state)
        return self._keep(number, target)

    # Other values.

    def _array(self, live: object, path: str, number: int, values: torch.Tensor) -> object:
        return self._keep(number, values.numpy())

    def _enum(self, live: object, path: str, kind: str, name: str) -> object:
        return self._class_of(kind, path, Enum)[name]

    def _class(self, live: object, path: str, name: str) -> object:
        return live if isinstance(live, type) and name_of(live) == name else self._class_of(name, path, object)

    def _identity(self, live: object, path: str, node: Node) -> object:
        return partial(identity, self.value(node, _ABSENT, path))

    def _random(self, live: object, path: str, number: int, state: Any) -> object:
        target = live if isinstance(live, random.Random) and id(live) not in self.taken else random.Random()
        target.setstate(state)
        return self._keep(number, target)
