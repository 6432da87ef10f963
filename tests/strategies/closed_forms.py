"""What the tests of the strategies without gradients share. A plugin of pytest: PYTEST_DONT_REWRITE."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from blobs import Built
from small import SMALL


@pytest.fixture
def solved(build: Callable[..., Built]) -> Callable[..., Built]:
    """`solved(base, buckets=(0, 1), **cl_strategy)`: the experiment, after those buckets in that order."""

    def run(base: str, buckets: Sequence[int] = (0, 1), **strategy: Any) -> Built:
        built = build(base, **{**SMALL[base], **strategy})
        for bucket in buckets:
            built.strategy.train(built.buckets[bucket])
        return built

    return run


def arrays(built: Built, buckets: Sequence[int] = (0, 1)) -> tuple[np.ndarray, np.ndarray]:
    """(x [N, D] float64, y [N]) of the training samples of the buckets."""
    parts = [built.data(bucket) for bucket in buckets]
    return torch.cat([x for x, _ in parts]).double().numpy(), torch.cat([y for _, y in parts]).numpy()


def layer(built: Built) -> tuple[np.ndarray, np.ndarray]:
    """(weight [C, D], bias [C]) of the head's last layer."""
    fc = built.strategy.model.head.fc
    return fc.weight.detach().double().numpy(), fc.bias.detach().double().numpy()


def scores(built: Built, x: np.ndarray) -> np.ndarray:
    """The network's class scores [N, C]."""
    with torch.no_grad():
        return built.strategy.model.eval()(torch.from_numpy(x).float()).double().numpy()


def hidden(built: Built, x: np.ndarray) -> np.ndarray:
    """What the head's last layer takes [N, D]."""
    with torch.no_grad():
        return built.strategy.embedding(torch.from_numpy(x).float()).double().numpy()
