"""Placeholders for packages that a library imports but rarely uses: see `STAND_INS`.

While Avalanche is imported, `from matplotlib.figure import Figure` gives it a placeholder for the class, and `import
matplotlib.pyplot` one for the module. A placeholder imports the real object on first use: a call, a base class, an
attribute. Only the library holds placeholders; after its import, `import matplotlib` works as usual. For a module that
functions import repeatedly, torch._dynamo, see `clearctl.deferred`.
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

# {library: packages that it imports but rarely uses}
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
# Attributes that typing reads from each argument of `Union[int, Figure]`; they do not count as a use.
_ASKED_BY_TYPING = frozenset({"__parameters__", "__typing_subst__", "__typing_unpacked_tuple_args__"})

_standing: list[str] = []  # packages whose imports currently give placeholders
_asked_for: dict[str, set[str]] = {}  # {package: submodules that it imports on attribute access}


def defer_imports() -> None:
    """From now on, import the libraries in `STAND_INS` without the packages listed there, unless already imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


@contextmanager
def stand_ins(packages: Sequence[str]) -> Iterator[None]:
    """Within this context, imports of `packages` and their submodules give placeholders.

    A package that is already loaded or not installed is imported as usual. A placeholder that became an attribute of
    its parent package, such as torchvision.models, is removed: the parent imports the real module on attribute access.
    """
    defer_imports()  # installs the finder
    new = [name for name in packages if name not in sys.modules and name not in _standing]
    standing = [name for name in new if find_spec(name) is not None]
    _standing.extend(standing)
    try:
        yield
    finally:
        for name in standing:
            _import_again(name)


class _Finder(MetaPathFinder):
    """Finds placeholders, and the libraries that are imported with them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None for modules that are imported as usual."""
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
    """Runs the code of a library with placeholders in place."""

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
        module.__path__ = []  # `import matplotlib.pyplot` then searches it, and finds a placeholder
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass


class _StandIn(ModuleType):
    """The placeholder of a module."""

    def __getattr__(self, name: str) -> Any:
        if name == "__file__":  # like a built-in module, for code that inspects all loaded modules
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if name.startswith("__") or sys.modules.get(self.__name__) is not self:
            return _real(self.__name__, name)
        return _Later(self.__name__, name)


class _Later:
    """The placeholder of a class, a function or a submodule, for `from module import name`."""

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
        """Whether instances can exist: not before the module of the class is imported."""
        return not isinstance(sys.modules.get(self._place[0]), _StandIn | None)


def _real(module: str, name: str) -> Any:
    """`name` of `module`, or its submodule of that name, really imported."""
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
    """Remove the placeholders of `package` and its submodules from sys.modules."""
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
    """Make `package` import its submodule `child` on attribute access."""
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
    """The spec of `name`, found without running the code of its parent packages, as importlib would."""
    parent, _, _ = name.rpartition(".")
    if not parent:
        return importlib.util.find_spec(name)
    package = sys.modules[parent].__spec__ if parent in sys.modules else find_spec(parent)
    if package is None or package.submodule_search_locations is None:
        return None
    return PathFinder.find_spec(name, package.submodule_search_locations)
