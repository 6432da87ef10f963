"""Decodes the images that a store lacks, in threads: decoding and resizing release the GIL."""

import errno
import random
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from clearctl.cores import usable_cores
from clearctl.data.cache import segments
from clearctl.data.cache.segments import Planes
from clearctl.data.cache.store import ImageStore
from clearctl.progress import Counted, Listener, ignore, rate_limited

SEGMENT_BYTES = 256_000_000
_MOST_IMAGES = 1024
_MOST_THREADS = 16
_AHEAD = 4

Item = TypeVar("Item")
Result = TypeVar("Result")


def fill(
    store: ImageStore,
    *,
    on_disk: bool,
    image_bytes: int,
    threads: int | None = None,
    segment_bytes: int = SEGMENT_BYTES,
    work: str = "decode the images",
    listener: Listener = ignore,
) -> None:
    """Store every image that `store` lacks, in its folder or in memory, in segments of about `segment_bytes`.

    `image_bytes` is what an image takes on average. A killed build leaves the segments that were finished. Builders
    of one folder take the segments each in its own random order, and leave out what others have added by then:
    without a lock, and no more than a few are built twice.
    Raises DatasetError for an image that cannot be decoded, OSError if a segment cannot be written or read back,
    CapabilityError if too many files are open.
    """
    missing, listener = store.missing(), rate_limited(listener)
    for number in missing:
        store.files.first_identity(number)  # taken before any is decoded, and not by several threads
    size = max(1, min(_MOST_IMAGES, segment_bytes // max(1, image_bytes)))
    parts = [missing[start : start + size] for start in range(0, len(missing), size)]
    random.Random().shuffle(parts)  # the global generator is the run's own
    pool = ThreadPoolExecutor(threads or default_threads())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata
            for part in parts:
                if on_disk:
                    store.refresh()
                lacking = set(store.missing())
                numbers = [number for number in part if number in lacking]
                if numbers:
                    images = in_order(pool, store.planes, numbers)
                    _add(
                        store,
                        with_progress(images, store.num_wanted - len(lacking), store.num_wanted, work, listener),
                        on_disk,
                    )
    finally:
        pool.shutdown(cancel_futures=True)


def default_threads() -> int:
    """One for each core that this process may use, 16 at most."""
    return min(usable_cores(), _MOST_THREADS)


def in_order(pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """`function` of each of `items`, in order; only some are worked on ahead of what is taken."""
    pending: deque[Future[Result]] = deque()
    ahead = _AHEAD * default_threads()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def with_progress(images: Iterator[Planes], done: int, total: int, work: str, listener: Listener) -> Iterator[Planes]:
    """`images`, each after the first `done` reported to `listener`."""
    for count, image in enumerate(images, done + 1):
        yield image
        listener(Counted(work, count, total, "images"))


def _add(store: ImageStore, images: Iterator[Planes], on_disk: bool) -> None:
    if not on_disk:
        store.add(*segments.in_memory(images))
        return
    assert store.folder is not None
    path = store.folder / f"{uuid.uuid4().hex[:16]}{segments.SUFFIX}"
    segments.write(path, images)
    try:
        found = store.add_file(path)
        fault = OSError(errno.EIO, "it is damaged")
    except OSError as error:  # some mounts cannot be mapped
        found, fault = False, error
    if not found:  # nor would it be by the next run, which would write it again
        path.unlink(missing_ok=True)
        raise OSError(fault.errno, f"written data cannot be read back: {fault.strerror}")
