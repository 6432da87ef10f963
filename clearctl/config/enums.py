"""Arguments that take a member of an enumeration; a config gives its name: `interpolation='bicubic'`."""

import inspect
from enum import Enum

from clearctl.config.registry import Factory, Parameter, parameters

# Pillow's names of the interpolation modes, which torchvision still accepts.
PILLOW_NUMBERS = {"InterpolationMode": range(6)}


def enumeration(parameter: Parameter) -> type[Enum] | None:
    """The enumeration whose members the parameter takes; None if it takes something else."""
    for kind in (parameter.annotation, type(parameter.default)):
        if inspect.isclass(kind) and issubclass(kind, Enum):
            return kind
    return None


def names(kind: type[Enum]) -> list[str]:
    """The members' names in a config: their values if these are text, else their names."""
    return [each.value if isinstance(each.value, str) else each.name for each in kind]


def member(kind: type[Enum], given: object) -> Enum | None:
    """The member that `given` is or names, by value or name, ignoring case; None if there is none."""
    if isinstance(given, kind):
        return given
    if not isinstance(given, str):
        return None
    same = {text.lower(): each for each in kind for text in (each.name, str(each.value))}
    return same.get(given.lower())


def is_number(kind: type[Enum], given: object) -> bool:
    """Whether `given` is a number that stands for a member."""
    return type(given) is int and given in PILLOW_NUMBERS.get(kind.__name__, ())


def with_members(factory: Factory, arguments: dict[str, object]) -> dict[str, object]:
    """The `arguments` of a call of `factory`, with members instead of their names."""
    if not any(isinstance(value, str) for value in arguments.values()):
        return arguments
    kinds = {name: enumeration(parameter) for name, parameter in parameters(factory)[0].items()}
    return {
        name: (member(kind, value) if (kind := kinds.get(name)) and isinstance(value, str) else value)
        for name, value in arguments.items()
    }
