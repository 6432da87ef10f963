"""Batches with the order and the random numbers of a DataLoader's worker processes, made in this process."""

import itertools
from collections import deque
from collections.abc import Callable, Iterator

import torch

from clearctl.distributed.randomness import WorkerRandomNumbers
from clearctl.strategies.loading.rows import Columns
from clearctl.strategies.strategy import TensorBatch

BATCHES_AHEAD = 2  # of each worker: torch's default of `prefetch_factor`


def as_workers(
    columns: Iterator[Columns], workers: int, make: Callable[[Columns], TensorBatch], *, seeded: bool
) -> Iterator[TensorBatch]:
    """What `make` makes of the columns of each batch, as `workers` processes would: each makes one in turn.

    What draws while columns are taken (the order of a memory that starts again) draws as early as for a DataLoader,
    which asks its workers for batches ahead. `seeded` says that `seed_worker` is their function.
    """
    base_seed = int(torch.empty((), dtype=torch.int64).random_().item())
    numbers = [WorkerRandomNumbers(base_seed, worker, seeded=seeded) for worker in range(workers)]
    ahead = deque(itertools.islice(columns, BATCHES_AHEAD * workers))
    for drawn_by in itertools.cycle(numbers):
        if not ahead:
            return
        with drawn_by.drawn():
            batch = make(ahead.popleft())
        ahead.extend(itertools.islice(columns, 1))
        yield batch
