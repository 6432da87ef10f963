"""Modules that libraries import early for a single class, and that most runs never use: loaded on first use.

They are the real modules: importing one returns the module itself, and its code runs on the first attribute access.
importlib's LazyLoader does the same, but loads on any access to the module, and torch and pydantic look at every
loaded module when they search for a function's source.
"""

import importlib.machinery
import importlib.util
import sys
import threading
from functools import partial
from types import ModuleType
from typing import Any

from clearctl.standins import find_spec

_lock = threading.RLock()  # a second thread waits while the first one runs the code
_waiting: set[str] = set()
_known: dict[str, dict[str, object]] = {}


class _Deferred(ModuleType):
    """A module whose code has not been run completely.

    Two names do not trigger the load: mmcv looks for `_check_balance` in all of torch's modules, and an import looks
    for `__path__`, which only packages have.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "_check_balance" or (name == "__path__" and not _is_package(self)):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        with _lock:
            package = sys.modules.get(self.__name__.rpartition(".")[0])
            if package and package.__name__ in _waiting:
                _run(package)  # like an import; it may use this module and thereby run it
            if self.__name__ in _waiting:
                _run(self)
            elif type(self) is _Deferred:  # its own code is running and has not defined the name yet
                raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self, name)


def _is_package(module: ModuleType) -> bool:
    return module.__spec__ is not None and module.__spec__.submodule_search_locations is not None


def _run(module: ModuleType) -> None:
    """Run the code of `module`, as its import would have; if that raises, the next use or import raises too."""
    spec = module.__spec__
    assert spec is not None
    assert spec.loader is not None
    _waiting.remove(spec.name)
    if spec.submodule_search_locations is not None:
        module.__path__ = spec.submodule_search_locations
    known = _known[spec.name]
    for name in known:
        vars(module).pop(name, None)  # its code would take this for an imported submodule
    try:
        spec.loader.exec_module(module)
    except BaseException:
        _waiting.add(spec.name)
        vars(module).update(known)
        sys.modules.pop(spec.name, None)
        raise
    vars(module).update({name: value for name, value in known.items() if name not in vars(module)})
    module.__class__ = ModuleType


def defer(name: str, **known: object) -> None:
    """Import `name` without running its code until it is used; `known` are names that do not trigger the load.

    Does nothing if it is already imported or not installed. Its parent package, if not imported yet, is not imported
    either, and must then provide its submodules itself, as torch and scipy do.
    """
    if name in sys.modules:
        return
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    module.__dict__.pop("__path__", None)  # an import of a submodule then runs the package's code first
    vars(module).update(known)
    _known[name] = known
    module.__class__ = _Deferred
    _waiting.add(name)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], child, module)


def defer_compiler() -> None:
    """Defer what only torch.compile needs, a third of a short run's time. Call it before importing torchvision."""
    # torchvision's roi_align imports the second for one function; each optimizer step imports the first to exclude code
    # from compilation, and a process group imports it to clear its caches.
    defer("torch._dynamo", graph_break=_graph_break, disable=_disable, trace_rules=_TraceRules())
    defer("torch._dynamo.utils", is_compile_supported=_is_compile_supported)


def _graph_break(msg: str = "") -> None:
    """torch._dynamo.graph_break when nothing is compiled."""


def _disable(fn: Any = None, recursive: bool = True, **options: object) -> Any:
    """torch._dynamo.disable when nothing is compiled: returns `fn`."""
    return fn if fn is not None else partial(_disable, recursive=recursive, **options)


class _TraceRules:
    """torch._dynamo.trace_rules, whose caches are empty until it is loaded."""

    def clear_lru_cache(self) -> None:
        """Nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("torch._dynamo.trace_rules"), name)


def _is_compile_supported(device_type: str) -> bool:
    """torch._dynamo's own answer."""
    from torch._dynamo import utils

    utils.counters  # noqa: B018 any of its names: this runs the code, which replaces this function
    return bool(utils.is_compile_supported(device_type))
