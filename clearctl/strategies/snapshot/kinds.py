"""Kinds of objects below a strategy: state, structure that a build recreates, and neither."""

import inspect
import io
import logging
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, TypeAlias, TypeVar, cast

import torch
from avalanche.benchmarks import CLExperience, CLScenario, CLStream
from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.benchmarks.utils.data_loader import MultiDatasetDataLoader
from avalanche.training.supervised import JointTraining
from avalanche.training.templates import BaseSGDTemplate
from torch import nn
from torch.utils.data import DataLoader

from clearctl.config import own
from clearctl.data.cache.store import ImageStore
from clearctl.strategies.loading.gather import GatheringLoader
from clearctl.strategies.loading.prefetch import Prefetch
from clearctl.strategies.snapshot.moved import current_name
from clearctl.strategies.watching.batch import BatchRecord
from clearctl.strategies.watching.evaluator import Evaluator
from clearctl.strategies.watching.hooks import _Trigger
from clearctl.strategies.watching.observe import ProgressReporter

PLAIN = frozenset({type(None), bool, int, float, str})

# The form of a value in a state: itself if it is plain, else a tuple that begins with its kind (see `capture`).
Node: TypeAlias = None | bool | int | float | str | tuple[Any, ...]
Nodes: TypeAlias = list[tuple[Node, Node]]  # of (name or key, value)

# Where the classes come from whose objects a state may hold: nothing else is made when one is read.
ROOTS = frozenset({"avalanche", "clearctl", "collections", "mmcls", "mmcv", "timm", "torch", "torchvision"})

# Structure: a strategy that is built again has these, in the same places.
_LEFT_ALONE = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    partial,
    inspect.Signature,
    io.IOBase,
    logging.Logger,
    threading.Thread,
    weakref.ReferenceType,
    CLExperience,
    CLScenario,
    CLStream,
    MultiDatasetDataLoader,
    DataLoader,
    GatheringLoader,
    Prefetch,
    _Trigger,
)
_LEFT_ALONE_ROOTS = frozenset({"_thread", "psutil", "tensorboard", "typing", "wandb"})
_LEFT_ALONE_NAMES = frozenset(
    {
        "torch.utils.tensorboard.writer.SummaryWriter",
        "clearctl.strategies.loggers.text._CurrentStderr",
        "clearctl.strategies.loggers.mlflow.MLflowStore",
    }
)

# Pictures among the values of metrics: too much for a state, and no number depends on one.
_LEFT_OUT_ROOTS = frozenset({"matplotlib", "PIL"})
_LEFT_OUT_NAMES = frozenset({"avalanche.evaluation.metric_results.TensorImage"})

# Attributes that the set-up of a bucket or the next step makes again, or that are times of this process.
_PASSING = (
    (
        BaseSGDTemplate,
        "experience adapted_dataset dataloader mbatch mb_output loss current_eval_stream _eval_streams",
    ),
    (JointTraining, "_experiences"),
    (AvalancheDataset, "_clearctl_rows"),
    (BatchRecord, "_due"),
    (ImageStore, "_listener"),  # which may also be the run's, in the process that saves and not in the one that resumes
    (Evaluator, "_caught_up_at all_metric_results"),  # the curves of all metrics, which nothing in a run reads
    (ProgressReporter, "_started_at _test_began_at"),
    (nn.Module, " ".join(set(vars(nn.Module())) - {"training", "_parameters", "_buffers", "_modules"})),
)


_Asked = TypeVar("_Asked", bound=Callable[[type], Any])


def _cached(function: _Asked) -> _Asked:
    """functools.cache, which mypy takes no classes for."""
    return cast(_Asked, cache(function))


@_cached
def name_of(kind: type) -> str:
    """The dotted name of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


@_cached
def is_not_captured(kind: type) -> bool:
    """Whether objects of a class are structure."""
    return (
        issubclass(kind, _LEFT_ALONE)
        or kind.__module__.partition(".")[0] in _LEFT_ALONE_ROOTS
        or name_of(kind) in _LEFT_ALONE_NAMES
    )


@_cached
def is_left_out(kind: type) -> bool:
    """Whether objects of a class are pictures."""
    return kind.__module__.partition(".")[0] in _LEFT_OUT_ROOTS or name_of(kind) in _LEFT_OUT_NAMES


@_cached
def has_position(kind: type) -> bool:
    """Whether objects of a class are iterators that say where they are and can continue from there."""
    return hasattr(kind, "position") and hasattr(kind, "seek")


@_cached
def has_state_dict(kind: type) -> bool:
    """Whether a user-defined class says by itself what its state is."""
    if not hasattr(kind, "load_state_dict"):
        return False
    defining = next((cls for cls in kind.__mro__ if "state_dict" in vars(cls)), None)
    return defining is not None and defining.__module__.partition(".")[0] not in ROOTS


@_cached
def is_known(kind: type) -> bool:
    """Whether objects of a class may be made from a state."""
    return kind.__module__.partition(".")[0] in ROOTS or own.is_named(kind.__module__)


@_cached
def passing(kind: type) -> frozenset[str]:
    """The attributes of a class's objects that are not state."""
    return frozenset(name for cls, names in _PASSING if issubclass(kind, cls) for name in names.split())


@_cached
def slots(kind: type) -> tuple[str, ...]:
    """The names of a class's `__slots__`, its bases' included."""
    found = [vars(cls).get("__slots__", ()) for cls in kind.__mro__]
    names = [name for part in found for name in ((part,) if isinstance(part, str) else part)]
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def attributes(value: object) -> Iterator[tuple[str, Any]]:
    """(name, value) of everything that an object holds and that is state."""
    kind = type(value)
    without = passing(kind)
    for name, child in getattr(value, "__dict__", {}).items():
        if name not in without:
            yield name, child
    for name in slots(kind):
        if hasattr(value, name):
            yield name, getattr(value, name)


def class_named(name: str) -> type:
    """The class of a dotted name, of a module that is imported already. Raises ValueError for another.

    A name of an earlier version gives the class as it is called now.
    """
    name = current_name(name)
    found: object = None
    if name.partition(".")[0] in ROOTS or name.startswith(("builtins.", *(f"{module}." for module in own.MODULES))):
        parts = name.split(".")
        for split in range(len(parts) - 1, 0, -1):
            module = sys.modules.get(".".join(parts[:split]))
            if module is not None:
                found = module
                for part in parts[split:]:
                    found = getattr(found, part, None)
                break
    if not isinstance(found, type) or name_of(found) != name:  # not one that a module has only imported
        raise ValueError(f"no class {name} found")
    return found


def external_objects(roots: dict[str, Any]) -> dict[str, Any]:
    """{path: object} of all that is below `roots`: what a run is given, and no state holds.

    To be called before anything is learned; two runs of the same config and dataset have the same paths.
    """
    found: dict[str, Any] = {}
    seen: set[int] = set()

    def below(path: str, value: object) -> None:
        if type(value) in PLAIN or id(value) in seen or isinstance(value, type | types.ModuleType):
            return
        seen.add(id(value))
        found[path] = value
        if isinstance(value, dict):
            for number, child in enumerate(value.values()):
                below(f"{path}.{number}", child)
        elif isinstance(value, list | tuple):
            if value and type(value[0]) not in PLAIN:
                for number, child in enumerate(value):
                    below(f"{path}.{number}", child)
        elif not isinstance(value, torch.Tensor):
            for name, child in attributes(value):
                below(f"{path}.{name}", child)

    for name, root in roots.items():
        below(name, root)
    return found
