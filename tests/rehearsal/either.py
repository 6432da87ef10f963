"""The GPU of tests that run on the rehearsal GPU everywhere and, marked `gpu`, on a real one.

A plugin of pytest. PYTEST_DONT_REWRITE
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from rehearsal.gpu import RehearsalGpu

SAMPLES = 2  # in a cell of the accuracy matrix, by which a real GPU may differ from the CPU


@dataclass(frozen=True)
class Gpu:
    """One of the two. On the rehearsal GPU numbers are the CPU's, since it is the CPU that computes them."""

    real: bool

    @property
    def device(self) -> str:
        """What `--device` names it. Of the rehearsal GPUs it is the second, and the first may not be used."""
        return "cuda" if self.real else "cuda:1"

    @property
    def device_name(self) -> str:
        """What environment.json calls it."""
        return torch.cuda.get_device_name() if self.real else "rehearsal GPU"

    @property
    def deterministic(self) -> tuple[str, ...]:
        """Overrides with which a run has the same bits every time."""
        return ("deterministic=True",) if self.real else ()

    @contextmanager
    def used(self) -> Iterator[None]:
        """Within it is there; and it must have been used by the end."""
        if self.real:
            before = _allocations()
            yield
            assert _allocations() > before
            return
        with RehearsalGpu() as gpu:
            yield
        assert gpu.launches.total() > 100
        assert gpu.touched == {1}, gpu.elsewhere
        assert not gpu.elsewhere
        assert not gpu.unpinned  # for which the host would wait
        assert gpu.current == 0

    def require_same(self, found: Any, expected: Any, *, tested: int) -> None:
        """`found` [N, N] on it are the accuracies `expected` of the CPU, where `tested` samples of each bucket are."""
        difference = np.abs(np.asarray(found) - np.asarray(expected)).max()
        assert difference <= (SAMPLES / tested + 1e-9 if self.real else 0)


def _allocations() -> int:
    return int(torch.cuda.memory_stats().get("allocation.all.allocated", 0))


needs_gpu = (pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"))


@pytest.fixture(params=[pytest.param(False, id="rehearsal"), pytest.param(True, id="real", marks=needs_gpu)])
def gpu(request: pytest.FixtureRequest) -> Gpu:
    """The rehearsal GPU, and a real one where there is one."""
    return Gpu(request.param)
