"""Whether the device can be used in a process like those of the parts, and what the machine is."""

import shutil
import subprocess
from typing import Any

import torch
import torchvision

from benchmarks.gpu.check import Check
from benchmarks.gpu.findings import Findings
from benchmarks.machine import describe


def run(check: Check, findings: Findings) -> None:
    """One sum on the device. The process was forked from one that imported the libraries, as a sweep's runs are,
    if it can be used there: else in a new one."""
    with findings.noted("the device"):
        findings.equal("the device", int(torch.ones(2, device=check.device).sum()), 2)
        for name, value in {**describe("auto" if check.on_gpu else "cpu"), **_versions(check)}.items():
            findings.figure(name, value)


def _versions(check: Check) -> dict[str, Any]:
    found: dict[str, Any] = {"torchvision": torchvision.__version__}
    if check.on_gpu:
        free, total = torch.cuda.mem_get_info(check.device)
        found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "driver": _driver()}
        found |= {"memory_gb": round(total / 1e9, 1), "memory_free_gb": round(free / 1e9, 1)}
    return found


def _driver() -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout.split()
    return said[0] if said else None
