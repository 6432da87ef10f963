"""A network whose passes are shared by the processes of a run: each computes some rows, and all get all scores.

Whoever calls the network, with whatever loss, sees the whole batch, its scores and, after backward, its gradient: a
strategy and its plugins need not know. The network stays the object that it is, with two hooks.

This is not torch's DistributedDataParallel, which would have to be called in its place, while plugins call, copy and
differentiate the network itself; and which changes the memory layout of gradients after its first step, so that the
sums over three processes are rounded elsewhere, and a run that was resumed differs from one that never stopped.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from itertools import groupby
from typing import Any, cast

import torch
from torch import distributed, nn
from torch.autograd import Variable

from clearctl.distributed import world
from clearctl.distributed.randomness import rank_random_numbers
from clearctl.distributed.split import BatchSplit, Shard, split_of
from clearctl.models.classifier import head_outputs, sum_of_outputs
from clearctl.models.sync_bn import synchronising


def share_passes(network: nn.Module) -> None:
    """Share all passes of `network`, in place, among the processes of the run; and those of its deep copies."""
    shared = _SharedPasses()
    network.register_forward_pre_hook(shared.before)
    network.register_forward_hook(shared.after)


class _SharedPasses:
    """The hooks of one network: a pass is between `before` and `after`."""

    def __init__(self) -> None:
        self._buffers_differ = False  # batch norms' running means, of which each process has those of its rows
        self._reduces = False
        self._split: BatchSplit | None = None
        self._within = ExitStack()

    def before(self, network: nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """Take the rows of this process, unless no others were read."""
        (x,) = arguments
        self._split = split_of(x.sizes if isinstance(x, Shard) else (len(x),), x.device)
        rows = self._split.rows(x)
        if self._buffers_differ:
            _in_one(_running(network), lambda flat: distributed.broadcast(flat, 0))
        self._buffers_differ = network.training
        if self._split.is_cut:
            self._within.enter_context(synchronising())
            if network.training:
                self._within.enter_context(rank_random_numbers(x.device))
        return (rows,)

    def after(self, network: nn.Module, arguments: Any, scores: torch.Tensor) -> torch.Tensor:
        """Put together the scores of all rows."""
        self._within.close()
        assert self._split is not None
        outputs = head_outputs(scores)
        whole = [self._split.gathered(output, partial(self._reduce_later, network)) for output in outputs]
        return whole[0] if len(whole) == 1 else sum_of_outputs(tuple(whole))

    def _reduce_later(self, network: nn.Module) -> None:
        """At the end of this backward pass, replace each gradient by its mean over the processes."""
        if not self._reduces:
            self._reduces = True
            cast(Any, Variable)._execution_engine.queue_callback(partial(self._reduce, network))

    def _reduce(self, network: nn.Module) -> None:
        self._reduces = False
        _in_one((p.grad for p in network.parameters() if p.grad is not None), _mean)


def _running(network: nn.Module) -> Iterable[torch.Tensor]:
    return (buffer for buffer in network.buffers() if buffer.is_floating_point())


def _mean(flat: torch.Tensor) -> None:
    distributed.all_reduce(flat.div_(world.size()))


def _in_one(tensors: Iterable[torch.Tensor], exchange: Callable[[torch.Tensor], Any]) -> None:
    """Do `exchange` to the numbers of all `tensors` in one, for each dtype, in place."""
    for _, group in groupby(sorted(tensors, key=lambda one: str(one.dtype)), lambda one: one.dtype):
        parts = list(group)
        flat = torch.cat([part.detach().reshape(-1) for part in parts])
        exchange(flat)
        numbers = torch.split(flat, [part.numel() for part in parts])
        # `data`, since a backward of an earlier pass may follow, which does not involve batch norms' running means.
        torch._foreach_copy_(
            [part.data for part in parts], [own.view_as(part) for own, part in zip(numbers, parts, strict=True)]
        )
