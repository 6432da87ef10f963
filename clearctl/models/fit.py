"""Checks that a network fits its input and its classes, with one forward pass that leaves no trace."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from clearctl.distributed.randomness import preserve_random_states
from clearctl.models.classifier import Classifier
from clearctl.wording import in_one_line


@dataclass(frozen=True)
class Mismatch:
    """A mismatch: the dotted `key` below the model section, and what was found and expected there."""

    key: str
    text: str


def find_mismatch(network: nn.Module, x: torch.Tensor, num_classes: int) -> Mismatch | None:
    """The first thing that keeps `network` from scoring `num_classes` classes of `x [B, ...]`, a small batch, or None.

    Generators, batch norms and the train mode stay as they are.
    """
    with without_side_effects(network):
        found = _of_classifier(network, x) if isinstance(network, Classifier) else _of_module(network, x)
    if isinstance(found, Mismatch):
        return found
    if found.ndim != 2 or found.shape[1] < num_classes:
        key = "head" if isinstance(network, Classifier) else "torchmodel"
        shape = list(found.shape[1:])
        return Mismatch(key, f"it gives {shape} numbers for each sample, but the dataset has {num_classes} classes")
    return None


def _of_classifier(network: Classifier, x: torch.Tensor) -> torch.Tensor | Mismatch:
    """The scores, or what does not fit on the way to them."""
    taken: Any = x
    for name in ("backbone", "neck"):
        part = getattr(network, name)
        if part is None:
            continue
        try:
            taken = part(taken)
        except Exception as error:
            what = f"a sample of shape {list(x.shape[1:])}" if taken is x else "the backbone's output"
            return Mismatch(name, f"{type(part).__name__} rejects {what}: {in_one_line(error)}")
        if isinstance(taken, tuple) and not taken:
            return Mismatch(name, f"{type(part).__name__} has no output: its out_indices contain no existing stage")
    try:
        found = _widths(network.head, taken)
    except ValueError as error:
        return Mismatch("neck" if network.backbone is not None else "backbone", str(error))
    expected = getattr(network.head, "in_channels", None)
    if expected is not None and _plain(expected) != found:
        giver = "backbone and neck give" if network.backbone is not None else "the features have"
        return Mismatch("head.in_channels", f"found {_plain(expected)}, but {giver} {found} numbers for each sample")
    try:
        scores: torch.Tensor = network(x)
    except Exception as error:
        return Mismatch("head", f"{type(network.head).__name__} rejects its input: {in_one_line(error)}")
    return scores


def _of_module(network: nn.Module, x: torch.Tensor) -> torch.Tensor | Mismatch:
    if isinstance(network, nn.Linear) and network.in_features != x.shape[-1]:
        text = f"found {network.in_features}, but a sample has the shape {list(x.shape[1:])}"
        return Mismatch("torchmodel.in_features", text)
    try:
        scores: torch.Tensor = network(x)
    except Exception as error:
        what = f"a sample of shape {list(x.shape[1:])}"
        return Mismatch("torchmodel", f"{type(network).__name__} rejects {what}: {in_one_line(error)}")
    return scores


def _widths(head: Any, features: Any) -> int | tuple[int, ...]:
    """D of the vectors `[B, D]` that mmcls's heads read: of the last stage the tensor, or the class token next to it.

    Two numbers, (convolution, transformer), for a head that has two in_channels. Raises ValueError for feature maps.
    """
    last = features[-1] if isinstance(features, tuple) else features
    several = isinstance(getattr(head, "in_channels", None), Sequence)
    if isinstance(last, torch.Tensor):
        vectors = [last]
    elif several:
        vectors = list(last)
    else:
        vectors = [last[1]]  # of [patches, class token] or [patches, class token, distillation token]
    for vector in vectors:
        if vector.ndim != 2:
            shape = list(vector.shape[1:])
            raise ValueError(
                f"the head takes a vector for each sample, but gets the shape {shape}:"
                " add neck=dict(type='GlobalAveragePooling')"
            )
    widths = tuple(int(vector.shape[1]) for vector in vectors)
    return widths if several else widths[0]


@contextmanager
def without_side_effects(network: nn.Module) -> Iterator[None]:
    """A context in which passes through `network` change no generators, batch norms or mode, and build no graph."""
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad(), preserve_random_states():
            yield
    finally:
        network.train(was_training)


def _plain(in_channels: Any) -> Any:
    return tuple(in_channels) if isinstance(in_channels, Sequence) else in_channels
