"""A network applied on a device: exactly its own forward pass, halved where memory runs out."""

import shutil

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


class Plain(nn.Module):
    """A convolution, a batch norm and a pooling, as a compiler likes them."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.convolution, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.convolution(x)).relu().mean((2, 3))


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
        "cpu has too little memory for 10 images at once: continuing with 5 (--batch-size)",
        "cpu has too little memory for 5 images at once: continuing with 2 (--batch-size)",
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


@pytest.fixture
def compiler() -> None:
    if shutil.which("g++") is None:
        pytest.skip("needs g++")


def graphs() -> int:
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"]


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-6), ("bf16", 0.02), ("fp16", 0.003)])
def test_compiled_it_is_the_same_network_and_an_odd_last_batch_is_not_compiled_again(compiler, precision, bound):
    said, before = [], graphs()
    forward = Forward(network := Plain(), scaled, CPU, precision, said.append, compile_for=8)
    whole, odd, one = forward(pixels(8)), forward(pixels(5)), forward(pixels(1))
    assert graphs() == before + 1
    assert [len(features) for features in (whole, odd, one)] == [8, 5, 1]
    assert whole.dtype == torch.float32
    assert (whole - Forward(Plain(), scaled, CPU, "fp32", said.append)(pixels(8))).abs().max() <= bound
    assert torch.equal(forward(pixels(8)), whole)
    # What a row is does not depend on what the batch is filled up with.
    assert torch.equal(odd, forward(torch.cat([pixels(5), pixels(3)]))[:5])
    assert [event.text for event in said] == ["compiling the network for 8 images at once: this takes a while"]
    assert forward.compiling_s > 0
    with torch.no_grad():
        network.convolution.weight.zero_()
    assert torch.equal(forward(pixels(8)), whole)  # the weights are constants of the code, which makes it fast


@pytest.mark.slow
def test_every_network_of_a_process_is_compiled_however_many_went_before(compiler):
    from torch._dynamo import config

    with config.patch(recompile_limit=1):
        for number in range(3):
            before = graphs()
            forward = Forward(Plain(seed=number), scaled, CPU, "fp32", lambda event: None, compile_for=2)
            expected = Forward(Plain(seed=number), scaled, CPU, "fp32", lambda event: None)(pixels(2))
            assert torch.allclose(forward(pixels(2)), expected, atol=1e-6)
            assert graphs() == before + 1


@pytest.mark.slow
def test_where_memory_runs_out_it_is_compiled_for_half_as_many(compiler):
    said, before, most = [], graphs(), 8

    def scaled_where_it_fits(batch: torch.Tensor) -> torch.Tensor:
        if len(batch) > most:
            raise RuntimeError(OUT_OF_MEMORY)
        return scaled(batch)

    forward = Forward(Plain(), scaled_where_it_fits, CPU, "fp32", said.append, compile_for=8)
    forward(pixels(7))
    most = 4
    features = forward(pixels(7))
    assert torch.equal(forward(pixels(7)), features)
    assert graphs() == before + 2
    assert torch.allclose(features, Forward(Plain(), scaled, CPU, "fp32", said.append)(pixels(7)), atol=1e-6)
    assert [event.text.partition(":")[0] for event in said] == [
        "compiling the network for 8 images at once",
        "cpu has too little memory for 8 images at once",
        "compiling the network for 4 images at once",
    ]


@pytest.mark.slow
def test_a_network_that_cannot_be_compiled_is_reported(compiler):
    from torch._inductor import config

    forward = Forward(Plain(seed=7), scaled, CPU, "fp32", lambda event: None, compile_for=3)
    with config.patch({"cpp.cxx": ("no-such-compiler",)}), pytest.raises(CapabilityError) as raised:
        forward(pixels(3))
    reported, advice = str(raised.value).splitlines()
    assert reported.startswith("this network cannot be compiled: ")
    assert "no-such-compiler" in reported
    assert advice == "leave --compile out"
