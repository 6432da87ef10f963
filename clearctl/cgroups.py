"""The limits of this process's control groups (version 2 or 1), as a container or a batch job sets them."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_NO_LIMIT_BYTES = 1 << 60  # version 1 writes about this number for "no limit"


def memory_limit_bytes() -> int | None:
    """The smallest memory limit of this process's groups; None if there is no limit."""
    return min((limit for limit, _ in _memory()), default=None)


def memory_left_bytes() -> int | None:
    """Bytes left of that limit; None if there is no limit. The page cache counts as free: it can be dropped."""
    return min((max(0, limit - taken) for limit, taken in _memory()), default=None)


def cpu_quota() -> float | None:
    """The smallest CPU quota of this process's groups, in CPUs; None if there is no limit."""
    quotas = []
    for folder in _groups("cpu"):
        with suppress(OSError, ValueError):
            if (folder / "cpu.max").is_file():
                quota, period = (folder / "cpu.max").read_text().split()
            else:
                quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
            if quota not in ("max", "-1"):
                quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def _memory() -> Iterator[tuple[int, int]]:
    """(limit, memory in use that cannot be dropped) of each group with a limit, in bytes."""
    for folder in _groups("memory"):
        limit, used, droppable = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        if not (folder / limit).is_file():
            limit, used, droppable = "memory.max", "memory.current", "inactive_file"
        with suppress(OSError, ValueError):
            text = (folder / limit).read_text().strip()
            if text != "max" and int(text) < _NO_LIMIT_BYTES:
                counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                yield int(text), int((folder / used).read_text()) - int(counts.get(droppable, 0))


def _groups(controller: str) -> Iterator[Path]:
    """The folder of this process's group for `controller`, and of each parent group."""
    with suppress(OSError, ValueError):
        for line in _OWN.read_text().splitlines():
            number, controllers, group = line.split(":", 2)
            if (number, controllers) == ("0", ""):
                root = _CGROUPS
            elif controller in controllers.split(","):
                root = _CGROUPS / controller
            else:
                continue
            own = root / group.strip("/")
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(root))
