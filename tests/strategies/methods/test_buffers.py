"""The biased reservoir: its size, who is in it, and chance from torch's generator alone."""

import random
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from avalanche.benchmarks.utils import make_avalanche_dataset

from clearctl.strategies.methods.buffers import BiasedReservoirSamplingBuffer


class Rows(torch.utils.data.Dataset):
    """Samples that are (bucket number, line)."""

    def __init__(self, bucket: int, count: int) -> None:
        self.bucket, self.count = bucket, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[int, int]:
        return self.bucket, index


def feed(buffer: BiasedReservoirSamplingBuffer, counts: list[int]) -> list[Counter[int]]:
    """How many samples of each bucket are held after each bucket."""
    held = []
    for bucket, count in enumerate(counts):
        exp = SimpleNamespace(dataset=make_avalanche_dataset(Rows(bucket, count)))
        buffer.update(SimpleNamespace(experience=exp))
        rows = contents(buffer)
        assert len(set(rows)) == len(rows)  # nothing is held twice
        held.append(Counter(owner for owner, _ in rows))
    return held


def contents(buffer: Any) -> list[tuple[int, int]]:
    return [buffer.buffer[index] for index in range(len(buffer.buffer))]


@pytest.mark.parametrize("mode", ["Fixed", "Dynamic"])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 3.0])
def test_size_and_first_bucket(mode: str, alpha: float) -> None:
    torch.manual_seed(0)
    held = feed(BiasedReservoirSamplingBuffer(20, mode, alpha), [50] * 5)
    assert [sum(counter.values()) for counter in held] == [20] * 5
    assert held[0] == {0: 20}


def test_small_first_bucket_leaves_room_that_is_filled_before_anything_is_displaced() -> None:
    torch.manual_seed(0)
    held = feed(BiasedReservoirSamplingBuffer(20, "Dynamic", 1.0), [8, 8, 8])
    assert held[:2] == [{0: 8}, {0: 8, 1: 8}]
    assert held[2][2] == 8
    assert sum(held[2].values()) == 20


def test_alpha_1_dynamic_keeps_only_the_newest_bucket() -> None:
    torch.manual_seed(0)
    assert feed(BiasedReservoirSamplingBuffer(20, "Dynamic", 1.0), [20, 33, 20]) == [{0: 20}, {1: 20}, {2: 20}]


def test_alpha_0_keeps_the_first_bucket() -> None:
    torch.manual_seed(0)
    assert feed(BiasedReservoirSamplingBuffer(20, "Fixed", 0.0), [30, 30])[1] == {0: 20}


@pytest.mark.parametrize(
    ("mode", "alpha", "shares"),
    [
        ("Fixed", 1.0, [0.25, 0.25, 0.25, 0.25]),
        ("Fixed", 0.5, [0.546875, 0.182292, 0.145833, 0.125]),  # 0.75 * 5/6 * 7/8 of the first is left, and so on
        ("Dynamic", 0.5, [0.125, 0.125, 0.25, 0.5]),
        ("Fixed", 3.0, [0.0, 0.0, 0.25, 0.75]),  # min(1, 3/2), min(1, 3/3), 3/4
    ],
)
def test_share_of_each_bucket(mode: str, alpha: float, shares: list[float]) -> None:
    torch.manual_seed(0)
    size, repeats = 50, 200
    total: Counter[int] = Counter()
    for _ in range(repeats):
        buffer = BiasedReservoirSamplingBuffer(size, mode, alpha)
        for bucket in range(4):
            buffer.post_adapt(None, SimpleNamespace(dataset=make_avalanche_dataset(Rows(bucket, 60))))
        total.update(owner for owner, _ in contents(buffer))
    found = [total[bucket] / (size * repeats) for bucket in range(4)]
    assert found == pytest.approx(shares, abs=0.015)  # three standard deviations of a mean over 10,000


@pytest.mark.parametrize("evict", ["random", "newest"])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_free_places_are_filled(alpha: float, evict: str) -> None:
    torch.manual_seed(0)
    held = feed(BiasedReservoirSamplingBuffer(50, "Fixed", alpha, evict), [20, 20, 20, 20])
    assert held[:2] == [{0: 20}, {0: 20, 1: 20}]
    assert [sum(counter.values()) for counter in held] == [20, 40, 50, 50]
    if alpha == 0:
        assert held[3] == {0: 20, 1: 20, 2: 10}


@pytest.mark.parametrize("counts", [[60, 60, 60, 60], [10, 10, 10, 10, 10, 10], [90, 30, 60, 15], [30, 200, 40]])
def test_alpha_1_fixed_gives_all_samples_the_same_chance(counts: list[int]) -> None:
    """Reservoir sampling, for any ratio of buffer and buckets."""
    torch.manual_seed(0)
    size, repeats = 40, 300
    total: Counter[int] = Counter()
    for _ in range(repeats):
        buffer = BiasedReservoirSamplingBuffer(size, "Fixed", 1.0)
        for bucket, count in enumerate(counts):
            buffer.post_adapt(None, SimpleNamespace(dataset=make_avalanche_dataset(Rows(bucket, count))))
        total.update(owner for owner, _ in contents(buffer))
    found = [total[bucket] / (size * repeats) for bucket in range(len(counts))]
    assert found == pytest.approx([count / sum(counts) for count in counts], abs=0.02)


def test_evicting_the_newest_keeps_the_first_buckets() -> None:
    """As the authors' code, which holds 30/10/5/3/12 in the mean of buckets as large as the buffer."""
    torch.manual_seed(0)
    total: Counter[int] = Counter()
    for _ in range(100):
        total.update(feed(BiasedReservoirSamplingBuffer(60, "Fixed", 1.0, "newest"), [60] * 5)[-1])
    means = [total[bucket] / 100 for bucket in range(5)]
    assert means == pytest.approx([30, 10, 5, 3, 12], abs=1.0)


def test_chance_is_torchs_alone() -> None:
    def run(seed: int) -> list[tuple[int, int]]:
        torch.manual_seed(seed)
        buffer = BiasedReservoirSamplingBuffer(20, "Fixed", 1.0)
        feed(buffer, [50] * 3)
        return contents(buffer)

    states = random.getstate(), np.random.get_state()[1].tolist()
    first = run(0)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    assert run(0) == first
    assert run(1) != first


def test_resize() -> None:
    torch.manual_seed(0)
    buffer = BiasedReservoirSamplingBuffer(20)
    feed(buffer, [30])
    buffer.resize(None, 5)
    assert len(buffer.buffer) == buffer.max_size == 5


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((0, "Fixed", 1.0), "max_size is 0"),
        ((5, "fixed", 1.0), "'fixed'"),
        ((5, "Fixed", -1.0), "alpha_value is -1.0"),
        ((5, "Fixed", 1.0, "oldest"), "evict is 'oldest', expected 'random' or 'newest'"),
    ],
)
def test_arguments_that_make_no_sense(arguments: tuple[Any, ...], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        BiasedReservoirSamplingBuffer(*arguments)
