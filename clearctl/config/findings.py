"""The errors found in a config, and the checks of one value: its type, its range, the call it describes."""

import inspect
import re
import types
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from clearctl.config.documented import kinds
from clearctl.config.enums import enumeration, is_number, member, names
from clearctl.config.load import SET_ORIGIN, Config
from clearctl.config.own import is_own
from clearctl.config.ranges import Range, numbers, outside, range_of
from clearctl.config.registry import Parameter, Registry, article, parameters
from clearctl.config.traits import UNKNOWN, TraitsOf
from clearctl.nearby import closest


@dataclass(frozen=True)
class Fault:
    """One error: the file and dotted key where it is, and what was found and expected."""

    file: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.message}"


class Findings:
    """Collects the errors of one config in `faults`, in the order in which they are found.

    `traits_of` gives what is known of a strategy or plugin by its name.
    """

    def __init__(self, config: Config, traits_of: TraitsOf = lambda name: UNKNOWN) -> None:
        self.config = config
        self.traits_of = traits_of
        self.faults: list[Fault] = []

    @contextmanager
    def relying_on_faulty_parts(self) -> Iterator[None]:
        """Within are checks of parts that fit together: one that fails over a part with its own fault is left."""
        try:
            yield
        except (TypeError, ValueError, KeyError, IndexError, AttributeError):
            if not self.faults:
                raise

    def add(self, key: str, message: str) -> None:
        """Add an error at the dotted `key`."""
        fault = Fault(self.config.origin(key), key, message)
        if fault not in self.faults:
            self.faults.append(fault)

    def is_a(self, key: str, value: Any, kind: type) -> bool:
        """Whether `value` is a `kind`; adds an error if not."""
        if isinstance(value, kind):
            return True
        self.add(key, f"found {value!r}, expected a {kind.__name__}")
        return False

    def count(self, key: str, value: Any, allowed: Range) -> None:
        """Check that `value` is None or a whole number in a range."""
        if value is not None and not isinstance(value, int) and not self._is_faulty(key):
            self.add(key, f"found {value!r}, expected {allowed}")
        self.within(key, value, allowed)

    def within(self, key: str, value: Any, allowed: Range) -> None:
        """Check that all numbers in `value` are in a range."""
        if outside(value, allowed) and not self._is_faulty(key):
            each = " for each" if isinstance(value, list | tuple) else ""
            self.add(key, f"found {value!r}, expected {allowed}{each}")

    def at_most_classes(self, key: str, value: Any) -> None:
        """Check that the numbers in `value` do not exceed the number of classes of the head, if the config gives it."""
        model = self.config.values.get("model")
        head = model.get("head") if isinstance(model, dict) else None
        classes = head.get("num_classes") if isinstance(head, dict) else None
        above = type(classes) is int and any(number > classes for number in numbers(value))
        if above and not self._is_faulty(key) and not self.config.of_run:
            self.add(key, f"found {value!r}, but model.head has {classes} classes")

    def needs_validation(self, key: str, value: object) -> None:
        """Add an error if `value` needs validation images and the config holds none out."""
        scenario = self.config.values.get("scenario")
        if not (isinstance(scenario, dict) and scenario.get("validation") is not None):
            self.add(key, f"found {value!r}, but no validation images are held out: give scenario.validation=0.1")

    def _is_faulty(self, key: str) -> bool:
        """Whether an error was already found at the key, such as a wrong type."""
        return any(fault.key == key for fault in self.faults)

    def one_of(self, key: str, value: Any, choices: Sequence[str]) -> None:
        """Check that `value` is one of `choices`."""
        if value not in choices:
            hint = closest(value, list(choices)) if isinstance(value, str) else ""
            self.add(key, f"found {value!r}, expected {' or '.join(map(repr, choices)) or 'nothing'}{hint}")

    def known(self, key: str, section: Mapping[str, Any], names: Sequence[str]) -> None:
        """Check that `section` has no other keys than `names`."""
        for name in section:
            if name not in names:
                self.add(f"{key}.{name}", f"{key} has no such key{closest(name, list(names))}")

    def calls(self, key: str, value: Any, registry: Registry, filled: Sequence[str] = ()) -> None:
        """Check that `value` is a list of calls."""
        if self.is_a(key, value, list):
            for index, entry in enumerate(value):
                self.call(f"{key}.{index}", entry, registry, filled)

    def call(
        self,
        key: str,
        value: Any,
        registry: Registry,
        filled: Sequence[str] = (),
        also: Sequence[str] = (),
    ) -> None:
        """Check that `value` is dict(type=name, **arguments) for a class of `registry`.

        `filled` are arguments that clearctl gives; `also` are keys of the section that are not arguments.
        """
        if not self.is_a(key, value, dict):
            return
        if "type" not in value:
            self.add(key, f"type is missing, expected the name of {article(registry.kind)}")
            return
        fault = registry.fault(value["type"])
        if fault:
            self.add(f"{key}.type", fault)
            return
        name = value["type"]
        accepted, open_ended = parameters(registry[name])
        accepted = {argument: accepted[argument] for argument in accepted if argument not in filled}
        given = {argument: child for argument, child in value.items() if argument != "type"}
        for argument, child in given.items():
            if argument in accepted:
                self.argument(f"{key}.{argument}", child, accepted[argument])
                if not (is_own(name) or self.config.of_run):  # an existing run is not checked
                    self.within(f"{key}.{argument}", child, range_of(registry.kind, name, argument))
                self._no_bool(f"{key}.{argument}", child, accepted[argument])
            elif not open_ended:
                hint = closest(argument, [*accepted, *also]) or self._left_over(key, name, argument)
                self.add(f"{key}.{argument}", f"{name} has no argument {argument!r}{hint}")
        for argument, parameter in accepted.items():
            if parameter.required and argument not in given:
                self.add(key, f"{name} needs the argument {argument!r}")
        asked = getattr(registry[name], "arguments_fault", None)
        if asked is not None and not self.config.of_run and (found := asked(given)):
            self.add(f"{key}.{found[0]}" if found[0] else key, found[1])

    def _no_bool(self, key: str, value: Any, parameter: Parameter) -> None:
        """Check that `value` is not a bool where a number is expected, which Python would take for 0 or 1."""
        expected = expected_types(parameter)
        if isinstance(value, bool) and expected and bool not in expected and not self._is_faulty(key):
            self.add(key, f"found {value!r}, expected {' or '.join(type_names(expected))}")

    def _left_over(self, key: str, name: str, argument: str) -> str:
        """A hint on how to drop an argument that a base gives for another type."""
        origin, source = self.config.origin(f"{key}.type"), self.config.origin(f"{key}.{argument}")
        if origin not in (SET_ORIGIN, self.config.file) or source in (SET_ORIGIN, origin):
            return ""
        if origin == SET_ORIGIN:
            return f", which {source} gives for another type: --set {key}=\"{{'type': '{name}', ...}}\" replaces both"
        return f", which {source} gives for another type: write dict(_delete_=True, type='{name}', ...)"

    def argument(self, key: str, value: Any, parameter: Parameter) -> None:
        """Check that `value` has a type that the parameter accepts."""
        kind = enumeration(parameter)
        if kind is not None:
            if member(kind, value) is None and not is_number(kind, value):
                hint = closest(value, names(kind)) if isinstance(value, str) else ""
                self.add(key, f"found {value!r}, expected {' or '.join(map(repr, names(kind)))}{hint}")
            return
        if value is not None and not callable(value) and takes_function(parameter):
            self.add(key, f"found {value!r}, but it takes a function, which a config cannot contain: leave it out")
            return
        choices = literals(parameter.annotation)
        if choices:
            if value not in choices or type(value) not in map(type, choices):
                self.add(key, f"found {value!r}, expected {' or '.join(map(repr, choices))}")
            return
        expected = expected_types(parameter)
        if not expected and isinstance(value, str) and takes_no_text(parameter):
            expected = (type(parameter.default),)
        if expected and not isinstance(value, expected):
            self.add(key, f"found {value!r}, expected {' or '.join(type_names(expected))}")


