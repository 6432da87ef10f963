"""Checks a value that was read from a file against a schema.

A schema is a type; a tuple of alternative schemas; a list of one schema, for each item of a list; or a dict of
schemas by name. A name that ends in "?" is optional, and its value may be None; other names are allowed, and ANY
stands for each of them.
"""

from collections.abc import Iterable
from typing import Any

ANY = "*"
NUMBER = (int, float)

Schema = type | tuple[Any, ...] | list[Any] | dict[str, Any] | None


def misfit(value: Any, schema: Schema) -> str | None:
    """The first mismatch, with its place: `dataset.class_names.0: found 5, expected str`. None if all fits."""
    found = _misfit(value, schema)
    if found is None:
        return None
    what, place = found
    return f"{'.'.join(map(str, reversed(place))) or 'the whole'}: {what}"


def _misfit(value: Any, schema: Schema) -> tuple[str, list[Any]] | None:
    """(the mismatch, the keys that lead to it, the last one first). Fast: a run has a hundred thousand values."""
    if isinstance(schema, type):
        if isinstance(value, schema) and (schema is bool or not isinstance(value, bool)):
            return None
        return _unlike(value, schema)
    if isinstance(schema, tuple):
        return None if any(_misfit(value, one) is None for one in schema) else _unlike(value, schema)
    if isinstance(schema, list):
        if not isinstance(value, list):
            return _unlike(value, schema)
        return _of_parts(enumerate(value), schema[0])
    if isinstance(schema, dict):
        return _of_names(value, schema) if isinstance(value, dict) else _unlike(value, schema)
    return None if value is None else _unlike(value, schema)


def _of_parts(parts: Iterable[tuple[Any, Any]], schema: Schema) -> tuple[str, list[Any]] | None:
    for key, part in parts:
        found = _misfit(part, schema)
        if found is not None:
            found[1].append(key)
            return found
    return None


def _of_names(value: dict[str, Any], schema: dict[str, Any]) -> tuple[str, list[Any]] | None:
    for name, child in schema.items():
        if name == ANY:
            found = _of_parts(value.items(), child)
        else:
            optional = name[-1] == "?"
            key = name[:-1] if optional else name
            part = value.get(key)
            kind = type(part)
            if kind is child or (type(child) is tuple and kind in child):  # the common case, without a call
                continue
            if part is None and (optional or key not in value):
                if optional:
                    continue
                return "missing", [key]
            found = _of_parts(((key, part),), child)
        if found is not None:
            return found
    return None


def _unlike(value: Any, schema: Schema) -> tuple[str, list[Any]]:
    return f"found {value!r:.60}, expected {_called(schema)}", []


def _called(schema: Schema) -> str:
    if isinstance(schema, tuple):
        return " or ".join(map(_called, schema))
    if isinstance(schema, type) and schema not in (dict, list):
        return schema.__name__
    return "null" if schema is None else "a list" if schema is list or isinstance(schema, list) else "an object"
