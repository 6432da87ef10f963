"""Bytes to floats, batch by batch: torchvision's values bit for bit, in memory that nobody else has."""

import gc
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import transforms as T

from clearctl.data import pixels
from clearctl.data.pixels import ToFloat, fresh, without_waiting

# Every value of a byte in every channel, more than one tile of it.
BATCH = (torch.arange(9 * 3 * 256 * 256) % 256).to(torch.uint8).view(9, 3, 256, 256)
one = st.floats(0.01, 10)


def plain(batch: torch.Tensor, normalize: T.Normalize | None) -> torch.Tensor:
    """Image by image, as ToTensor and Normalize do it."""
    floats = [image.to(torch.float32).div(255) for image in batch]
    return torch.stack([normalize(x) if normalize else x for x in floats])


@settings(max_examples=20, deadline=None)
@given(st.lists(one, min_size=3, max_size=3), st.lists(one, min_size=3, max_size=3))
def test_all_bytes_with_any_mean_and_std(mean, std):
    normalize = T.Normalize(mean, std)
    batch = BATCH[:2, :, :2]
    assert torch.equal(ToFloat(normalize)(batch), plain(batch, normalize))


@pytest.mark.parametrize("normalize", [None, T.Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.1]), T.Normalize(0.5, 0.2)])
def test_tiles_make_the_whole(normalize):
    before = BATCH.clone()
    finish = pickle.loads(pickle.dumps(ToFloat(normalize)))
    assert torch.equal(finish(BATCH), plain(BATCH, normalize))
    assert torch.equal(finish(BATCH[:, :, 3:, 5:]), plain(BATCH[:, :, 3:, 5:], normalize))
    assert torch.equal(BATCH, before)
    assert finish(BATCH[:0]).shape == (0, 3, 256, 256)


def test_what_is_no_byte_is_not_scaled():
    floats = torch.rand(2, 3, 4, 4)
    assert torch.equal(ToFloat(None)(floats), floats)
    assert torch.equal(ToFloat(None)(torch.ones(2, 1, 4, 4, dtype=torch.bool)), torch.ones(2, 1, 4, 4))
    with pytest.raises(TypeError, match="float tensor"):
        ToFloat(T.Normalize([0.5], [0.5]))(torch.ones(2, 1, 4, 4, dtype=torch.int32))


@pytest.mark.parametrize("hold", ["itself", "a view", "its storage", "an array", "a graph"])
def test_memory_is_used_again_only_when_nobody_holds_it(hold):
    """Each way of holding on to a tensor's memory keeps it from being given out."""
    shape = (3, 1 << 20)
    tensor = fresh(shape, torch.float32).fill_(1)
    address = tensor.data_ptr()
    held = {
        "itself": lambda x: x,
        "a view": lambda x: x[1:, 5:].t(),
        "its storage": lambda x: x.untyped_storage(),
        "an array": lambda x: x.numpy()[2],
        "a graph": lambda x: torch.ones(shape, requires_grad=True) * x,  # keeps both factors for its gradient
    }[hold](tensor)
    del tensor
    gc.collect()
    others = [fresh(shape, torch.float32) for _ in range(12)]
    assert address not in [other.data_ptr() for other in others]
    assert len({other.data_ptr() for other in others}) == 12
    assert {other.data_ptr() % 64 for other in others} == {0}
    del held, others
    gc.collect()
    again = fresh(shape, torch.float32)
    address = again.data_ptr()
    del again
    assert address in [fresh(shape, torch.float32).data_ptr() for _ in range(6)]


def kept_bytes() -> list[int]:
    return [array.nbytes // 1_000_000 for array in pixels._kept]


def test_no_more_than_256_mb_are_kept():
    """Sizes that are asked for no more make room for those that are; one that is too large alone is not kept."""
    pixels._kept.clear()
    held = [fresh((megabytes, 1_000_000), torch.uint8) for megabytes in (120, 30, 100)]
    del held
    assert kept_bytes() == [120, 30, 100]
    large = fresh((110, 1_000_000), torch.uint8)
    assert kept_bytes() == [30, 100, 120]
    other = fresh((15, 1_000_000), torch.uint8)
    assert kept_bytes() == [100, 120, 30]
    again = fresh((90, 1_000_000), torch.uint8)
    assert kept_bytes() == [120, 30, 100]
    del again
    rest = fresh((40, 1_000_000), torch.uint8)
    assert kept_bytes() == [120, 30, 40]  # the free one went, not those that are held
    huge = fresh((257, 1_000_000), torch.uint8)
    assert kept_bytes() == []
    assert len({tensor.data_ptr() for tensor in (large, other, rest, huge)}) == 4


def test_smaller_ones_go_when_batches_become_larger() -> None:
    pixels._kept.clear()
    free, held = fresh((2, 1_000_000), torch.uint8), fresh((3, 1_000_000), torch.uint8)
    del free
    larger = fresh((7, 1_000_000), torch.uint8)
    assert kept_bytes() == [3, 7]
    assert len({held.data_ptr(), larger.data_ptr()}) == 2


def test_on_a_cpu_a_batch_is_given_as_it_is() -> None:
    x = torch.zeros(3)
    assert without_waiting(x, torch.device("cpu")) is x
