"""Packages that a library imports for a class or two, kept from loading while it is imported: see `STAND_INS`.

While Avalanche is imported, `from matplotlib.figure import Figure` gives it a stand-in for the class, and `import
matplotlib.pyplot` one for the module. A stand-in imports the real one as soon as something is done with it: a call, a
base class, a name of it. Only the library holds stand-ins; once it is imported, `import matplotlib` is what it has
always been. `clearctl.deferred` is for a module that functions import again and again, torch._dynamo.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

# {library: what it imports without need}
STAND_INS: Mapping[str, tuple[str, ...]] = {
    "avalanche": (
        *("matplotlib", "torch.utils.tensorboard", "wandb"),  # for what metrics draw, and loggers of it
        "torchmetrics",  # for its top-k accuracy
        *("psutil", "GPUtil"),  # for its metrics of the machine's usage
        "gdown",  # to download CUB-200
        "qpsolvers",  # for GEM
        "torchvision.models",  # for its own models
    ),
    "mmcv": ("torch.utils.cpp_extension", "yapf"),  # to build its operators, to write a config as Python
    "mmcls.models": ("timm", "matplotlib"),  # for its TIMMBackbone, to draw predictions
    "torchvision": ("torchvision.models", "torchvision.ops"),
}
# What typing asks of each argument of `Union[int, Figure]`: nothing is done with it yet.
_ASKED_BY_TYPING = frozenset({"__parameters__", "__typing_subst__", "__typing_unpacked_tuple_args__"})

_standing: list[str] = []  # packages whose imports give stand-ins now
_asked_for: dict[str, set[str]] = {}  # {package: its submodules that it imports when it is asked for them}


def import_less() -> None:
    """From now on the libraries of `STAND_INS`, those that are not imported yet, are imported without the others."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


@contextmanager
def stand_ins(packages: Sequence[str]) -> Iterator[None]:
    """Within, imports of `packages` and of what is in them give stand-ins.

    One that is loaded already, or not installed, is imported as ever. A stand-in that has become a name of its parent
    package, as torchvision.models has, is taken out of it: the parent imports the real one when it is asked for it.
    """
    import_less()  # which puts the finder where imports look
    new = [name for name in packages if name not in sys.modules and name not in _standing]
    standing = [name for name in new if find_spec(name) is not None]
    _standing.extend(standing)
    try:
        yield
    finally:
        for name in standing:
            _import_again(name)


class _Finder(MetaPathFinder):
    """Finds stand-ins, and the libraries that are imported with them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None for what is imported as ever."""
        if any(_is_in(name, package) for package in _standing):
            return ModuleSpec(name, _StandInLoader(), is_package=True)
        if name not in STAND_INS:
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _LibraryLoader(spec.loader, STAND_INS[name])
        return spec


class _LibraryLoader(Loader):
    """Runs the code of a library among stand-ins."""

    def __init__(self, loader: Loader, packages: Sequence[str]) -> None:
        self.loader = loader
        self.packages = packages

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self.loader
        with stand_ins(self.packages):
            self.loader.exec_module(module)


class _StandInLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = _StandIn(spec.name)
        module.__path__ = []  # so that `import matplotlib.pyplot` looks for it, and finds a stand-in
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass


class _StandIn(ModuleType):
    """In place of a module."""

    def __getattr__(self, name: str) -> Any:
        if name == "__file__":  # as of a built-in module, where somebody looks at all that are loaded
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if name.startswith("__") or sys.modules.get(self.__name__) is not self:
            return _real(self.__name__, name)
        return _Later(self.__name__, name)


class _Later:
    """In place of a class, a function or a submodule, for `from module import name`."""

    def __init__(self, module: str, name: str) -> None:
        self.__dict__["_place"] = module, name

    def __getattr__(self, name: str) -> Any:
        if name == "_place" or name in _ASKED_BY_TYPING:
            raise AttributeError(name)
        return getattr(_real(*self._place), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(_real(*self._place), name, value)

    def __call__(self, *arguments: object, **options: object) -> Any:
        return _real(*self._place)(*arguments, **options)

    def __mro_entries__(self, bases: object) -> tuple[Any, ...]:
        return (_real(*self._place),)

    def __instancecheck__(self, instance: object) -> bool:
        return self._is_loaded() and isinstance(instance, _real(*self._place))

    def __subclasscheck__(self, cls: type) -> bool:
        return self._is_loaded() and issubclass(cls, _real(*self._place))

    def __or__(self, other: Any) -> Any:
        return _real(*self._place) | other

    def __ror__(self, other: Any) -> Any:
        return other | _real(*self._place)

    def __reduce__(self) -> tuple[Any, ...]:
        return _real, self._place

    def _is_loaded(self) -> bool:
        """Whether there can be instances: there are none before the module of the class is imported."""
        return not isinstance(sys.modules.get(self._place[0]), _StandIn | None)


def _real(module: str, name: str) -> Any:
    """`name` of `module`, or its submodule of that name, imported as they would have been."""
    for package in [package for package in _standing if _is_in(module, package)]:
        _import_again(package)
    found = importlib.import_module(module)
    try:
        return getattr(found, name)
    except AttributeError:
        if find_spec(f"{module}.{name}") is None:
            raise
        return importlib.import_module(f"{module}.{name}")


def _import_again(package: str) -> None:
    """Take the stand-ins for `package` and what is in it out of where imports look."""
    if package in _standing:
        _standing.remove(package)
    for name in [name for name, module in sys.modules.items() if type(module) is _StandIn and _is_in(name, package)]:
        stand_in = sys.modules.pop(name)
        parent, _, child = name.rpartition(".")
        holder = sys.modules.get(parent)
        if holder is not None and type(holder) is not _StandIn and vars(holder).get(child) is stand_in:
            delattr(holder, child)
            _import_when_asked(holder, child)


def _import_when_asked(package: ModuleType, child: str) -> None:
    """Let `package` import its submodule `child` when somebody asks for it as a name."""
    children = _asked_for.setdefault(package.__name__, set())
    children.add(child)
    if len(children) > 1:
        return
    before = vars(package).get("__getattr__")

    def __getattr__(name: str) -> Any:
        if name in children:
            return importlib.import_module(f"{package.__name__}.{name}")
        if before is not None:
            return before(name)
        raise AttributeError(f"module {package.__name__!r} has no attribute {name!r}")

    vars(package)["__getattr__"] = __getattr__


def _is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def find_spec(name: str) -> ModuleSpec | None:
    """That of `name`, without the code of the packages that it is in, which importlib would run first."""
    parent, _, _ = name.rpartition(".")
    if not parent:
        return importlib.util.find_spec(name)
    package = sys.modules[parent].__spec__ if parent in sys.modules else find_spec(parent)
    if package is None or package.submodule_search_locations is None:
        return None
    return PathFinder.find_spec(name, package.submodule_search_locations)
