"""The device, deterministic algorithms, and facts about the machine of a run."""

import importlib.metadata
import logging
import multiprocessing
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from clearctl.config.ranges import MOST_PROCESSES
from clearctl.distributed import world
from clearctl.engine.gpu import describe_gpu
from clearctl.errors import CapabilityError, UsageError
from clearctl.progress import Listener, Message, ignore
from clearctl.shortage import shortage
from clearctl.version import __version__
from clearctl.wording import counted

MOST_AT_ONCE = 2**31 - 1

PACKAGES = ("torch", "torchvision", "avalanche-lib", "mmcls", "mmcv", "numpy", "pillow", "wandb")
# A matrix product on a GPU gives the same bits each time only with a work space of this kind.
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_CUBLAS_DETERMINISTIC = (":4096:8", ":16:8")


def resolve_device(name: str) -> torch.device:
    """`auto` (a GPU, else the CPU), `cpu`, `cuda` or `cuda:N`; of several processes each has its own GPU.

    A GPU comes with its index, as its tensors have it: `cuda` is torch's current one, which is the first unless the
    program has chosen another. Raises UsageError for another name and CapabilityError for a GPU that does not exist.
    """
    kind, _, index = name.partition(":")
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", name):
        raise UsageError(f"--device {name}: expected auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if world.size() > 1 and kind != "cpu" and (count or kind == "cuda"):
        return _gpu_of_process(name, count)
    if kind == "cpu" or (kind == "auto" and not count):
        return torch.device("cpu")
    if int(index or 0) >= count:
        found = counted(count, "GPU") if count else "no GPU that torch can use"
        raise CapabilityError(f"--device {name}: this machine has {found}\nuse --device cpu, or --device auto")
    return torch.device("cuda", int(index) if index else _current_gpu())


def _current_gpu() -> int:
    """The index of torch's current GPU: the first as long as nobody has used any."""
    return torch.cuda.current_device() if torch.cuda.is_initialized() else 0  # type: ignore[no-untyped-call]


@contextmanager
def current_device(device: torch.device) -> Iterator[None]:
    """A context in which `device`, if it is a GPU, is the one that torch uses by default; in this thread.

    The place where a command chooses its GPU, before it first uses one. Else streams, pinned memory and a library's
    `.cuda()` would use the first GPU next to it, where a context alone takes hundreds of MB.
    """
    if device.type != "cuda":
        yield
        return
    with torch.cuda.device(device):  # at the end it makes the one before the current one again, but no context there
        yield


def _gpu_of_process(name: str, count: int) -> torch.device:
    """The GPU of this process, of the `count` of its machine."""
    if ":" in name:
        raise UsageError(f"--device {name}: each of {world.size()} processes needs its own GPU: use --device cuda")
    if world.local_size() > count:
        raise CapabilityError(
            f"--device {name}: {world.local_size()} processes on a machine with {count} GPUs\n"
            "start one process for each GPU, or use --device cpu"
        )
    return torch.device("cuda", world.local_rank())


def check_batches(batch_size: int | None, workers: int | None) -> None:
    """Raise UsageError for a number of images at once, or of processes that decode them, that cannot be."""
    for option, number, kind, least, most in (
        ("--batch-size", batch_size, "images", 1, MOST_AT_ONCE),
        ("--workers", workers, "processes", 0, MOST_PROCESSES),
    ):
        if number is not None and number < least:
            raise UsageError(f"{option} {number} is not a number of {kind} ≥ {least}")
        if number is not None and number > most:
            raise UsageError(f"{option} {number}: expected at most {most:,} {kind}")


def require_worker_processes(workers: int) -> None:
    """Raise CapabilityError if loaders cannot have worker processes, as in a container without /dev/shm."""
    if not workers:
        return
    try:
        multiprocessing.Lock()
    except OSError as error:
        raise shortage(error) or error from None


@contextmanager
def hide_gpus() -> Iterator[None]:
    """Answer False to `torch.cuda.is_available()`, for imports in a process that forks others which use a GPU.

    mmcv asks as it is imported (through torch.utils.cpp_extension). The real answer loads CUDA's driver, after which
    every process forked from this one refuses to use a GPU.
    """
    asked = torch.cuda.is_available
    torch.cuda.is_available = lambda: False
    logger = logging.getLogger("torch.utils.cpp_extension")  # which would warn that there is no GPU
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        torch.cuda.is_available = asked
        logger.setLevel(level)


@contextmanager
def deterministic_algorithms(wanted: bool, device: torch.device, listener: Listener = ignore) -> Iterator[None]:
    """A context in which torch uses deterministic algorithms only, if `wanted`; restores the previous settings.

    Raises CapabilityError if an operation has none on `device`.
    """
    if not wanted:
        yield
        return
    listener(Message(_cost_of_determinism(device)))
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, workspace = torch.backends.cudnn.benchmark, os.environ.get(_CUBLAS)
    if os.environ.get(_CUBLAS) not in _CUBLAS_DETERMINISTIC:
        os.environ[_CUBLAS] = _CUBLAS_DETERMINISTIC[0]  # read when cuBLAS is used first, which is within
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False  # which takes the algorithm that is the fastest at the moment
    try:
        yield
    except RuntimeError as error:
        without = re.search(r"(\w+) does not have a deterministic implementation", str(error))
        if without is None and _CUBLAS not in str(error):
            raise
        what = f"torch has no deterministic {without[1]} on {device.type}" if without else f"{_CUBLAS} was set too late"
        remedy = "leave deterministic out, or use --device cpu" if without else "start it in a new process"
        raise CapabilityError(f"deterministic=True: {what}\n{remedy}") from None
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmark
        os.environ.pop(_CUBLAS, None)
        if workspace is not None:
            os.environ[_CUBLAS] = workspace


def _cost_of_determinism(device: torch.device) -> str:
    if device.type == "cpu":
        return "deterministic=True: no measurable slowdown on a CPU"
    return (
        "deterministic=True: torch's deterministic algorithms are slower on a GPU and take 24 MB more there;"
        " `train --dry-run` with and without it shows how much slower"
    )


def describe(device: torch.device, dataset: dict[str, Any], seed: int) -> dict[str, Any]:
    """The content of environment.json; `dataset` is the stream's own description."""
    return {
        "clearctl": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages(),
        "device": str(device),
        "device_name": device_name(device),
        "gpu": describe_gpu(device),
        "torch_threads": torch.get_num_threads(),
        "processes": world.size(),
        "git": _git_commit(),
        "seed": seed,
        "dataset": dataset,
    }


def packages() -> dict[str, str | None]:
    """The versions of the libraries that results depend on; None for one that is not installed."""
    return {name: _version(name) for name in PACKAGES}


def device_name(device: torch.device) -> str:
    """The manufacturer's name of the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "CPU"


@cache
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
