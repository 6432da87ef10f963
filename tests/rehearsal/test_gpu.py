"""What the rehearsal refuses and sees, so that the tests that use it can fail."""

import pytest
import torch
from rehearsal.gpu import RehearsalGpu

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
