"""Modules that libraries import at once for a single class each, and most runs never use: loaded at their first use.

They are the real modules: an import of one gives the module itself, whose code runs as soon as a name of it is asked
for. importlib's LazyLoader does the same, but runs it at any look at the module, and torch's and pydantic's search for
a function's source looks at all that are loaded.
"""

import importlib.machinery
import importlib.util
import sys
import threading
from functools import partial
from types import ModuleType
from typing import Any

from clearctl.standins import find_spec

_lock = threading.RLock()  # a thread that asks while another runs the code waits for its end
_waiting: set[str] = set()
_known: dict[str, dict[str, object]] = {}


class _Deferred(ModuleType):
    """A module whose code has not run to its end.

    Two names are asked of any module, and no need: mmcv looks for `_check_balance` in all of torch's, and an import for
    `__path__`, which only packages have.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "_check_balance" or (name == "__path__" and not _is_package(self)):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        with _lock:
            package = sys.modules.get(self.__name__.rpartition(".")[0])
            if package and package.__name__ in _waiting:
                _run(package)  # as an import would; it may use this module, and so run it
            if self.__name__ in _waiting:
                _run(self)
            elif type(self) is _Deferred:  # its own code, running, asks for what it has not come to yet
                raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self, name)


def _is_package(module: ModuleType) -> bool:
    return module.__spec__ is not None and module.__spec__.submodule_search_locations is not None


def _run(module: ModuleType) -> None:
    """Run the code of `module`, as its import would have; where that raises, so does the next use or import."""
    spec = module.__spec__
    assert spec is not None
    assert spec.loader is not None
    _waiting.remove(spec.name)
    if spec.submodule_search_locations is not None:
        module.__path__ = spec.submodule_search_locations
    known = _known[spec.name]
    for name in known:
        vars(module).pop(name, None)  # its own code would take one for a submodule that is imported
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
    """Let imports of `name` leave its code alone until it is needed; `known` are names that do not count as need.

    Nothing happens if it is imported already, or not installed. A package that it is in and that is not imported yet is
    not imported either; it then has to give out its submodules by itself, as torch and scipy do.
    """
    if name in sys.modules:
        return
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    module.__dict__.pop("__path__", None)  # so that an import of a submodule runs the package's code first
    vars(module).update(known)
    _known[name] = known
    module.__class__ = _Deferred
    _waiting.add(name)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], child, module)


def defer_compiler() -> None:
    """Defer what only torch.compile needs, a third of a short run's time. Call it before torchvision is imported."""
    # torchvision's roi_align imports the second for one function; each step of an optimizer imports the first, to say
    # where a compiler is not to look, and a process group, to have it forget what it knows.
    defer("torch._dynamo", graph_break=_graph_break, disable=_disable, trace_rules=_TraceRules())
    defer("torch._dynamo.utils", is_compile_supported=_is_compile_supported)


def _graph_break(msg: str = "") -> None:
    """What torch._dynamo's does where nothing is being compiled."""


def _disable(fn: Any = None, recursive: bool = True, **options: object) -> Any:
    """What torch._dynamo's comes to where nothing is being compiled: `fn` itself."""
    return fn if fn is not None else partial(_disable, recursive=recursive, **options)


class _TraceRules:
    """torch._dynamo.trace_rules, which has nothing to forget as long as it has not been loaded."""

    def clear_lru_cache(self) -> None:
        """Nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("torch._dynamo.trace_rules"), name)


def _is_compile_supported(device_type: str) -> bool:
    """torch._dynamo's own answer."""
    from torch._dynamo import utils

    utils.counters  # noqa: B018 any name of its own: the code runs, and with it this function is replaced by the real one
    return bool(utils.is_compile_supported(device_type))
