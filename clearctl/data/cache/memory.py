"""How much memory this process may still take."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def available_bytes() -> int:
    """What the system says is available, or less where a control group (a container, a batch job) has less left."""
    return min([_of_system(), *_of_control_groups()])


def _of_system() -> int:
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, amount = line.partition(":")
            if name == "MemAvailable":
                return int(amount.split()[0]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _of_control_groups() -> Iterator[int]:
    """What is left in this process's control group (of version 2 or 1) and in each above it that has a limit."""
    with suppress(OSError, ValueError):
        for line in _OWN.read_text().splitlines():
            number, controllers, group = line.split(":", 2)
            if (number, controllers) == ("0", ""):
                yield from _left(_CGROUPS, group, "memory.max", "memory.current", "inactive_file")
            elif "memory" in controllers.split(","):
                files = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
                yield from _left(_CGROUPS / "memory", group, *files)


def _left(root: Path, group: str, limit: str, used: str, droppable: str) -> Iterator[int]:
    with suppress(OSError, ValueError):
        own = root / group.strip("/")
        for folder in [own, *own.parents]:
            if (folder / limit).is_file() and (text := (folder / limit).read_text().strip()) != "max":
                counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                taken = int((folder / used).read_text()) - int(counts.get(droppable, 0))  # files are dropped on need
                yield max(0, int(text) - taken)
