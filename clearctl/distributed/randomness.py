"""Random generators: seeding, saving, restoring, and separate numbers for the processes of a run.

Every process draws the same numbers for decisions that all share: the order of the samples, the content of a memory.
Numbers for its own rows alone (dropout, random transforms) come from generators seeded by the run's seed, the rank
and a count, and leave the others as they were. With one process all comes from the same generators, as usual.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch

from clearctl.distributed import world

_seed = 0
_passes = 0


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators: the one place where a run is seeded."""
    global _seed, _passes
    _seed, _passes = seed, 0
    _seed_all(seed)


def random_states() -> dict[str, Any]:
    """The states of the generators that a run draws from: Python's, NumPy's, torch's on the CPU and on the current GPU.

    A run draws from the GPU that is its device, and that is the current one.
    """
    kind, keys, *rest = cast(tuple[Any, ...], np.random.get_state(legacy=True))
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else [],  # type: ignore[no-untyped-call]
        "passes": passes(),
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Restore the generators to `random_states`, that of a GPU on the current one.

    States that clearctl wrote earlier have the generators of all GPUs of the machine, by their index.
    """
    kind, keys, *rest = states["numpy"]
    random.setstate(states["python"])
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    set_passes(states.get("passes", 0))
    saved = states["cuda"]
    if saved and torch.cuda.is_available():
        # Of several processes, the first one's on the GPU of each.
        number = torch.cuda.current_device() if world.size() == 1 else 0
        torch.cuda.set_rng_state(saved[number] if number < len(saved) else saved[0])


@contextmanager
def preserve_random_states(*, own: bool = False) -> Iterator[None]:
    """Put Python's, NumPy's and torch's generators back afterwards, whatever is drawn inside.

    With `own` those of `rank_random_numbers` too: what a process draws afterwards for its own rows is as if nothing had
    been. The generator of a GPU is restored where this process uses a GPU already: asking for it elsewhere would
    initialise CUDA on every GPU of the machine, even for a run on the CPU.
    """
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    put_back, count = _snapshot(torch.cuda.current_device() if used else None), passes()
    try:
        yield
    finally:
        put_back()
        if own:
            set_passes(count)


def passes() -> int:
    """The number of times that each process drew numbers of its own; all have the same count."""
    return _passes


def set_passes(count: int) -> None:
    """Continue from where `passes` was taken."""
    global _passes
    _passes = count


@contextmanager
def rank_random_numbers(device: torch.device, *, transforms: bool = False) -> Iterator[None]:
    """A context in which torch's generators, on the CPU and on `device`, are those of this process alone.

    With `transforms` so are Python's and NumPy's, which no network draws from, and which take long to set.
    """
    if world.size() == 1:
        yield
        return
    on_gpu = device.type == "cuda"
    put_back = _snapshot(device if on_gpu else None, transforms=transforms)
    number = _next()
    torch.default_generator.manual_seed(number)
    if on_gpu:
        torch.cuda.manual_seed(number)
    if transforms:
        random.seed(number)
        np.random.seed(number % 2**32)
    try:
        yield
    finally:
        put_back()


def seed_worker(number: int) -> None:
    """Seed a worker process of a loader: the workers of different processes draw different numbers."""
    _seed_all(_mixed(torch.initial_seed(), world.rank()))


class WorkerRandomNumbers:
    """torch's generator on the CPU as worker process `number` of a DataLoader has it, for use in this process.

    `base_seed` is what the DataLoader draws for its workers; with `seed_worker` as their function it is `seeded` so.
    """

    def __init__(self, base_seed: int, number: int, *, seeded: bool) -> None:
        seed = base_seed + number
        self._state = torch.Generator().manual_seed(_mixed(seed, world.rank()) if seeded else seed).get_state()

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """A context in which torch draws the worker's next numbers; its own follow afterwards."""
        own = torch.get_rng_state()
        torch.set_rng_state(self._state)
        try:
            yield
        finally:
            self._state = torch.get_rng_state()
            torch.set_rng_state(own)


def _seed_all(number: int) -> None:
    random.seed(number)
    np.random.seed(number % 2**32)
    torch.manual_seed(number)


def _snapshot(gpu: torch.device | int | None, *, transforms: bool = True) -> Callable[[], None]:
    """Note the states of torch's generators on the CPU and on `gpu` and, with `transforms`, of Python's and NumPy's.

    The returned function restores them.
    """
    on_cpu = torch.get_rng_state()
    on_gpu = None if gpu is None else torch.cuda.get_rng_state(gpu)
    others = (random.getstate(), np.random.get_state()) if transforms else None

    def put_back() -> None:
        torch.set_rng_state(on_cpu)
        if on_gpu is not None and gpu is not None:
            torch.cuda.set_rng_state(on_gpu, gpu)
        if others is not None:
            random.setstate(others[0])
            np.random.set_state(others[1])

    return put_back


def _next() -> int:
    global _passes
    _passes += 1
    return _mixed(_seed, world.rank(), _passes)


def _mixed(*numbers: int) -> int:
    return hash(numbers) % 2**63  # of whole numbers it is the same in every process
