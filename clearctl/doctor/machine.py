"""Checks cores, memory and disk space."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from clearctl.cgroups import cpu_quota, memory_limit_bytes
from clearctl.cores import usable_cores
from clearctl.data.cache.memory import available_bytes
from clearctl.doctor.checks import Check, ok, warning
from clearctl.units import byte_size
from clearctl.wording import counted

LEAST_MEMORY_BYTES = 2_000_000_000  # the libraries alone take 0.9 GB
LEAST_DISK_BYTES = 1_000_000_000  # what the cache of decoded images leaves free
# A batch of 64 images of 224 px is 39 MB, of which each of `data.workers` has two in progress. Docker gives 64 MB.
LEAST_SHARED_BYTES = 500_000_000
SHARED = Path("/dev/shm")


def check_cores() -> Iterator[Check]:
    """Check the number of CPU cores that this process may use, by its affinity and by its control groups."""
    usable, there, quota = usable_cores(), os.cpu_count() or 1, cpu_quota()
    found = counted(usable, "core") + (f" of {there}" if usable < there else "")
    if quota is None or quota >= usable:
        yield ok("cores", found)
        return
    found += f", limited to {quota:g} by the control group"
    threads = max(1, int(quota))
    if int(os.environ.get("OMP_NUM_THREADS") or usable) <= threads:
        yield ok("cores", f"{found}; $OMP_NUM_THREADS matches")
    else:
        yield warning("cores", f"{found}: more threads are slower", f"export OMP_NUM_THREADS={threads}")


def check_memory() -> Iterator[Check]:
    """Total and available memory, within the limit of a container or batch job."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    available, limit = available_bytes(), memory_limit_bytes()
    found = f"{byte_size(available)} available of {byte_size(total)}"
    if limit is not None and limit < total:
        found += f", limited to {byte_size(limit)} by the control group"
    if available < LEAST_MEMORY_BYTES:
        yield warning("memory", f"{found}: the libraries alone take 0.9 GB", "stop other programs, or raise the limit")
    else:
        yield ok("memory", found)


def check_disks(dataset_root: Path) -> Iterator[Check]:
    """Free space for the dataset, the runs and temporary files."""
    yield _room("disk of the dataset", existing(dataset_root), LEAST_DISK_BYTES)
    yield _room("disk of work_dirs", existing(Path("work_dirs")), LEAST_DISK_BYTES)
    yield _room("temporary folder", Path(tempfile.gettempdir()), LEAST_DISK_BYTES, "export TMPDIR=DIR, with more space")


def check_shared_memory() -> Iterator[Check]:
    """Room in /dev/shm, through which the workers of a loader hand over batches."""
    if SHARED.is_dir():
        need = "for `data.workers` above 0"
        yield _room("/dev/shm", SHARED, LEAST_SHARED_BYTES, f"{need}: docker run --shm-size=8g")


def _room(name: str, folder: Path, least_bytes: int, fix: str = "remove what is not needed there") -> Check:
    free = shutil.disk_usage(folder).free
    found = f"{byte_size(free)} free" + ("" if name == str(folder) else f" in {shown(folder)}")
    if free < least_bytes:
        return warning(name, f"{found}: expected {byte_size(least_bytes)}", fix)
    return ok(name, found)


def existing(folder: Path) -> Path:
    """`folder`, or its nearest existing parent."""
    folder = folder.absolute()
    return next((place for place in (folder, *folder.parents) if place.is_dir()), Path(folder.anchor))


def shown(folder: Path) -> str:
    """The path with `~` for the home folder, as a shell shows it."""
    home = Path.home() if "HOME" in os.environ else None
    if home is not None and home != Path(home.anchor) and folder.is_relative_to(home):
        return os.path.join("~", folder.relative_to(home)) if folder != home else "~"
    return str(folder)


def write_fault(folder: Path) -> str | None:
    """The reason why nothing can be written in `folder`, or where it would be made, or None. Leaves nothing there."""
    place = existing(folder)
    in_the_way = next((path for path in (folder, *folder.parents) if os.path.isfile(path)), None)
    if in_the_way is not None:
        return f"{shown(in_the_way)} is a file"
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(4096))
    except OSError as error:
        reason = "no space is left" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
        return f"{shown(place)} cannot be written: {reason}"
    return None
