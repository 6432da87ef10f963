"""Modules that Avalanche imports at once for a single class each, and most runs never use: loaded at their first use.

They are the real modules: an import of one gives the module itself, whose code runs as soon as a name of it is asked
for. importlib's LazyLoader does the same, but runs it at any look at the module, and torch's and pydantic's search for
a function's source looks at all that are loaded.
"""

import importlib.util
import sys
import threading
from types import ModuleType
from typing import Any

_lock = threading.RLock()  # a thread that asks while another runs the code waits for its end
_waiting: set[str] = set()


class _Deferred(ModuleType):
    """A module whose code has not run to its end."""

    def __getattr__(self, name: str) -> Any:
        with _lock:
            if self.__name__ in _waiting:
                _run(self)
            elif type(self) is _Deferred:  # its own code, running, asks for what it has not come to yet
                raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self, name)


def _run(module: ModuleType) -> None:
    """Run the code of `module`, as its import would have; where that raises, so does the next use or import."""
    spec = module.__spec__
    assert spec is not None
    assert spec.loader is not None
    _waiting.remove(spec.name)
    if spec.submodule_search_locations is not None:
        module.__path__ = spec.submodule_search_locations
    try:
        spec.loader.exec_module(module)
    except BaseException:
        _waiting.add(spec.name)
        sys.modules.pop(spec.name, None)
        raise
    module.__class__ = ModuleType


def defer(name: str, **known: object) -> None:
    """Let imports of `name` leave its code alone until it is needed; `known` are names that do not count as need.

    Nothing happens if it is imported already, or not installed.
    """
    if name in sys.modules:
        return
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # the package that it is in
        spec = None
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    module.__dict__.pop("__path__", None)  # so that an import of a submodule runs the package's code first
    vars(module).update(known)
    module.__class__ = _Deferred
    _waiting.add(name)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


def defer_rare_imports() -> None:
    """To be called before Avalanche is imported."""
    defer("wandb")  # for the wandb=True of its confusion matrix
    defer("gdown")  # to download CUB-200
    defer("qpsolvers")  # for GEM
    defer("GPUtil")  # for its metric of the GPU's usage
    # Its top-k accuracy is torchmetrics', which gives scipy.signal, if it has none, a name that was once there.
    defer("scipy.signal", hamming=_hamming)


def _hamming(*arguments: object, **options: object) -> object:
    """What torchmetrics would give scipy.signal."""
    from scipy.signal import windows

    return windows.hamming(*arguments, **options)