# What a config holds where an annotation names a container.
_CONTAINERS: Mapping[Any, tuple[type, ...]] = {
    **dict.fromkeys((list, tuple, Sequence, Iterable, Collection), (list, tuple)),
    **dict.fromkeys((dict, Mapping), (dict,)),
}


def expected_types(parameter: Parameter) -> tuple[type, ...]:
    """The types that a plain annotation, or otherwise the documentation, allows; empty if neither says.

    The type of a default allows nothing to be refused: mmcls's Twins has the default False for an argument that may be
    a list.
    """
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty:
        allowed = kinds(parameter.documented)
        if allowed:
            allowed.add(type(None))  # docstrings do not mention that None is accepted
            if parameter.name == "init_cfg":
                allowed |= {list, tuple}  # and that mmcv takes a list, as its BaseModule does
    else:
        allowed = annotated(annotation)
    if not allowed:
        return ()
    if float in allowed:
        allowed.add(int)
    if not parameter.required:
        allowed.add(type(parameter.default))
    return tuple(sorted(allowed, key=lambda kind: kind.__name__))


def annotated(annotation: Any) -> set[type]:
    """The types of a config's values that an annotation allows; empty if it allows others too."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        # torch says `float | Tensor` of a learning rate; a config cannot hold a tensor.
        each = [kind for kind in typing.get_args(annotation) if getattr(kind, "__name__", "") != "Tensor"]
        allowed = [annotated(kind) for kind in each]
        return set().union(*allowed) if all(allowed) else set()
    if annotation is None:
        return {type(None)}
    if annotation in (bool, int, float, str, type(None)):
        return {annotation}
    return set(_CONTAINERS.get(origin or annotation, ())) if inspect.isclass(origin or annotation) else set()


def takes_function(parameter: Parameter) -> bool:
    """Whether the parameter takes a function and nothing that a config can hold."""
    said = str(parameter.annotation)
    return "Callable" in said and not re.search(r"\b(str|int|float|bool|Module)\b", said.partition("Callable")[0])


def literals(annotation: Any) -> tuple[Any, ...]:
    """The values that a `Literal`, or one or None, allows; empty for another annotation."""
    if typing.get_origin(annotation) is typing.Literal:
        return typing.get_args(annotation)
    parts = typing.get_args(annotation) if typing.get_origin(annotation) in (typing.Union, types.UnionType) else ()
    named = [(None,) if part is type(None) else literals(part) for part in parts]
    return tuple(value for values in named for value in values) if any(named) and all(named) else ()


def takes_no_text(parameter: Parameter) -> bool:
    """Whether only a default tells what the parameter takes, and that is a number or a bool."""
    is_said = parameter.documented or parameter.annotation is not inspect.Parameter.empty
    return not is_said and isinstance(parameter.default, int | float)


def type_names(expected: Sequence[type]) -> list[str]:
    """The names of `expected_types` in messages, without None, and without tuple if list is named."""
    silent = (type(None), tuple) if list in expected else (type(None),)
    return [kind.__name__ for kind in expected if kind not in silent]
