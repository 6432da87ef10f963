"""A run's use of its device: precision, memory format, compilation, TF32. All are off unless the config sets them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from clearctl.config.settings import ComputeSettings
from clearctl.errors import CapabilityError
from clearctl.models.classifier import Classifier
from clearctl.models.compiling import compile_fault
from clearctl.models.precision import DTYPES
from clearctl.progress import Listener, Message


def accelerate(compute: ComputeSettings, model: nn.Module, device: torch.device, listener: Listener) -> None:
    """Make `model`, in place, compute on `device` as `precision`, `channels_last`, `compile` and `tf32` say.

    Names and values of its weights stay. Raises CapabilityError if `compile` is requested and does not work here.
    """
    allow_tf32(compute.tf32, device)
    if not isinstance(model, Classifier):
        return  # a torchmodel, with which the check lets none of the others pass
    warn_of_slow_precision(device, compute.precision, listener)
    model.autocast = None if compute.precision == "fp32" else DTYPES[compute.precision]
    if compute.channels_last:
        model.to(memory_format=torch.channels_last)
        model.channels_last = True
    if compute.compile:
        require_compiler(device)
        model.compile_parts()


def allow_tf32(allowed: bool, device: torch.device) -> None:
    """Allow or forbid TF32 in CUDA's matrix products and convolutions; torch by itself has it on in the latter.

    These are torch's older switches, which keep the newer ones (`fp32_precision`) in step, in torch 2.11 as in 2.15.
    Set by the newer ones, reading the older raises, and torch's own compiler and `cudnn.flags` do read them.
    """
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = allowed
        torch.backends.cudnn.allow_tf32 = allowed


def require_compiler(device: torch.device) -> None:
    """Raise CapabilityError, saying what is missing, unless torch.compile works here; found by compiling a sum."""
    try:
        torch.compile(_sum)(torch.ones(8, device=device))
    except Exception as error:
        needed = "Triton and a C compiler" if device.type == "cuda" else "a C++ compiler such as g++"
        raise CapabilityError(
            f"compile=True: torch.compile does not work on this machine: {compile_fault(error)}\n"
            f"install {needed}, or leave compile out"
        ) from error


def _sum(x: torch.Tensor) -> torch.Tensor:
    return (2 * x + 1).sum()


def warn_of_slow_precision(device: torch.device, precision: str, listener: Listener) -> None:
    """Report if the processor only imitates the precision, which is slower than float32."""
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.11 has no such function
    if device.type != "cpu" or precision == "fp32" or capabilities.get("architecture") != "x86_64":
        return
    if not any(capabilities.get(f"{unit}_{precision}") for unit in ("avx512", "amx")):
        listener(Message(f"this processor does not support {precision}: --precision fp32 is faster here", warning=True))
