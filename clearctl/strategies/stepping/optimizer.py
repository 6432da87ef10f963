"""The calls of a step to torch's optimizers without the labels of a profiler, which take longer than SGD itself."""

from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim import optimizer as torchs


def clear_gradients(optimizer: Optimizer) -> None:
    """`optimizer.zero_grad()`."""
    if type(optimizer).zero_grad is not Optimizer.zero_grad or "zero_grad" in vars(optimizer) or _is_profiled():
        optimizer.zero_grad()
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def update_weights(optimizer: Optimizer) -> None:
    """`optimizer.step()`; directly if no hook is called before or after it, and no profiler waits for its label."""
    step: Any = vars(optimizer).get("step", type(optimizer).step)
    has_scheduler = getattr(step, "_wrapped_by_lr_sched", False)  # which notes that there was a step
    labelled: Any = step.__wrapped__ if has_scheduler else step
    if labelled != type(optimizer).step or not getattr(labelled, "hooked", False) or _is_watched(optimizer):
        optimizer.step()
        return
    if has_scheduler:
        optimizer._opt_called = True  # type: ignore[attr-defined]
    labelled.__wrapped__(optimizer)


def _is_watched(optimizer: Optimizer) -> bool:
    return bool(
        optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        or torchs._global_optimizer_pre_hooks
        or torchs._global_optimizer_post_hooks
        or _is_profiled()
    )


def _is_profiled() -> bool:
    return bool(torch.autograd._profiler_enabled())  # type: ignore[attr-defined]
