"""Every change that clearctl makes to third-party objects, one row each; and the application of those that a run needs.

An import changes nothing that all code of a process sees, except for the imports that are left for later (`deferred`,
`standins`). A call restores its changes at its end; a row says so if that is not possible, and why.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.benchmarks.utils.data_attribute import DataAttribute
from avalanche.distributed import DistributedHelper
from avalanche.training import LearningWithoutForgetting
from avalanche.training.plugins import EWCPlugin, MASPlugin
from avalanche.training.supervised.mer import MERBuffer
from torch.utils.data._utils.collate import default_collate_fn_map

from clearctl.strategies.loading.fetching import FetchedSample, collate_samples, samples_at
from clearctl.strategies.loading.rows import iter_values
from clearctl.strategies.methods.mer import with_memory
from clearctl.strategies.methods.penalties import distillation_loss, ewc_before_backward, mas_before_backward
from clearctl.strategies.patches.objects import OBJECTS
from clearctl.strategies.patches.process import PROCESS
from clearctl.strategies.patches.replaced import REPLACED
from clearctl.strategies.patches.row import Patch
from clearctl.strategies.patches.subclasses import SUBCLASSES

__all__ = ["PATCHES", "Patch", "applied"]

PATCHES: tuple[Patch, ...] = (*REPLACED, *PROCESS, *OBJECTS, *SUBCLASSES)

_REPLACED: tuple[tuple[type, str, Any], ...] = (
    (AvalancheDataset, "__getitems__", samples_at),
    (DataAttribute, "__iter__", iter_values),
    (type(DistributedHelper), "is_distributed", False),
    (LearningWithoutForgetting, "_distillation_loss", distillation_loss),
    (EWCPlugin, "before_backward", ewc_before_backward),
    (MASPlugin, "before_backward", mas_before_backward),
    (MERBuffer, "get_batch", with_memory),
)

_lock = threading.Lock()
_depth = 0  # of calls that are in progress, one in another or in several threads
_undo = ExitStack()


@contextmanager
def applied() -> Iterator[None]:
    """A context in which Avalanche and torch have the changes that a run needs; the last one to exit undoes them.

    The number of torch's threads and the TF32 switches, which a run may set, are restored too.
    """
    global _depth
    with _lock:
        if _depth == 0:
            _apply()
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _undo.close()


def _apply() -> None:
    for owner, name, value in _REPLACED:
        _undo.enter_context(_replaced(owner, name, value))
    default_collate_fn_map[FetchedSample] = collate_samples
    _undo.callback(default_collate_fn_map.pop, FetchedSample)
    _undo.enter_context(_switches_kept())


@contextmanager
def _replaced(owner: type, name: str, value: Any) -> Iterator[None]:
    """A context in which a class has `value` as its attribute `name`."""
    own, before = name in vars(owner), vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


@contextmanager
def _switches_kept() -> Iterator[None]:
    """Restore the number of torch's threads and the TF32 switches, if they were changed within."""
    threads, tf32 = torch.get_num_threads(), _tf32()
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if _tf32() != tf32:
            for owner, name, value in tf32:
                setattr(owner, name, value)


def _tf32() -> list[tuple[Any, str, Any]]:
    """(object, attribute, value) of torch's older switches of TF32 and of those that came after them.

    Where a program has set the newer ones, reading the older raises: they are left out.
    """
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    found = []
    for owner, name in (
        (products, "allow_tf32"),
        (convolutions, "allow_tf32"),
        (products, "fp32_precision"),
        (convolutions.conv, "fp32_precision"),  # type: ignore[attr-defined]
        (convolutions.rnn, "fp32_precision"),
    ):
        with suppress(RuntimeError):
            found.append((owner, name, getattr(owner, name)))
    return found
