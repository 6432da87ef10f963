"""Captures live objects as a tree of plain values and tensors, which `torch.load(weights_only=True)` can read.

A node is a plain value, or a tuple that begins with its kind:

("same", id)                    an object that came before           ("given", path)      an object every run is given
("alone",)                      structure: stays as it is            ("position", id, node)   where an iterator stands
("stateful", id, node)          an own object, by its state_dict()
("list" | "set" | "deque", id, nodes)   ("ints" | "floats" | "indices", id, tensor)
("tuple" | "frozenset", nodes)          ("named", class, nodes)
("dict", id, class, factory, pairs)     ("object" | "module", id, class, {attribute: node})
("tensor", id, tensor, is parameter, requires grad, on the device)
("view", id, id of the whole, size, stride, offset)
and "array", "device", "enum", "class", "identity", "generator", "random", and those of `values`.

Shared references stay shared, since every mutable object has an id.
"""

import random
from collections import defaultdict, deque
from collections.abc import Iterable
from enum import Enum
from functools import partial
from operator import is_
from pathlib import Path
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks.utils.transform_groups import identity
from avalanche.evaluation.metric_results import AlternativeValues
from torch import nn

from clearctl.strategies.snapshot.kinds import (
    PLAIN,
    Node,
    Nodes,
    attributes,
    has_position,
    has_state_dict,
    is_known,
    is_left_out,
    is_not_captured,
    name_of,
)

MANY = 16  # numbers in a list, from which on they are kept as a tensor


class CannotCaptureError(Exception):
    """An object that no state can hold; the message says where it hangs and what it is."""


