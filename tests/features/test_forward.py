"""A network applied on a device: exactly its own forward pass, halved where memory runs out."""

import pytest
import torch
from torch import nn

from clearctl.errors import CapabilityError
from clearctl.features.forward import Forward

CPU = torch.device("cpu")
# What torch says on Linux.
OUT_OF_MEMORY = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."


class Small(nn.Module):
    """A convolution and a pooling; raises as torch's allocators do for more than `most` images."""

    def __init__(self, most: int = 1000, error: type[Exception] = RuntimeError) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 8, 3)
        self.most, self.error = most, error
        self.sizes: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise self.error(OUT_OF_MEMORY)
        return self.convolution(x).mean((2, 3))


def pixels(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 9, 9), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def scaled(batch: torch.Tensor) -> torch.Tensor:
    return batch.float() / 255


def test_it_is_the_network_applied_to_the_prepared_pixels():
    network = Small()
    features = Forward(network, scaled, CPU, "fp32", lambda event: None)(pixels(5))
    expected = network(scaled(pixels(5)).contiguous(memory_format=torch.channels_last))
    assert torch.equal(features, expected)
    assert not features.requires_grad


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, torch.OutOfMemoryError])
def test_a_batch_that_does_not_fit_is_halved_and_so_are_those_after_it(error):
    network, said = Small(most=3, error=error), []
    forward = Forward(network, scaled, CPU, "fp32", said.append)
    first, second = forward(pixels(10)), forward(pixels(10))
    assert network.sizes == [10, 5, 2, 2, 2, 2, 2] + [2] * 5
    whole = Small()(scaled(pixels(10)).contiguous(memory_format=torch.channels_last))
    assert torch.allclose(first, whole, atol=1e-6)
    assert torch.equal(first, second)
    assert [event.text for event in said] == [
        "cpu has too little memory for 10 images at once: going on with 5 (--batch-size)",
        "cpu has too little memory for 5 images at once: going on with 2 (--batch-size)",
    ]


def test_memory_too_small_for_one_image():
    with pytest.raises(CapabilityError, match="too little memory for a single image"):
        Forward(Small(most=0), scaled, CPU, "fp32", lambda event: None)(pixels(4))


def test_another_error_of_the_network_is_not_taken_for_memory():
    with pytest.raises(RuntimeError, match="expected input"):
        Forward(Small(), scaled, CPU, "fp32", lambda event: None)(pixels(2)[:, :2])


def test_bf16_is_near_and_stored_as_float32():
    exact = Forward(Small(), scaled, CPU, "fp32", lambda event: None)(pixels(20))
    near = Forward(Small(), scaled, CPU, "bf16", lambda event: None)(pixels(20))
    assert near.dtype == torch.float32
    assert not torch.equal(near, exact)
    assert (near - exact).abs().max() < 0.02
