"""Chooses where decoded images are kept: on disk, in memory, or nowhere."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clearctl.data.cache.memory import available_bytes
from clearctl.data.cache.store import ImageStore
from clearctl.errors import CapabilityError, DatasetError
from clearctl.units import byte_size

Cache = Literal["auto", "off", "ram", "disk"]
_LOOKED_AT = 16
_DISK_MARGIN_BYTES = 1_000_000_000


@dataclass(frozen=True)
class CacheChoice:
    """Where the images of a store go, `text` in one sentence why, and how many bytes one takes on average."""

    cache: Literal["off", "ram", "disk"]
    text: str
    image_bytes: int = 0
    need_bytes: int = 0


def choose(
    store: ImageStore,
    cache: Cache,
    folder: Path | None,
    *,
    disk_promised_bytes: int = 0,
    memory_promised_bytes: int = 0,
) -> CacheChoice:
    """Where the images go that `store` lacks, found by decoding a few of them; what it has needs no room.

    `auto` takes the disk if they fit there with a margin, since later runs share it and what is read twice is in memory
    anyway; else memory if they fit in half of what is available; else nothing. What was promised to other stores
    counts as taken. `ram` and `off` need no `folder`. Nothing is written.
    Raises DatasetError if `disk` was asked for and `folder` has no room or cannot be written, CapabilityError where
    `ram` was and they do not fit, and DatasetError for an image that cannot be decoded.
    """
    if cache == "off":
        return CacheChoice("off", "images are decoded at every use, since data.cache is off")
    image_bytes, need_bytes = estimate(store)
    if cache != "ram" and not need_bytes:
        where = " and ".join(map(str, store.cache_folders))
        return CacheChoice("disk", f"all {store.num_wanted:,} images are already decoded, in {where}", image_bytes)
    disk = _disk_fault(folder, need_bytes, disk_promised_bytes) if folder and cache != "ram" else "the disk is not used"
    memory = memory_fault(need_bytes, memory_promised_bytes)
    what = f"images are decoded once ({byte_size(need_bytes)} needed)"
    if cache == "disk" and disk:
        raise DatasetError(
            f"data.cache='disk': the decoded images take {byte_size(need_bytes)}, but {disk}\n"
            "set data.cache_dir to a folder with more space, or use data.cache='auto'"
        )
    if cache == "ram" and memory:
        raise CapabilityError(
            f"data.cache='ram': the decoded images take {byte_size(need_bytes)}, but {memory}\n"
            "use data.cache='disk' or 'auto'"
        )
    if folder and not disk:
        free = shutil.disk_usage(_existing(folder)).free
        return CacheChoice(
            "disk", f"{what} and kept in {folder}, which has {byte_size(free)} free", image_bytes, need_bytes
        )
    why = "" if cache == "ram" else f", since {disk}"
    if not memory:
        return CacheChoice("ram", f"{what} and kept in memory{why}", image_bytes, need_bytes)
    missing = len(store.missing())
    which = "images" if missing == store.num_wanted else f"{missing:,} of {store.num_wanted:,} images"
    text = f"{which} are decoded at every use, since they take {byte_size(need_bytes)}, {disk}, and {memory}"
    return CacheChoice("off", text, image_bytes, need_bytes)


def estimate(store: ImageStore) -> tuple[int, int]:
    """(bytes of an image on average, bytes of all that `store` lacks), from a few spread over those that it lacks."""
    missing = store.missing()
    if not missing:
        return 0, 0
    count = min(_LOOKED_AT, len(missing))
    looked_at = [missing[index * len(missing) // count] for index in range(count)]
    mean = sum(store.pixels(number).numel() for number in looked_at) / count
    return round(mean), round(mean * len(missing))


def writable(folder: Path) -> bool:
    """Whether this user may write to `folder`, or make it if it does not exist."""
    return os.access(_existing(folder), os.W_OK | os.X_OK)


def _disk_fault(folder: Path, need_bytes: int, promised_bytes: int) -> str | None:
    in_the_way = next((path for path in (folder, *folder.parents) if os.path.isfile(path)), None)
    if in_the_way:
        return f"{in_the_way} is a file"
    if not writable(folder):
        return f"{_existing(folder)} cannot be written"
    free = shutil.disk_usage(_existing(folder)).free - promised_bytes
    if need_bytes + _DISK_MARGIN_BYTES > free:
        return f"{folder} has {byte_size(max(0, free))} free, of which {byte_size(_DISK_MARGIN_BYTES)} are kept free"
    return None


def memory_fault(need_bytes: int, promised_bytes: int = 0) -> str | None:
    """Why `need_bytes` do not fit in memory; None if they do."""
    available = available_bytes() - promised_bytes
    if need_bytes > available // 2:
        return f"{byte_size(max(0, available))} of memory are available, of which half is used"
    return None


def _existing(folder: Path) -> Path:
    """`folder`, or its nearest existing parent that this user can see."""
    return next(path for path in (folder, *folder.parents) if os.path.isdir(path))
