"""Steps of torch's optimizers without labels: what else they do, they still do."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import StepLR
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from clearctl.strategies.stepping.optimizer import clear_gradients, update_weights

Make = Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda weights: torch.optim.Adam(weights, lr=0.1),
    "asgd": lambda weights: torch.optim.ASGD(weights, lr=0.1),
}


def learned(make: Make, step: Callable[[Any], Any], clear: Callable[[Any], Any]) -> list[torch.Tensor]:
    """The weights and the optimizer's state after a few steps under a schedule."""
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 3)
    optimizer = make(list(network.parameters()))
    scheduler = StepLR(optimizer, 2)
    for _ in range(5):
        clear(optimizer)
        assert all(weight.grad is None for weight in network.parameters())
        network(torch.randn(8, 4)).square().sum().backward()
        step(optimizer)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # StepLR warns where the optimizer has made no step
            scheduler.step()
    state = [value for values in optimizer.state.values() for value in values.values() if torch.is_tensor(value)]
    return [*(weight.detach() for weight in network.parameters()), *state]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_and_states_are_torchs(name: str) -> None:
    ours = learned(OPTIMIZERS[name], update_weights, clear_gradients)
    theirs = learned(OPTIMIZERS[name], lambda one: one.step(), lambda one: one.zero_grad())
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


class Own(torch.optim.SGD):
    """One with methods of its own."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.cleared = True
        super().zero_grad(set_to_none)


def one_of(kind: type[torch.optim.SGD]) -> Any:
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    return kind([weight], lr=0.1)


def test_methods_of_an_own_optimizer_are_called() -> None:
    optimizer = one_of(Own)
    clear_gradients(optimizer)
    assert optimizer.cleared
    called = []
    optimizer.step = lambda: called.append("step")  # such as a wrapper of a library
    optimizer.zero_grad = lambda: called.append("zero_grad")
    update_weights(optimizer)
    clear_gradients(optimizer)
    assert called == ["step", "zero_grad"]


def test_hooks_are_called() -> None:
    optimizer, called = one_of(torch.optim.SGD), []
    for where, register in (
        ("before", optimizer.register_step_pre_hook),
        ("after", optimizer.register_step_post_hook),
        ("before all", register_optimizer_step_pre_hook),
        ("after all", register_optimizer_step_post_hook),
    ):
        hook = register(lambda *_, where=where: called.append(where))
        update_weights(optimizer)
        hook.remove()
    update_weights(optimizer)
    assert called == ["before", "after", "before all", "after all"]


def test_a_profiler_sees_its_labels() -> None:
    optimizer = one_of(torch.optim.SGD)
    with torch.autograd.profiler.profile() as profiled:
        update_weights(optimizer)
        clear_gradients(optimizer)
    assert {"Optimizer.step#SGD.step", "Optimizer.zero_grad#SGD.zero_grad"} <= {
        event.name for event in profiled.function_events
    }
