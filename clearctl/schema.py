"""Whether a value that was read from a file has the shape that a program expects of it.

A schema is a type; a tuple of schemas, of which one has to fit; a list of one schema, for each item of a list; a dict
of schemas by name. A name that ends in "?" may be missing, or its value None; other names may be there; and the name
ANY stands for each of them.
"""

from collections.abc import Iterator
from typing import Any

ANY = "*"
NUMBER = (int, float)

Schema = type | tuple[Any, ...] | list[Any] | dict[str, Any] | None


def misfit(value: Any, schema: Schema, place: str = "") -> str | None:
    """What does not fit first, with its place: `dataset.class_names.0: found 5, expected str`. None where all fits."""
    return next(_misfits(value, schema, place), None)


def _misfits(value: Any, schema: Schema, place: str) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from _of_names(value, schema, place) if isinstance(value, dict) else _not(value, "an object", place)
    elif isinstance(schema, list):
        if not isinstance(value, list):
            yield from _not(value, "a list", place)
            return
        for index, child in enumerate(value):
            yield from _misfits(child, schema[0], _below(place, index))
    elif isinstance(schema, tuple):
        if all(misfit(value, one) for one in schema):
            yield from _not(value, " or ".join(map(_called, schema)), place)
    elif schema is None:
        if value is not None:
            yield from _not(value, "null", place)
    elif not isinstance(value, schema) or (isinstance(value, bool) and schema is not bool):
        yield from _not(value, _called(schema), place)


def _of_names(value: dict[str, Any], schema: dict[str, Any], place: str) -> Iterator[str]:
    for name, child in schema.items():
        if name == ANY:
            for key, each in value.items():
                yield from _misfits(each, child, _below(place, key))
            continue
        key = name.removesuffix("?")
        if value.get(key) is not None or (key in value and name == key):
            yield from _misfits(value[key], child, _below(place, key))
        elif name == key:
            yield f"{_below(place, key)}: missing"


def _not(value: Any, expected: str, place: str) -> Iterator[str]:
    yield f"{place or 'the whole'}: found {value!r:.60}, expected {expected}"


def _called(schema: Schema) -> str:
    if isinstance(schema, tuple):
        return " or ".join(map(_called, schema))
    if isinstance(schema, type) and schema not in (dict, list):
        return schema.__name__
    return "null" if schema is None else "a list" if schema is list or isinstance(schema, list) else "an object"


def _below(place: str, name: object) -> str:
    return f"{place}.{name}" if place else str(name)
