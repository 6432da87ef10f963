"""Random numbers that the processes of a run must not share, apart from those that they draw alike.

Every process draws the same numbers where it decides for all: the order of the samples, what a memory keeps. What it
draws for its own rows alone (dropout, random transforms) comes from generators seeded by the run's seed, the rank and
a count, and leaves the others as they were. With one process all comes from the same generators, as ever.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from clearctl.distributed import world

_seed = 0
_passes = 0


def seed(number: int) -> None:
    """Begin anew, for a run with the seed `number`."""
    global _seed, _passes
    _seed, _passes = number, 0


def passes() -> int:
    """How often numbers of its own were drawn by each process; all have the same count."""
    return _passes


def set_passes(count: int) -> None:
    """Go on from where `passes` was taken."""
    global _passes
    _passes = count


@contextmanager
def own_numbers(device: torch.device, *, transforms: bool = False) -> Iterator[None]:
    """Within, torch's generators, on the CPU and on `device`, are those of this process alone.

    With `transforms` so are Python's and NumPy's, which no network draws from, and which take long to set.
    """
    if world.size() == 1:
        yield
        return
    on_cpu = torch.get_rng_state()
    on_gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    others = (random.getstate(), np.random.get_state()) if transforms else None
    number = _next()
    torch.default_generator.manual_seed(number)
    if on_gpu is not None:
        torch.cuda.manual_seed(number)
    if others is not None:
        random.seed(number)
        np.random.seed(number % 2**32)
    try:
        yield
    finally:
        torch.set_rng_state(on_cpu)
        if on_gpu is not None:
            torch.cuda.set_rng_state(on_gpu, device)
        if others is not None:
            random.setstate(others[0])
            np.random.set_state(others[1])


def seed_worker(number: int) -> None:
    """For a worker process of a loader: the workers of different processes draw different numbers."""
    mixed = _mixed(torch.initial_seed(), world.rank())
    random.seed(mixed)
    np.random.seed(mixed % 2**32)
    torch.manual_seed(mixed)


def _next() -> int:
    global _passes
    _passes += 1
    return _mixed(_seed, world.rank(), _passes)


def _mixed(*numbers: int) -> int:
    return hash(numbers) % 2**63  # of whole numbers it is the same in every process
