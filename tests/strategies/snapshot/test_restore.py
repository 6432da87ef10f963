"""A state loaded into live objects: they stay the same objects, and nothing is made that is not known."""

import copy
from typing import Any

import pytest
import torch
from avalanche.evaluation.metrics import Mean
from avalanche.training.plugins import LwFPlugin, MASPlugin
from torch import nn

from clearctl.strategies.snapshot.capture import Capturer
from clearctl.strategies.snapshot.restore import CannotRestoreError, restore

CPU = torch.device("cpu")


def learner() -> tuple[nn.Module, Any]:
    """A network with buffers, and an optimizer over it that has taken a step."""
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    step(network, optimizer)
    return network, optimizer


def step(network: nn.Module, optimizer: Any) -> None:
    optimizer.zero_grad()
    network(torch.arange(6.0).reshape(2, 3)).square().sum().backward()
    optimizer.step()


def test_a_network_and_its_optimizer_continue_as_if_nothing_had_been() -> None:
    network, optimizer = learner()
    nodes = Capturer({}).capture({"network": network, "optimizer": optimizer}, CPU)
    other, others = learner()
    weights = list(other.parameters())
    hook_calls: list[int] = []
    other[0].register_forward_hook(lambda *arguments: hook_calls.append(1))
    restore(nodes, {"network": other, "optimizer": others}, {}, CPU)
    assert [id(weight) for weight in other.parameters()] == [id(weight) for weight in weights]
    for _ in range(3):
        step(network, optimizer)
        step(other, others)
    for name, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert len(hook_calls) == 3  # what hangs on a network is structure


def test_a_network_that_is_not_there_is_a_copy_of_its_own() -> None:
    network, _ = learner()
    old = copy.deepcopy(network).eval().requires_grad_(False)
    holder = Mean()
    holder.__dict__ = {"old": old, "means": None}
    nodes = Capturer({}).capture({"network": network, "holder": holder}, CPU)
    other, _ = learner()
    live = Mean()
    live.__dict__ = {"old": None, "means": 3, "gone": 4}
    restore(nodes, {"network": other, "holder": live}, {}, CPU)
    assert vars(live).keys() == {"old", "means"}
    assert live.old is not other
    assert not live.old.training
    assert not any(weight.requires_grad for weight in live.old.parameters())
    x = torch.randn(5, 3)
    assert torch.equal(live.old(x), old(x))
    other[0].weight.data.zero_()
    assert torch.equal(live.old(x), old(x))


def test_a_layer_that_grew_is_as_large_as_it_was() -> None:
    network = nn.Sequential(nn.Linear(3, 5))
    nodes = Capturer({}).capture({"network": network}, CPU)
    smaller = nn.Sequential(nn.Linear(3, 2))
    restore(nodes, {"network": smaller}, {}, CPU)
    assert torch.equal(smaller[0].weight, network[0].weight)
    assert isinstance(smaller[0].weight, nn.Parameter)


@pytest.mark.parametrize(
    "name",
    [
        "os.PathLike",
        "subprocess.Popen",
        "clearctl.engine.machine.subprocess.Popen",
        "builtins.eval",
        "torch.load",
        "clearctl.nothing.There",
        "torch",
    ],
)
def test_no_class_is_made_that_states_do_not_know(name: str) -> None:
    live = Mean()
    nodes = [("root", ("object", 0, "avalanche.evaluation.metrics.mean.Mean", {"a": ("object", 1, name, {})}))]
    with pytest.raises(CannotRestoreError, match=rf"root.a: no class {name} found"):
        restore(nodes, {"root": live}, {}, CPU)


def test_nothing_is_called_but_what_holds_values() -> None:
    nodes = [("root", ("named", "torch.nn.modules.linear.Linear", [3, 4]))]
    with pytest.raises(CannotRestoreError, match="Linear is not a tuple"):
        restore(nodes, {"root": Mean()}, {}, CPU)


def test_a_state_of_another_kind_of_run_is_refused() -> None:
    nodes = Capturer({}).capture({"root": nn.Linear(2, 2)}, CPU)
    with pytest.raises(CannotRestoreError, match="root: the state is of another kind of run"):
        restore(nodes, {"root": nn.ReLU()}, {}, CPU)


def test_an_object_that_only_other_data_has_is_refused() -> None:
    rows = torch.zeros(3)
    holder, live = Mean(), Mean()
    holder.__dict__ = {"rows": rows}
    nodes = Capturer({"train.7.x": rows}).capture({"root": holder}, CPU)
    with pytest.raises(CannotRestoreError, match=r"root.rows: the run has no train\.7\.x"):
        restore(nodes, {"root": live}, {}, CPU)


def test_a_plugin_of_another_class_is_refused_instead_of_made_empty() -> None:
    nodes = Capturer({}).capture({"plugins": [LwFPlugin()]}, CPU)
    with pytest.raises(
        CannotRestoreError, match=r"plugins\[0\]: the state has a .*LwFPlugin, but this run has a .*MASPlugin"
    ):
        restore(nodes, {"plugins": [MASPlugin()]}, {}, CPU)
