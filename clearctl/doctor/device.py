"""Checks the devices of torch: GPUs with their driver, or why there is none."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from clearctl.doctor.checks import Check, ok, warning
from clearctl.doctor.imports import Imported
from clearctl.units import byte_size
from clearctl.wording import counted

VISIBLE = "CUDA_VISIBLE_DEVICES"
ON_CPU = "--device cpu works"


def check_device(torch: Imported) -> Iterator[Check]:
    """A line for each GPU, or one that says why torch sees none. Training on the CPU is possible in any case."""
    if torch.error is not None:
        yield warning("device", "unknown: torch cannot be imported")
    elif torch.facts_error is not None:
        yield warning("device", f"torch cannot list GPUs: {torch.facts_error}; {ON_CPU}")
    elif torch.facts["gpus"]:
        facts = torch.facts
        for index, gpu in enumerate(facts["gpus"]):
            yield _check_gpu(f"cuda:{index}", gpu)
        yield _check_driver(facts)
    else:
        yield _no_gpu(torch.facts)


def _check_gpu(name: str, gpu: Mapping[str, Any]) -> Check:
    what = f"{gpu['name']}, {byte_size(gpu['memory_bytes'])}, capability {gpu['capability']}"
    if gpu["fault"]:
        fix = "install a torch that is built for this GPU: https://pytorch.org/get-started/locally"
        return warning(name, f"{what}: torch cannot use it: {gpu['fault']}; {ON_CPU}", fix)
    return ok(name, what)


def _check_driver(facts: Mapping[str, Any]) -> Check:
    first = facts["gpus"][0]
    parts = [f"CUDA {facts['cuda']}", f"cuDNN {first['cudnn'] or 'unknown'}"]
    if facts["driver"]:
        parts.append(f"driver {facts['driver']} (for CUDA {facts['driver_cuda'] or 'unknown'})")
    return ok("CUDA", ", ".join(parts))


def _no_gpu(facts: Mapping[str, Any]) -> Check:
    """The check that says why torch uses the CPU; a warning if a driver says that there should be a GPU."""
    cpu = f"the CPU, with {counted(facts['threads'], 'thread')}"
    driver = f"driver {facts['driver']} (for CUDA {facts['driver_cuda'] or 'unknown'})"
    if facts["driver"] is None:
        return ok("device", f"{cpu}; no NVIDIA driver found")
    if facts["cuda"] is None:
        fix = "install a torch with CUDA: https://pytorch.org/get-started/locally"
        return warning("device", f"{cpu}: torch is built without CUDA, but the machine has {driver}", fix)
    if VISIBLE in os.environ:
        return ok("device", f"{cpu}: ${VISIBLE} is {os.environ[VISIBLE]!r}", f"unset {VISIBLE}")
    fix = f"update the driver, or install a torch for CUDA {facts['driver_cuda'] or 'of the driver'}"
    return warning("device", f"{cpu}: torch's CUDA {facts['cuda']} finds no GPU with {driver}; {ON_CPU}", fix)
