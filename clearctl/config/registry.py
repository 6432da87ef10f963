"""A registry turns a `type=` name into a class. Each package that owns a kind of class declares one."""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Protocol

from clearctl.config import own
from clearctl.config.documented import documented_types
from clearctl.nearby import closest

Factory = Callable[..., Any]


class Library(Protocol):
    """A library that looks up models by name, too many to list."""

    def fault(self, name: str) -> str | None:
        """The reason why it has no model `name` (without the prefix), or None if it has one."""

    def __getitem__(self, name: str) -> Factory:
        """The function that builds the model `name` (without the prefix)."""


@dataclass
class Registry:
    """The classes (or factory functions) of one kind that a config may name.

    `load` returns {name: class} and is called at the first look-up only, since it imports the library that has
    them. `refused` gives, for names that exist but cannot work here, the reason. `base` is what a user-defined class
    (`module:Class`) must be a subclass of, and `registered` gives the classes that a user's module has added to the
    registries of a library. `libraries` look up the names that begin with their prefix, `{"timm:": ...}`.
    """

    kind: str
    load: Callable[[], Mapping[str, Factory]]
    refused: Mapping[str, str] | None = None
    base: Callable[[], type] | None = None
    registered: Callable[[], Mapping[str, Factory]] | None = None
    libraries: Mapping[str, Library] = field(default_factory=dict)

    @cached_property
    def classes(self) -> Mapping[str, Factory]:
        """{name: class}, without the refused ones."""
        return {name: cls for name, cls in self.load().items() if name not in (self.refused or {})}

    def fault(self, name: object) -> str | None:
        """The reason why `name` cannot be used, or None if it can."""
        if not isinstance(name, str):
            return f"type is {name!r}, expected the name of {article(self.kind)}"
        if library := self._library(name):
            return library[0].fault(library[1])
        if own.is_own(name):
            return self._own_fault(name)
        if self.refused and name in self.refused:
            return f"{self.kind} {name!r} cannot be used: {self.refused[name]}"
        if name in self.classes or name in self._added():
            return None
        module, _, cls = name.rpartition(".")
        hint = f"; write {f'{module}:{cls}'!r} for a class of your own" if module and cls.isidentifier() else ""
        return f"no {self.kind} is called {name!r}{closest(name, self.classes) or hint}"

    def __getitem__(self, name: str) -> Factory:
        """The class called `name`, or that `module:Class` names; KeyError if there is none."""
        if library := self._library(name):
            return library[0][library[1]]
        if own.is_own(name):
            try:
                found: Factory = own.find(name)
            except own.OwnCodeError as error:
                raise KeyError(str(error)) from error
            return found
        return self.classes[name] if name in self.classes else self._added()[name]

    def _library(self, name: str) -> tuple[Library, str] | None:
        """The library that looks `name` up, and the name without its prefix."""
        return next(
            (
                (library, name.removeprefix(prefix))
                for prefix, library in self.libraries.items()
                if name.startswith(prefix)
            ),
            None,
        )

    def _own_fault(self, name: str) -> str | None:
        try:
            found = own.find(name)
        except own.OwnCodeError as error:
            return str(error)
        base = self.base() if self.base is not None and inspect.isclass(found) else None
        if base is not None and not issubclass(found, base):
            library = base.__module__.partition(".")[0]
            return f"{name!r} is not {article(self.kind)}: expected a subclass of {library}'s {base.__name__}"
        return None

    def _added(self) -> Mapping[str, Factory]:
        """The classes that a config's own modules registered."""
        if self.registered is None or not own.MODULES:
            return {}
        return {name: cls for name, cls in self.registered().items() if own.is_named(cls.__module__)}


def article(noun: str) -> str:
    """`noun` with its indefinite article."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


@dataclass(frozen=True)
class Parameter:
    """One argument that a class takes. `default` and `annotation` are inspect.Parameter.empty if there is none.

    `documented` are its types in the words of the class's docstring, "" if that does not say.
    """

    name: str
    default: Any
    annotation: Any
    documented: str = ""

    @property
    def required(self) -> bool:
        """Whether a call must give it."""
        return self.default is inspect.Parameter.empty


def parameters(factory: Factory) -> tuple[dict[str, Parameter], bool]:
    """({name: parameter}, whether any other name is accepted too) for a class or function.

    Arguments that a class passes to its bases through **kwargs are resolved up the inheritance chain; only a chain that
    ends in **kwargs at a class without further information counts as open.
    """
    try:
        found, open_ended = _parameters(factory)
    except TypeError:  # a user's callable without a hash
        found, open_ended = _parameters.__wrapped__(factory)
    return dict(found), open_ended


@cache  # a run asks for those of a few classes a dozen times
def _parameters(factory: Factory) -> tuple[dict[str, Parameter], bool]:
    documented = documented_types(factory)
    if not inspect.isclass(factory):
        return _signature(factory, documented)
    found: dict[str, Parameter] = {}
    is_users, passed_on = own.is_named(factory.__module__), False
    for cls in factory.__mro__:
        if "__init__" not in vars(cls) or cls is object:
            continue
        named, open_ended = _signature(vars(cls)["__init__"], documented)
        if is_users and passed_on and not named:
            return found, True  # what the user's class takes by **kwargs is not for this base, which takes nothing
        found = named | found
        if not open_ended:
            return found, False
        passed_on = _takes_any_name(vars(cls)["__init__"])
    return found, not found


def _takes_any_name(function: Factory) -> bool:
    kinds = [parameter.kind for parameter in inspect.signature(function).parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds


def _signature(function: Factory, documented: Mapping[str, str]) -> tuple[dict[str, Parameter], bool]:
    kinds = inspect.Parameter
    named: dict[str, Parameter] = {}
    open_ended = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (kinds.VAR_KEYWORD, kinds.VAR_POSITIONAL):
            open_ended = True
        elif parameter.kind is not kinds.POSITIONAL_ONLY and parameter.name not in ("self", "cls"):
            types = documented.get(parameter.name, "")
            annotation = _evaluated(parameter.annotation, function)
            named[parameter.name] = Parameter(parameter.name, parameter.default, annotation, types)
    return named, open_ended


def _evaluated(annotation: Any, function: Factory) -> Any:
    """An annotation that is text, as `from __future__ import annotations` makes all of a module; text if it fails."""
    if not isinstance(annotation, str):
        return annotation
    try:
        of_module = getattr(inspect.unwrap(function), "__globals__", {})
        return eval(annotation, {**vars(typing), **of_module})  # torch imports Iterable for type checkers only
    except Exception:  # a name that is imported for type checkers only
        return annotation


def is_typo(name: str, hint: str) -> bool:
    """Whether a variable's name is a typo of a section's, `wrok_dir`, rather than a word like `models`."""
    section = hint.split("'")[1]
    return sorted(name) == sorted(section) or (abs(len(name) - len(section)) <= 1 and _distance(name, section) <= 2)


def _distance(one: str, other: str) -> int:
    """Edits (insert, delete, replace) between two short strings."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        row, previous = [i], row
        for j, another in enumerate(other, 1):
            row.append(min(row[-1] + 1, previous[j] + 1, previous[j - 1] + (letter != another)))
    return row[-1]
