"""Facts about the GPU of a run, in addition to its name, and how much of its memory the run may plan with."""

import ctypes
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch

NVML = "libnvidia-ml.so.1"  # comes with the driver
_COMPUTES = {"driver": "the GPU's driver", "cuda": "CUDA", "cudnn": "cuDNN"}
_VERSION_BYTES = 80  # NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE
_runs = 1


def share_gpu(runs: int) -> None:
    """Let this process plan with its part of a GPU's memory: `runs` of a sweep use the GPU at a time."""
    global _runs
    _runs = runs


def free_bytes(device: torch.device) -> int:
    """The free memory of a GPU, or this process's part of it. Others may take more, or less, in the meantime."""
    free: int = torch.cuda.mem_get_info(device)[0]
    return free // _runs


def describe_gpu(device: torch.device) -> dict[str, Any] | None:
    """The entry for a GPU in environment.json and extraction.json; None for the CPU.

    `driver` and `driver_cuda` are the driver's version and the newest CUDA that it knows, `cuda` and `cudnn` those of
    torch; each is None if it cannot be found out. `capability` is that of the hardware, as in "9.0".
    """
    if device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(device)
    driver, driver_cuda = driver_versions()
    return {
        "driver": driver,
        "driver_cuda": driver_cuda,
        "cuda": torch.version.cuda,
        "cudnn": _cudnn(),
        "memory_bytes": properties.total_memory,
        "capability": f"{properties.major}.{properties.minor}",
    }


def driver_versions() -> tuple[str | None, str | None]:
    """(version of NVIDIA's driver, version of CUDA that it is for), by NVML; None for what it does not say."""
    driver = newest = None
    with suppress(OSError, AttributeError):  # no such library, or no such function in it
        nvml = ctypes.CDLL(NVML)
        if nvml.nvmlInit_v2() == 0:
            try:
                text, number = ctypes.create_string_buffer(_VERSION_BYTES), ctypes.c_int()
                if nvml.nvmlSystemGetDriverVersion(text, _VERSION_BYTES) == 0:
                    driver = text.value.decode(errors="replace")
                if nvml.nvmlSystemGetCudaDriverVersion(ctypes.byref(number)) == 0:
                    newest = f"{number.value // 1000}.{number.value % 1000 // 10}"
            finally:
                nvml.nvmlShutdown()
    return driver, newest


def changes_of_gpu(before: dict[str, Any] | None, now: dict[str, Any] | None) -> Iterator[str]:
    """Yields the differences between two descriptions of a GPU, in what both of them know."""
    for key, name in _COMPUTES.items():
        earlier, later = (before or {}).get(key), (now or {}).get(key)
        if None not in (earlier, later) and earlier != later:
            yield f"{name} was {earlier} and is {later}"


def _cudnn() -> str | None:
    """cuDNN's version: 92600 is 9.26.0, and before 9.0 it was 8907 for 8.9.7."""
    number = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    if number is None:
        return None
    major, rest = divmod(number, 10_000) if number >= 90_000 else divmod(number, 1000)
    return f"{major}.{rest // 100}.{rest % 100}"
