"""The device, the random generators, and what is worth knowing of the machine a run was made on."""

import importlib.metadata
import platform
import random
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clearctl import __version__
from clearctl.errors import CapabilityError, UsageError

PACKAGES = ("torch", "torchvision", "avalanche-lib", "mmcls", "mmcv", "numpy", "pillow", "wandb")


def resolve_device(name: str) -> torch.device:
    """`auto` (the first GPU, else the CPU), `cpu`, `cuda` or `cuda:N`.

    Raises UsageError for another name and CapabilityError for a GPU that is not there.
    """
    kind, _, index = name.partition(":")
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", name):
        raise UsageError(f"--device {name}: expected auto, cpu, cuda or cuda:N")
    if kind == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            found = f"{count} GPU{'s' if count > 1 else ''}" if count else "no GPU that torch can use"
            raise CapabilityError(f"--device {name}: this machine has {found}\nuse --device cpu, or --device auto")
    return torch.device(name)


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators: the one place where a run is seeded."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def describe(device: torch.device, dataset_root: Path, fingerprint: str, seed: int) -> dict[str, Any]:
    """What environment.json holds."""
    return {
        "clearctl": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages(),
        "device": str(device),
        "device_name": device_name(device),
        "torch_threads": torch.get_num_threads(),
        "git": _git_commit(),
        "seed": seed,
        "dataset": {"root": str(dataset_root), "fingerprint": fingerprint},
    }


def packages() -> dict[str, str | None]:
    """The versions of the libraries that results depend on; None for one that is not installed."""
    return {name: _version(name) for name in PACKAGES}


def device_name(device: torch.device) -> str:
    """What the device is called by its maker."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "CPU"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the working directory, with `-dirty` if it has changes; None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
