"""What the rehearsal refuses and sees, so that the tests that use it can fail."""

import pytest
import torch
from rehearsal.gpu import RehearsalGpu
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader

FIRST, SECOND = torch.device("cuda", 0), torch.device("cuda", 1)


def test_each_gpu_has_tensors_and_random_numbers_of_its_own() -> None:
    with RehearsalGpu() as gpu:
        a, b = torch.rand(3, device=FIRST), torch.rand(3).to(SECOND)
        assert (a.device, b.device, b.get_device()) == (FIRST, SECOND, 1)
        assert gpu.touched == {0, 1}
        torch.cuda.manual_seed_all(0)
        assert torch.equal(torch.rand(3, device=FIRST).cpu(), torch.rand(3, device=SECOND).cpu())
        torch.cuda.manual_seed(1)  # the current one's
        assert not torch.equal(torch.rand(3, device=FIRST).cpu(), torch.rand(3, device=SECOND).cpu())


def test_two_gpus_do_not_mix() -> None:
    with RehearsalGpu():
        a, b = torch.rand(3, device=FIRST), torch.rand(3, device=SECOND)
        with pytest.raises(RuntimeError, match="at least two devices, cuda:1 and cuda:0"):
            a + b
        with pytest.raises(RuntimeError, match="at least two devices, cuda:1 and cpu"):
            torch.rand(3) + b
        with pytest.raises(RuntimeError, match="at least two devices"):
            torch._foreach_add([a], [b])
        with pytest.raises(RuntimeError, match="indices should be"):
            a[torch.zeros(1, dtype=torch.int64, device=SECOND)]
        assert torch.equal(a.to(SECOND).cpu(), a.cpu())
        assert a.copy_(b).device == FIRST
        with pytest.raises(RuntimeError, match="invalid device ordinal"):
            a.to("cuda:2")


def test_what_names_no_gpu_is_done_on_the_current_one() -> None:
    with RehearsalGpu() as gpu:
        with torch.cuda.device(SECOND):
            assert torch.rand(2).cuda().device == SECOND
            assert torch.zeros(2, device="cuda").device == SECOND
            assert torch.cuda.current_stream().device == SECOND
            torch.empty(2, pin_memory=True)
        assert gpu.current == 0
        assert gpu.touched == {1}
        assert not gpu.elsewhere
        torch.zeros(2, device=SECOND)
        assert [what for what, _ in gpu.elsewhere] == ["zeros"]
        torch.cuda.Event().record()
        assert gpu.touched == {0, 1}


def test_pinned_memory_is_not_written_while_it_is_copied() -> None:
    with RehearsalGpu() as gpu:
        x = torch.zeros(4).pin_memory()
        x[0] = 1.0
        x.to(FIRST, non_blocking=True)
        assert not gpu.waits
        for write in (lambda: x[1:].fill_(2), lambda: torch._foreach_add_([x], 1)):
            with pytest.raises(RuntimeError, match="is written in .* while it is copied"):
                write()
        event = torch.cuda.current_stream().record_event()
        x.to(FIRST, non_blocking=True)
        event.synchronize()  # of the first copy alone
        with pytest.raises(RuntimeError, match="while it is copied"):
            x.zero_()
        torch.cuda.synchronize()
        x.zero_()


def test_a_copy_from_other_memory_waits() -> None:
    with RehearsalGpu() as gpu:
        torch.zeros(4).to(FIRST, non_blocking=True)
        assert gpu.unpinned.total() == gpu.waits.total() == 1
        torch.zeros(4).to(FIRST)
        assert (gpu.unpinned.total(), gpu.waits.total()) == (1, 2)
        assert not torch.zeros(4).pin_memory().clone().is_pinned()


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
        torch.arange(3).to("cuda")  # the next copy is asked again
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