class Capturer:
    """Takes the states of one run, in which `given` are the objects that every run has (`external_objects`)."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given  # keeps them alive, so that an id() stays theirs
        self._paths = {id(value): path for path, value in given.items()}
        self._indices: dict[int, tuple[list[Any], torch.Tensor]] = {}

    def capture(self, roots: dict[str, Any], device: torch.device) -> Nodes:
        """The state below `roots`, in their order, of a run on `device`; tensors are copies on the CPU.

        Raises CannotCaptureError.
        """
        work = _Capture(self._paths, device, self._indices)
        nodes = work.pairs(roots)
        self._indices = work.indices  # only of lists that are still there
        return nodes


_LEFT_OUT: Node = ("left out",)  # compared by identity


class _Capture:
    def __init__(
        self, paths: dict[int, str], device: torch.device, indices: dict[int, tuple[list[Any], torch.Tensor]]
    ) -> None:
        self.paths = paths
        self.device = device
        self.indices_before = indices
        self.indices: dict[int, tuple[list[Any], torch.Tensor]] = {}
        self.ids: dict[int, int] = {}
        self.alive: list[object] = []  # so that no id() is used again in the meantime
        self.storages: dict[int, int] = {}  # address of a storage: id of the tensor that is all of it
        self.trail: list[object] = []  # the names and keys on the way to where it is

    def node(self, value: Any) -> Node:
        kind = type(value)
        if kind in PLAIN:
            return value
        if kind is tuple:
            nodes = self.items(value)
            return ("tuple", nodes) if len(nodes) == len(value) else _LEFT_OUT
        known = self.ids.get(id(value))
        if known is not None:
            return ("same", known)
        path = self.paths.get(id(value))
        if path is not None:
            return ("given", path)
        if isinstance(value, torch.Tensor):
            return self.tensor(value)
        if is_left_out(kind):
            return _LEFT_OUT
        if isinstance(value, nn.Module):
            return ("module", self.new_id(value), name_of(kind), self.attributes(value))
        if isinstance(value, dict | list | set | frozenset | tuple | deque):
            return self.container(value)
        if isinstance(value, type):
            return ("class", name_of(value))
        if kind is partial and value.func is identity:  # the factory of Avalanche's empty groups of transforms
            return ("identity", self.node(value.args[0]))
        if is_not_captured(kind):
            return ("alone",)
        if has_state_dict(kind):
            return ("stateful", self.new_id(value), self.node(value.state_dict()))
        if has_position(kind):
            return ("position", self.new_id(value), self.node(value.position()))
        return self.other(value)

    def new_id(self, value: object) -> int:
        number = len(self.alive)
        self.ids[id(value)] = number
        self.alive.append(value)
        return number

    def below(self, name: object, value: object) -> Node:
        self.trail.append(name)
        node = self.node(value)
        self.trail.pop()
        return node

    def refused(self, value: object) -> CannotCaptureError:
        return CannotCaptureError(f"{'.'.join(f'{name!s:.40}' for name in self.trail)} is a {name_of(type(value))}")

    def attributes(self, value: object) -> dict[str, Node]:
        nodes = {name: self.below(name, child) for name, child in attributes(value)}
        return {name: node for name, node in nodes.items() if node is not _LEFT_OUT}

    def pairs(self, value: dict[Any, Any]) -> Nodes:
        nodes = [(self.node(key), self.below(key, child)) for key, child in value.items()]
        return [pair for pair in nodes if pair[1] is not _LEFT_OUT]

    def items(self, values: Iterable[object]) -> list[Node]:
        nodes = [self.below(number, child) for number, child in enumerate(values)]
        return [node for node in nodes if node is not _LEFT_OUT]

    def container(self, value: Any) -> Node:
        kind = type(value)
        if isinstance(value, torch.Size):
            return ("size", list(value))
        if isinstance(value, tuple):
            nodes = self.items(value)  # with a picture in it, it is left out as a whole
            return ("named", name_of(kind), nodes) if len(nodes) == len(value) else _LEFT_OUT
        if kind is frozenset:
            return ("frozenset", self.items(value))
        number = self.new_id(value)
        if isinstance(value, dict):
            factory = self.node(value.default_factory) if isinstance(value, defaultdict) else None
            return ("dict", number, name_of(kind), factory, self.pairs(value))
        if kind is list:
            return self.numbers(value, number) or ("list", number, self.items(value))
        if kind is set:
            return ("set", number, self.items(value))
        if kind is deque:
            return ("deque", number, value.maxlen, self.items(value))
        raise self.refused(value)

    def numbers(self, value: list[Any], number: int) -> Node:
        """A long list of numbers in one tensor; None for another."""
        kinds = set(map(type, value)) if len(value) >= MANY else set()
        if kinds == {int} and -(2**63) <= min(value) <= max(value) < 2**63:
            return ("ints", number, torch.tensor(value, dtype=torch.int64))
        if kinds == {float}:
            return ("floats", number, torch.tensor(value, dtype=torch.float64))
        if kinds == {torch.Tensor}:
            stacked = self.stacked(value)
            return None if stacked is None else ("indices", number, stacked)
        return None

    def stacked(self, value: list[torch.Tensor]) -> torch.Tensor | None:
        """The indices of a memory, which Avalanche keeps as a list of tensors and never changes; None for others."""
        before = self.indices_before.get(id(value))
        if before is None or len(before[0]) != len(value) or not all(map(is_, before[0], value)):
            if {(one.ndim, one.dtype, one.device.type) for one in value} != {(0, torch.int64, "cpu")}:
                return None
            before = (list(value), torch.stack(value))
        self.indices[id(value)] = before
        return before[1]

    def tensor(self, value: torch.Tensor) -> Node:
        number = self.new_id(value)
        storage = value.untyped_storage()
        whole = self.storages.get(storage.data_ptr())
        if whole is not None:
            return ("view", number, whole, list(value.size()), list(value.stride()), value.storage_offset())
        if storage.nbytes() and value.numel() * value.element_size() == storage.nbytes():
            self.storages[storage.data_ptr()] = number
        copied = value.detach().to("cpu", copy=True)
        on_device = value.device.type == self.device.type
        return ("tensor", number, copied, isinstance(value, nn.Parameter), value.requires_grad, on_device)

    def other(self, value: Any) -> Node:
        kind = type(value)
        if isinstance(value, torch.dtype):
            return ("dtype", str(value).removeprefix("torch."))
        if isinstance(value, torch.device):
            return ("device", value.type == self.device.type, str(value))
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            return ("array", self.new_id(value), torch.from_numpy(np.array(value)))
        if isinstance(value, np.generic) and value.dtype.kind in "biuf":
            return ("scalar", value.dtype.name, value.item())
        if kind is bytes:
            return ("bytes", torch.tensor(list(value), dtype=torch.uint8))
        if isinstance(value, range | slice):
            return (kind.__name__, value.start, value.stop, value.step)
        if isinstance(value, Path):
            return ("path", str(value))
        if isinstance(value, Enum):
            return ("enum", name_of(kind), value.name)
        if isinstance(value, torch.Generator):
            return ("generator", self.new_id(value), value.get_state())
        if isinstance(value, random.Random):
            return ("random", self.new_id(value), value.getstate())
        if kind is AlternativeValues:  # a metric's value in several forms, of which pictures are left out
            forms = self.items(value.alternatives)
            nodes = {"alternatives": ("tuple", forms)}
            return ("object", self.new_id(value), name_of(kind), nodes) if forms else _LEFT_OUT
        if is_known(kind):
            return ("object", self.new_id(value), name_of(kind), self.attributes(value))
        raise self.refused(value)
