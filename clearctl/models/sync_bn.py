"""Batch norms over the rows of all processes, whose result does not depend on the number of processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from clearctl.errors import ConfigError

_synchronises = False  # no ContextVar, which torch.compile does not read


@contextmanager
def synchronising() -> Iterator[None]:
    """A context in which each process passes its own rows of a batch; otherwise all pass the same rows."""
    global _synchronises
    _synchronises = True
    try:
        yield
    finally:
        _synchronises = False


class SyncBatchNorm(nn.SyncBatchNorm):
    """torch's, which works on GPUs alone; and the same on a CPU."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """`input [n, C, ...]`, the rows of this process, normalised by those of all processes while synchronising."""
        if not _synchronises or not (self.training or self.running_mean is None):
            return _BatchNorm.forward(self, input)
        if input.is_cuda and self.training:
            return super().forward(input)
        self._check_input_dim(input)
        wide = torch.promote_types(input.dtype, torch.float32)  # as torch computes under autocast
        x = input.transpose(0, 1).flatten(1).to(wide)  # [C, M]
        sums: torch.Tensor = _Sum.apply(torch.stack([torch.full_like(x[:, 0], x.shape[1]), x.sum(1)]))
        count, mean = sums[0], sums[1] / sums[0]
        deviations = x - mean[:, None]
        squares: torch.Tensor = _Sum.apply(deviations.pow(2).sum(1))
        variance = squares / count
        if self.training:
            self._follow(mean.detach(), (squares / (count - 1)).detach())
        y = deviations * (variance + self.eps).rsqrt()[:, None]
        y = y.reshape(input.shape[1], input.shape[0], *input.shape[2:]).transpose(0, 1)
        if self.affine:
            shape = (1, -1, *[1] * (input.ndim - 2))
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(input.dtype)

    def _follow(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Update the running mean and variance, as torch does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class _Sum(torch.autograd.Function):
    """The sum over the processes; its gradient is summed, too."""

    @staticmethod
    def forward(ctx: Any, own: torch.Tensor) -> torch.Tensor:
        total = own.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total


def synchronised(network: nn.Module) -> nn.Module:
    """`network` with its batch norms over the rows of all processes; names and values of the weights stay.

    Raises ConfigError for batch norms that do more than normalise, as timm's BatchNormAct2d has an activation in it:
    torch's conversion would leave that out.
    """
    plain = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, SyncBatchNorm)
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm) and type(module) not in plain:
            kind = type(module).__name__
            raise ConfigError(
                f"sync_bn: {name} is a {kind}, which does more than a batch norm and would lose that\n"
                "leave sync_bn out, or use a network with torch's own batch norms"
            )
    made: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    for module in made.modules():
        if type(module) is nn.SyncBatchNorm:
            module.__class__ = SyncBatchNorm
    return made
