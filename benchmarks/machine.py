"""The machine that the figures were measured on."""

import os
import platform
import re
from pathlib import Path
from typing import Any


def describe(device: str) -> dict[str, Any]:
    """Processor, cores, threads, versions and device."""
    import torch

    on_gpu = device != "cpu" and torch.cuda.is_available()
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "system": platform.platform(),
    }


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()
