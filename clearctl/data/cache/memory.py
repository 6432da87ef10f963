"""How much memory is available to this process."""

import os
import resource
from contextlib import suppress
from pathlib import Path

from clearctl.cgroups import memory_left_bytes


def available_bytes() -> int:
    """What the system says is available, or less where a control group (a container, a batch job) has less left.

    Or where RLIMIT_DATA (`ulimit -d`) has.
    """
    limited = [left for left in (memory_left_bytes(), _of_data_limit()) if left is not None]
    return min([_of_system(), *limited])


def _of_data_limit() -> int | None:
    """What is left of RLIMIT_DATA, the memory of a process's own that it may have; None if there is no limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if limit == resource.RLIM_INFINITY:
        return None
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, amount = line.partition(":")
            if name == "VmData":
                return max(0, limit - int(amount.split()[0]) * 1024)
    return None


def _of_system() -> int:
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, amount = line.partition(":")
            if name == "MemAvailable":
                return int(amount.split()[0]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
