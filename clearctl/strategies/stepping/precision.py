"""Training in float16 with loss scaling, so that small gradients are not lost, for any strategy."""

import logging
from functools import partial

import torch

from clearctl.distributed import world
from clearctl.models.classifier import loss_scaled
from clearctl.strategies.strategy import Strategy

_LOG = logging.getLogger(__name__)


def scale_loss(strategy: Strategy) -> None:
    """Scale the loss of `strategy` by torch's GradScaler in `strategy.scaler`, which adapts the factor.

    Its `forward`, `backward` and `optimizer_step` are replaced, on this one object. The gradients are unscaled when
    `backward` ends, so that plugins (A-GEM and GEM project them, others clip or sum them) see them as in float32.
    If one overflows, all are 0 and the step is left out. A plugin's own pass that ends in its own backward
    (A-GEM's and GEM's memories, EWC's and MAS's importances) knows of no scale: the network runs it in float32.
    """
    # Where processes share a pass, gradients are multiplied by their number on the way back (`models.parallel`).
    strategy.scaler = torch.amp.GradScaler(strategy.device.type, init_scale=2.0**16 / world.size())
    strategy.forward = partial(_forward, strategy)
    strategy.backward = partial(_backward, strategy)
    strategy.optimizer_step = partial(_optimizer_step, strategy)


def _forward(strategy: Strategy, **arguments: object) -> torch.Tensor:
    with loss_scaled():
        return type(strategy).forward(strategy, **arguments)


def _backward(strategy: Strategy) -> None:
    scaler, optimizer = strategy.scaler, strategy.optimizer
    scaler.scale(strategy.loss).backward(retain_graph=strategy.retain_graph)  # type: ignore[no-untyped-call]
    scaler.unscale_(optimizer)
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    largest = torch.nn.utils.get_total_norm(gradients, norm_type=float("inf"))
    if not bool(largest.isfinite()):  # waits for the device, as the scaler does at each step anyway
        # Left as they are they would end GEM's solver, and turn the sums of synaptic intelligence into NaN.
        torch._foreach_zero_(gradients)
        if 0.5 <= scaler.get_scale() < 1:  # once on the way down
            _LOG.warning("fp16 overflows for this network, and its steps are skipped: use bf16 or fp32")


def _optimizer_step(strategy: Strategy) -> None:
    strategy.scaler.step(strategy.optimizer)
    strategy.scaler.update()
