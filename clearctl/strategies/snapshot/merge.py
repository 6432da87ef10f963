"""Merges a captured state with the values of another config, where they differ."""

from typing import Any, TypeAlias

import torch

from clearctl.strategies.snapshot.kinds import PLAIN, Node, Nodes
from clearctl.strategies.snapshot.moved import current_name

Compound: TypeAlias = tuple[Any, ...]  # a node that is not a plain value


class OtherPartsError(Exception):
    """Two configs whose runs are made of different parts; the message says where they part."""


def merged(saved: Nodes, before: Nodes, now: Nodes) -> Nodes:
    """The captured state `saved`, with the values that differ between `before` and `now` taken from `now`.

    These were captured of experiments that had learned nothing: of the config that `saved` comes from, and of the one
    that it is to be resumed with. Raises OtherPartsError if they differ in more than numbers and words.
    """
    olds, news = dict(before), dict(now)
    return [(name, _merged(node, olds[name], news[name], str(name))) for name, node in saved]


def _merged(saved: Node, before: Node, now: Node, path: str) -> Node:
    if type(before) in PLAIN and type(now) in PLAIN:
        return saved if _same(before, now) else now
    if not (isinstance(before, tuple) and isinstance(now, tuple) and before[0] == now[0]):
        raise OtherPartsError(path)
    kind = before[0]
    if kind in ("object", "module"):
        return _objects(saved, before, now, path)
    if kind == "dict":
        return _dicts(saved, before, now, path)
    if kind in ("list", "tuple", "named"):
        return _lists(saved, before, now, path)
    if kind in ("ints", "floats", "array", "set", "deque"):
        return _contents(saved, before, now)
    if kind == "tensor" and before[2].shape != now[2].shape:  # a network of another width
        raise OtherPartsError(path)
    if kind in ("tensor", "position", "stateful", "generator", "random", "view", "indices", "same"):
        return saved
    return saved if before == now else now


def _contents(saved: Any, before: Compound, now: Compound) -> Node:
    """Numbers, or a set: under the id that `saved` has, since ids differ from one capture to another."""
    if all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(before[2:], now[2:], strict=True)
    ):
        return saved
    return (now[0], saved[1], *now[2:]) if isinstance(saved, tuple) and saved[0] == now[0] else saved


def _objects(saved: Any, before: Compound, now: Compound, path: str) -> Node:
    olds, news = _of_state(before), _of_state(now)
    if before[2] != now[2] or olds.keys() != news.keys():
        raise OtherPartsError(path)
    alike = isinstance(saved, tuple) and saved[0] == now[0] and current_name(saved[2]) == now[2]
    theirs = saved[3] if alike else {}
    nodes = dict(theirs)
    for name, node in news.items():
        found = _merged(theirs.get(name, olds[name]), olds[name], node, f"{path}.{name}")
        if name in theirs:
            nodes[name] = found
    return (*saved[:3], nodes) if alike else saved


def _of_state(node: Compound) -> dict[str, Node]:
    """An object's attributes without those that are structure: which an evaluator has depends on its loggers."""
    return {name: child for name, child in node[3].items() if child != ("alone",)}


def _dicts(saved: Any, before: Compound, now: Compound, path: str) -> Node:
    olds, news = _by_key(before), _by_key(now)
    if olds.keys() != news.keys():
        raise OtherPartsError(path)
    alike = isinstance(saved, tuple) and saved[0] == "dict"
    pairs = [
        (key, _merged(node, olds[key], news[key], f"{path}.{key}") if type(key) in PLAIN and key in olds else node)
        for key, node in (saved[4] if alike else before[4])
    ]
    return (*saved[:4], pairs) if alike else saved


def _by_key(node: Compound) -> dict[Node, Node]:
    return {key: child for key, child in node[4] if type(key) in PLAIN}


def _lists(saved: Any, before: Compound, now: Compound, path: str) -> Node:
    olds, news = before[-1], now[-1]
    if len(olds) != len(news):
        raise OtherPartsError(path)
    alike = isinstance(saved, tuple) and saved[0] == now[0] and len(saved[-1]) == len(olds)
    theirs = saved[-1] if alike else olds
    nodes = [
        _merged(one, old, new, f"{path}.{number}")
        for number, (one, old, new) in enumerate(zip(theirs, olds, news, strict=True))
    ]
    return (*saved[:-1], nodes) if alike else saved


def _same(before: Node, now: Node) -> bool:
    return type(before) is type(now) and (before == now or (before != before and now != now))  # NaN is itself
