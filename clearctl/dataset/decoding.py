"""Reads and decodes many images at a time.

In threads, not processes: reading, hashing and decoding leave Python's lock alone for 19 of 20 parts of the time, and
a killed command leaves no processes behind that wait for it.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from clearctl.cores import usable_cores

CHUNK = 32
# More threads than this would wait for Python's lock.
MOST_JOBS = 16

T = TypeVar("T")
R = TypeVar("R")


def default_jobs() -> int:
    """One for each core that this process may use, 16 at most."""
    return min(usable_cores(), MOST_JOBS)


def map_in_threads(decode: Callable[[T], R], images: Sequence[T], jobs: int) -> Iterator[list[R]]:
    """Call `decode` for each of the `images` in `jobs` threads; yields the results in order, `CHUNK` at a time."""
    chunks = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
    pool = ThreadPoolExecutor(jobs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which has no effect on training
            yield from pool.map(lambda chunk: [decode(image) for image in chunk], chunks)
    finally:
        pool.shutdown(cancel_futures=True)
