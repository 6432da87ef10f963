"""CUDA graphs of the rehearsal GPU find what is wrong with a program that captures one."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from rehearsal.gpu import RehearsalGpu


@pytest.fixture
def gpu() -> Iterator[RehearsalGpu]:
    with RehearsalGpu() as gpu:
        yield gpu


class Model:
    """A weight that is learned by gradient descent; `rate` may be a number of Python's or a tensor."""

    def __init__(self, rate: Any = 0.1) -> None:
        self.weight = torch.ones(3, device="cuda")
        self.x = torch.full((3,), 2.0, device="cuda")
        self.rate = rate

    def step(self) -> torch.Tensor:
        leaf = self.weight.detach().requires_grad_()
        loss = (leaf * self.x).square().sum()
        [gradient] = torch.autograd.grad(loss, [leaf])
        self.weight.sub_(gradient * self.rate)
        return loss.detach()


def captured(step: Callable[[], torch.Tensor]) -> tuple[Any, torch.Tensor]:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        gave = step()
    return graph, gave


def test_a_capture_computes_nothing(gpu: RehearsalGpu) -> None:
    model = Model()
    _, gave = captured(model.step)
    assert model.weight.tolist() == [1.0] * 3
    assert gave.isnan().item()


def test_a_replay_is_the_step_in_the_memory_of_then_and_one_launch(gpu: RehearsalGpu) -> None:
    model, other = Model(), Model()
    graph, gave = captured(model.step)
    for x in (2.0, 3.0, 0.5):
        model.x.fill_(x)
        other.x.fill_(x)
        launches = gpu.launches.total()
        graph.replay()
        assert gpu.launches.total() == launches + 1
        assert gave.item() == other.step().item()
        assert model.weight.tolist() == other.weight.tolist()
    assert graph.replays == 3


def test_a_number_of_pythons_stays_what_it_was(gpu: RehearsalGpu) -> None:
    weights = []
    for rate in (0.1, torch.tensor(0.1).to("cuda")):
        model = Model(rate)
        graph, _ = captured(model.step)
        model.rate = 0.0 if isinstance(rate, float) else rate.zero_()
        graph.replay()
        weights.append(model.weight.tolist())
    assert weights[0] != [1.0] * 3
    assert weights[1] == [1.0] * 3


def test_a_tensor_that_was_replaced_is_freed_memory(gpu: RehearsalGpu) -> None:
    model = Model()
    graph, _ = captured(model.step)
    model.x = torch.full((3,), 3.0, device="cuda")
    with pytest.raises(RuntimeError, match="was freed"):
        graph.replay()


@pytest.mark.parametrize(
    "waiting",
    [
        lambda loss: loss.item(),
        lambda loss: loss.cpu(),
        lambda loss: loss + torch.ones(3).to("cuda"),
        lambda loss: torch.cuda.synchronize(),
    ],
)
def test_what_waits_cannot_be_captured(gpu: RehearsalGpu, waiting: Callable[[torch.Tensor], Any]) -> None:
    model = Model()

    def step() -> torch.Tensor:
        loss = model.step()
        waiting(loss)
        return loss

    with pytest.raises(RuntimeError, match="operation not permitted when stream is capturing"):
        captured(step)
    assert model.weight.tolist() == [1.0] * 3
    assert not gpu.capturing
