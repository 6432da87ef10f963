"""Batches read ahead are the same batches."""

from collections.abc import Iterator

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from clearctl.strategies.loading.prefetch import Prefetch, prefetched

CPU = torch.device("cpu")


def loader(pinned: bool = False) -> DataLoader:
    x = torch.arange(50.0).reshape(10, 5)
    return DataLoader(TensorDataset(x, torch.arange(10), torch.zeros(10)), batch_size=3, pin_memory=pinned)


def test_on_a_cpu_the_batches_are_handed_through() -> None:
    prefetch = Prefetch(loader(), CPU)
    assert len(prefetch) == 4
    for _ in range(2):
        for ours, theirs in zip(prefetch, loader(), strict=True):
            assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_on_a_cpu_nothing_is_read_ahead_and_a_stop_ends_the_reading() -> None:
    read, closed = [], []

    class Counting:
        def __iter__(self) -> Iterator[list[torch.Tensor]]:
            try:
                for number in range(5):
                    read.append(number)
                    yield [torch.tensor(number)]
            finally:
                closed.append(True)

    for (number,) in Prefetch(Counting(), CPU):
        assert read == list(range(int(number) + 1))
        if number == 2:
            break
    assert (read, closed) == ([0, 1, 2], [True])


def test_only_loaders_with_workers_are_read_ahead_and_only_on_a_gpu() -> None:
    gpu, plain = torch.device("cuda"), loader()
    assert prefetched(plain, CPU, workers=2) is plain
    assert prefetched(plain, gpu, workers=0) is plain
    covered = prefetched(plain, gpu, workers=2)
    assert isinstance(covered, Prefetch)
    assert covered.loader is plain
    assert prefetched(covered, gpu, workers=2) is covered


@pytest.mark.gpu
@pytest.mark.parametrize("pinned", [False, True])
def test_on_a_gpu_the_batches_are_the_same(pinned: bool) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    device = torch.device("cuda")
    prefetch = Prefetch(loader(pinned), device)
    assert len(prefetch) == 4
    sums = []
    for batch in prefetch:
        assert all(tensor.device.type == "cuda" for tensor in batch)
        busy = torch.randn(2000, 2000, device=device)
        for _ in range(20):  # keep the device behind the copies, so that memory reused too early would show
            busy = busy @ busy.T / 2000
        sums.append([tensor.double().sum() + 0 * busy.sum().nan_to_num() for tensor in batch])
    expected = [[float(tensor.double().sum()) for tensor in batch] for batch in loader()]
    assert [[float(value) for value in row] for row in sums] == expected
    for _ in prefetch:
        break  # an early stop leaves the next one whole
    assert len(list(prefetch)) == 4
