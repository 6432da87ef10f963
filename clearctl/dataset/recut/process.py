"""A user-defined function that filters and sorts the records of a class: `rebuild-by-metadata --process`."""

import functools
import importlib
import operator
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any, TypeAlias

from clearctl.dataset.recut.fields import shortened
from clearctl.errors import UsageError
from clearctl.nearby import closest

Process: TypeAlias = Callable[[list[dict[str, Any]]], Iterable[dict[str, Any]]]


def load_process(name: str) -> Process:
    """The callable that MODULE:FUNCTION names, looked for in the current folder first, as `python -m` does.

    Importing it runs the module's code. Raises UsageError.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise UsageError(f"--process {name}: expected MODULE:FUNCTION, such as recut:by_hour for by_hour in recut.py")
    # It stays there: the function may import more when it is called.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        with redirect_stdout(sys.stderr):  # a command's own output may be JSON
            module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"--process {name}: importing {module_name} raised {type(error).__name__}: {error}\n"
            f"modules are searched in {os.getcwd()} and among the installed ones"
        ) from error
    try:
        found = operator.attrgetter(attribute)(module)
    except AttributeError:
        near = closest(attribute, [key for key in vars(module) if not key.startswith("_")])
        raise UsageError(f"--process {name}: {module_name} has no {attribute!r}{near}") from None
    if not callable(found):
        raise UsageError(f"--process {name}: {attribute} is {shortened(repr(found))}, which cannot be called")
    process: Process = found
    return process


def name_of(process: Process) -> str:
    """MODULE:FUNCTION of a callable, for messages and rebuild.json: without its address, which is another each time."""
    function = process
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', None) or type(function).__module__}:{name}"


def run_process(process: Process, name: str, class_name: str, records: Sequence[dict[str, Any]]) -> list[int]:
    """The numbers of `records` in the order in which `process` returns them, or copies of them.

    `records` are those of a class, as `LabeledRecord.lowercase_fields` gives them. Raises UsageError if `process`
    raises, or returns something else or a record twice.
    """
    who = f"--process {name}, class {class_name!r}"
    by_identity = {id(record): number for number, record in enumerate(records)}
    by_path: dict[str, list[int]] = {}
    for number, record in enumerate(records):
        by_path.setdefault(record["img_path"], []).append(number)
    try:
        with redirect_stdout(sys.stderr):
            answer = process(list(records))
            returned = None if answer is None else list(answer)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{who}: raised {type(error).__name__}: {error}") from error
    if returned is None:
        raise UsageError(f"{who}: returned None, expected the list of records in their new order")
    # A dict for its order and its look-up.
    order: dict[int, None] = {}
    for item in returned:
        number = by_identity.get(id(item), -1)
        if number < 0:
            number = _number_of_copy(item, by_path, order)
        if number < 0:
            raise UsageError(f"{who}: returned {shortened(repr(item))}, which is not one of the given records")
        if number in order:
            raise UsageError(f"{who}: returned a record twice: {shortened(repr(item))}")
        order[number] = None
    return list(order)


def _number_of_copy(item: Any, by_path: Mapping[str, Sequence[int]], used: Mapping[int, None]) -> int:
    """The number of the record that `item` is a copy of, found by img_path; -1 if of none."""
    path = item.get("img_path") if isinstance(item, Mapping) else None
    numbers = by_path.get(path, ()) if isinstance(path, str) else ()
    # Two buckets may list one image: each copy stands for one of them.
    return next((number for number in numbers if number not in used), numbers[0] if numbers else -1)
