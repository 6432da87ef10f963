"""The rehearsal GPU waits where CUDA does, and not where it does not."""

import pytest
import torch
from rehearsal.gpu import RehearsalGpu
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader


@pytest.mark.parametrize(
    ("pinned", "non_blocking", "waits"), [(False, False, 1), (False, True, 1), (True, False, 1), (True, True, 0)]
)
def test_a_copy_waits_unless_it_is_of_pinned_memory_and_does_not_block(
    pinned: bool, non_blocking: bool, waits: int
) -> None:
    with RehearsalGpu() as gpu:
        source = torch.arange(3)
        source = source.pin_memory() if pinned else source
        assert source.is_pinned() == pinned
        assert source.to("cuda", non_blocking=non_blocking).tolist() == [0, 1, 2]
        assert gpu.waits.total() == waits + 1  # tolist
        assert gpu.unpinned.total() == (non_blocking and not pinned)
        assert gpu.launches["_to_copy"] == 1
        torch.arange(3).to("cuda")  # the next copy is asked anew
        assert gpu.waits.total() == waits + 2


def test_only_memory_on_the_cpu_is_pinned() -> None:
    with RehearsalGpu(), pytest.raises(RuntimeError, match="cannot pin"):
        torch.zeros(1, device="cuda").pin_memory()


@pytest.mark.parametrize("pins", [True, False])
def test_a_loader_pins_if_it_is_asked_to(pins: bool) -> None:
    with RehearsalGpu() as gpu:
        batches = list(DataLoader([(1.0, 2), (3.0, 4)], batch_size=2, pin_memory=pins))  # type: ignore[arg-type]
        assert [part.is_pinned() for part in batches[0]] == [pins, pins]
        assert gpu.waits.total() == 0


def test_one_hot_reads_nothing_if_it_knows_the_classes() -> None:
    with RehearsalGpu() as gpu:
        classes = torch.tensor([[2, 0]], device="cuda")
        before = gpu.waits.total()
        found = one_hot(classes, 4)
        assert gpu.waits.total() == before
        guessed = one_hot(classes)
        assert gpu.waits.total() == before + 1
    assert found.tolist() == [[[0, 0, 1, 0], [1, 0, 0, 0]]]
    assert guessed.tolist() == [[[0, 0, 1], [1, 0, 0]]]
