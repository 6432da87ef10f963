"""Checks what Python code gives to a function of `clearctl`, as the command line checks what a shell gives.

The annotations say what is taken. Beyond them: one text where several are taken, any iterable where a sequence is, and
numbers of NumPy.
"""

import collections.abc
import functools
import inspect
import numbers
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from clearctl.errors import UsageError
from clearctl.wording import any_of

Verb = TypeVar("Verb", bound=Callable[..., Any])
_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "True or False", Path: "a path"}
_NO = object()  # for a value that is not taken


@functools.cache  # the same function gives the same one
def checking_arguments(verb: Verb) -> Verb:
    """`verb`, which raises UsageError for an argument of another type than its annotation says."""
    signature = inspect.signature(verb)

    @functools.wraps(verb)
    def checked(*positional: Any, **named: Any) -> Any:
        try:
            given = signature.bind(*positional, **named)
        except TypeError:
            return verb(*positional, **named)  # whose own message names the function
        for name, value in given.arguments.items():
            annotation = signature.parameters[name].annotation
            given.arguments[name] = _taken(value, annotation)
            if given.arguments[name] is _NO:
                raise UsageError(f"{verb.__name__}: {name}: found {value!r:.200}, expected {_expected(annotation)}")
        return verb(*given.args, **given.kwargs)

    return typing.cast(Verb, checked)


def _taken(value: Any, annotation: Any) -> Any:
    """`value` as the annotation has it; `_NO` if it is not taken."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return next((found for kind in inner if (found := _taken(value, kind)) is not _NO), _NO)
    if origin is collections.abc.Sequence:
        return _sequence(value, inner[0])
    if origin is collections.abc.Mapping and isinstance(value, Mapping):
        return _all_taken({_taken(key, inner[0]): _taken(child, inner[1]) for key, child in value.items()})
    if origin is tuple and isinstance(value, Sequence) and not isinstance(value, str) and len(value) == len(inner):
        return _all_taken(tuple(_taken(child, kind) for child, kind in zip(value, inner, strict=True)))
    if origin is collections.abc.Callable:
        return value if callable(value) else _NO
    return value if annotation is Any else _plain(value, annotation) if origin is None else _NO


def _plain(value: Any, kind: Any) -> Any:
    if kind is type(None) or kind is None:
        return value if value is None else _NO
    if kind in (int, float) and isinstance(value, bool):
        return _NO
    if kind is int:
        return int(value) if isinstance(value, numbers.Integral) else _NO
    if kind is float:
        return float(value) if isinstance(value, numbers.Real) else _NO
    if kind is Path:
        return _path(value)
    if kind is str and isinstance(value, str):
        return _NO if "\0" in value else value
    return value if isinstance(value, kind) else _NO


def _path(value: Any) -> Any:
    path = os.fspath(value) if isinstance(value, os.PathLike) else b""
    return value if isinstance(path, str) and "\0" not in path and path else _NO


def _sequence(value: Any, kind: Any) -> Any:
    """All items of an iterable, or a text or path alone where several are taken."""
    if isinstance(value, str | os.PathLike):
        return _all_taken((_taken(value, kind),))
    if not isinstance(value, Iterable) or isinstance(value, bytes | Mapping) or getattr(value, "ndim", 1) != 1:
        return _NO
    return _all_taken([_taken(item, kind) for item in value])


def _all_taken(values: Any) -> Any:
    parts = (*values, *values.values()) if isinstance(values, dict) else values
    return _NO if any(part is _NO for part in parts) else values  # arrays cannot be compared with `==`


def _expected(annotation: Any) -> str:
    """What the annotation takes, in words."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        # A text may be a path.
        kinds = [kind for kind in inner if not (kind is str and Path in inner)]
        kinds.sort(key=lambda kind: (kind is not type(None), typing.get_origin(kind) is not None))
        return any_of(["None" if kind is type(None) else _expected(kind) for kind in kinds])
    if origin is collections.abc.Sequence:
        return f"a list, each item {_expected(inner[0])}"
    if origin is collections.abc.Mapping:
        return "a dict" if Any in inner else f"a dict from {_expected(inner[0])} to {_expected(inner[1])}"
    if origin is tuple:
        return f"{len(inner)} values, each {_expected(inner[0])}"
    if origin is collections.abc.Callable:
        return "a function"
    return _NAMES.get(annotation) or f"a {annotation.__name__}"
