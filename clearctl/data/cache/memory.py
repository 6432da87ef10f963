"""How much memory this process may still take."""

import os
from contextlib import suppress
from pathlib import Path

from clearctl.cgroups import memory_left_bytes


def available_bytes() -> int:
    """What the system says is available, or less where a control group (a container, a batch job) has less left."""
    left = memory_left_bytes()
    return _of_system() if left is None else min(_of_system(), left)


def _of_system() -> int:
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, amount = line.partition(":")
            if name == "MemAvailable":
                return int(amount.split()[0]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
