"""A network shared by processes that talk: scores and gradients are those of one process, on all of them alike."""

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from process_groups import run_in_processes
from torch import nn
from torch.nn import functional

from clearctl.distributed import world
from clearctl.distributed.randomness import passes, random_states, seed_everything, set_random_states
from clearctl.distributed.split import Shard, own_rows
from clearctl.models.classifier import head_outputs, sum_of_outputs
from clearctl.models.parallel import share_passes

DIM, CLASSES = 5, 4

Found = dict[str, Any]
Task = Callable[[], Found]


def shared(network: nn.Module) -> nn.Module:
    """`network` with weights of its own, shared where there are several processes."""
    generator = torch.Generator().manual_seed(1)
    network = network.double()
    for parameter in network.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) / 2)
    if world.size() > 1:
        share_passes(network)
    return network


def plain_network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(DIM, 6), nn.Tanh(), nn.Linear(6, CLASSES))


def batch(size: int, *shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(100 * size + seed)
    x = torch.randn(size, *(shape or (DIM,)), generator=generator, dtype=torch.float64)
    return x, torch.randint(0, CLASSES, (size,), generator=generator)


def read(x: torch.Tensor) -> torch.Tensor:
    """What a loader gives of `x`: where there are several processes, the part that this one has read."""
    return Shard.of(x[own_rows(len(x))].clone(), len(x)) if world.size() > 1 else x


def found(network: nn.Module, *scores: torch.Tensor) -> Found:
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    return {**gradients, **{f"scores {number}": one.detach() for number, one in enumerate(scores)}}


def a_whole_batch() -> Found:
    network, (x, y) = shared(plain_network()), batch(11)
    scores = network(x)
    functional.cross_entropy(scores, y).backward()
    return found(network, scores)


def a_part_that_was_read() -> Found:
    network, (x, y) = shared(plain_network()), batch(11)
    scores = network(read(x))
    functional.cross_entropy(scores, y, weight=torch.tensor([1.0, 2.0, 3.0, 4.0]).double()).backward()
    return found(network, scores)


def joined(*sizes: int) -> Found:
    """As DER learns: a batch of the memory before one of the bucket, with a loss on each."""
    network = shared(plain_network())
    batches = [batch(size, seed=place) for place, size in enumerate(sizes)]
    scores = network(torch.cat([read(x) for x, _ in batches]))
    loss = functional.mse_loss(scores[: sizes[0]], batches[0][0][:, :CLASSES])
    for part, (_, y) in zip(scores.split(sizes), batches, strict=True):
        loss = loss + functional.cross_entropy(part, y)
    loss.backward()
    return found(network, scores)


def parts_that_are_joined() -> Found:
    return joined(7, 11)


def a_short_part_before_a_longer_one() -> Found:
    return joined(3, 11)


def a_short_part_after_a_longer_one() -> Found:
    return joined(10, 1)


def short_parts() -> Found:
    return joined(3, 2, 1)


def two_passes_before_one_backward() -> Found:
    """As ER_ACE learns."""
    network = shared(plain_network())
    (x, y), (other_x, other_y) = batch(11), batch(6)
    scores, others = network(x), network(read(other_x))
    (functional.cross_entropy(scores, y) + functional.cross_entropy(others[:, :3], other_y.clamp(max=2))).backward()
    return found(network, scores, others)


def a_loss_on_the_weights_too() -> Found:
    """As EWC's and MAS's penalty."""
    network, (x, y) = shared(plain_network()), batch(11)
    scores = network(x)
    penalty = sum(weights.pow(2).sum() for weights in network.parameters())
    (functional.cross_entropy(scores, y, reduction="sum") + 0.3 * penalty).backward()
    return found(network, scores)


def several_backwards() -> Found:
    """Gradients add up; and one whose loss is on the weights alone has no pass to go back through."""
    network, (x, y), (other_x, other_y) = shared(plain_network()), batch(11), batch(2)
    scores = network(x)
    loss = functional.cross_entropy(scores, y)
    loss.backward(retain_graph=True)
    (3 * loss).backward()
    others = network(other_x)
    functional.cross_entropy(others, other_y).backward()
    (0.1 * next(network.parameters()).sum()).backward()
    return found(network, scores, others)


def frozen_and_unused_weights() -> Found:
    network, (x, y) = shared(plain_network()), batch(11)
    network[0].requires_grad_(False)  # type: ignore[index]
    unused = network[1].unused = nn.Linear(2, 2)  # type: ignore[index]
    scores = network(x)
    functional.cross_entropy(scores, y).backward()
    assert network[0].weight.grad is None  # type: ignore[index]
    assert unused.weight.grad is None
    return found(network, scores)


def weights_of_two_dtypes() -> Found:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(DIM, 6), nn.Linear(6, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x).float())

    network, (x, y) = shared(Mixed()), batch(11)
    network.second.float()  # type: ignore[operator, union-attr]
    scores = network(x)
    functional.cross_entropy(scores, y).backward()
    return found(network, scores)


def a_short_batch_whose_scores_are_changed() -> Found:
    network, (x, y) = shared(plain_network()), batch(3)
    scores = network(x)
    scores[:, 0] -= 1
    scores.mul_(2)
    functional.cross_entropy(scores, y).backward()
    return found(network, scores)


def a_long_batch_whose_scores_are_changed() -> Found:
    network, (x, y) = shared(plain_network()), batch(12)
    scores = network(x)
    scores[:, 0] -= 1
    functional.cross_entropy(scores, y).backward()
    return found(network, scores)


def one_sample() -> Found:
    network, (x, y) = shared(plain_network()), batch(1)
    scores = network(read(x))
    functional.cross_entropy(scores, y).backward()
    return found(network, scores)


class TwoHeads(nn.Module):
    """As a Classifier with a ConformerHead: its scores are the sum of two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(DIM, CLASSES), nn.Linear(DIM, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sum_of_outputs((self.first(x), self.second(x)))


def several_outputs() -> Found:
    network, (x, y) = shared(TwoHeads()), batch(11)
    scores = network(x)
    outputs = head_outputs(scores)
    assert len(outputs) == 2
    sum(functional.cross_entropy(output, y) for output in outputs).backward()
    return found(network, scores, *outputs)


def convolutions_in_channels_last() -> Found:
    convolution = nn.Conv2d(3, 4, 3)
    network = shared(nn.Sequential(convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x, y = batch(11, 3, 6, 6)
    scores = network(x.contiguous(memory_format=torch.channels_last))
    functional.cross_entropy(scores, y).backward()
    assert convolution.weight.grad is not None
    assert convolution.weight.grad.is_contiguous(memory_format=torch.channels_last)
    return found(network, scores)


def passes_without_gradients() -> Found:
    network, (x, _), (other, _) = shared(plain_network()).eval(), batch(11), batch(3)
    with torch.no_grad():
        scores = network(x), network(read(other))
    assert not any(one.requires_grad for one in scores)
    return found(network, *scores)


def copies() -> Found:
    """As LwF's teacher, and the network that GDumb starts again with."""
    network, (x, y) = shared(plain_network()), batch(11)
    functional.cross_entropy(network(x), y).backward()
    teacher, again = copy.deepcopy(network).eval(), copy.deepcopy(network)
    with torch.no_grad():
        old = teacher(read(x))
    again.zero_grad()
    scores = again(read(x))
    (
        functional.cross_entropy(scores, y)
        + functional.kl_div(scores.log_softmax(1), old.softmax(1), reduction="batchmean")
    ).backward()
    return {**found(network, old), **{f"again {name}": value for name, value in found(again, scores).items()}}


TASKS: tuple[Task, ...] = (
    a_whole_batch,
    a_part_that_was_read,
    parts_that_are_joined,
    a_short_part_before_a_longer_one,
    a_short_part_after_a_longer_one,
    short_parts,
    two_passes_before_one_backward,
    a_loss_on_the_weights_too,
    several_backwards,
    frozen_and_unused_weights,
    weights_of_two_dtypes,
    a_short_batch_whose_scores_are_changed,
    a_long_batch_whose_scores_are_changed,
    one_sample,
    several_outputs,
    convolutions_in_channels_last,
    passes_without_gradients,
    copies,
)


def all_tasks() -> dict[str, Found]:
    return {task.__name__: task() for task in TASKS}


@pytest.fixture(scope="module")
def alone() -> dict[str, Found]:
    return all_tasks()


@pytest.fixture(scope="module", params=[2, 3])
def together(request: pytest.FixtureRequest) -> list[dict[str, Found]]:
    return run_in_processes(request.param, all_tasks)


@pytest.mark.parametrize("name", [task.__name__ for task in TASKS])
def test_scores_and_gradients(name: str, alone: dict[str, Found], together: list[dict[str, Found]]) -> None:
    expected = alone[name]
    for rank, tasks in enumerate(together):
        assert tasks[name].keys() == expected.keys()
        for key, value in expected.items():
            ours, first = tasks[name][key], together[0][name][key]
            if value is None:
                assert ours is None
                continue
            assert torch.equal(ours, first), (rank, key)
            tolerance = 1e-12 if name != "weights_of_two_dtypes" else 1e-4
            torch.testing.assert_close(ours, value, rtol=tolerance, atol=1e-3 * tolerance)


def running_means() -> dict[str, Any]:
    """The running means and scores of a network with a batch norm, at each stage of its use."""
    norm = nn.BatchNorm1d(DIM)
    network = shared(nn.Sequential(norm, nn.Linear(DIM, CLASSES)))
    (x, y), (other, other_y) = batch(11), batch(13)
    stages: dict[str, Any] = {}
    begun = norm.running_mean
    assert begun is not None

    def mean(of: nn.Module = network) -> torch.Tensor:
        return of[0].running_mean.clone()  # type: ignore[index, no-any-return]

    functional.cross_entropy(network(x), y).backward()
    stages["learned"] = mean()
    teacher = copy.deepcopy(network).eval()
    with torch.no_grad():
        stages["scores of the copy"] = teacher(other)
    stages["the copy"] = mean(teacher)
    stages["not yet passed again"] = mean()
    network.eval()
    with torch.no_grad():
        stages["scores"] = network(other)
    stages["tested"] = mean()
    network.train()
    loss = functional.cross_entropy(network(x), y) + functional.cross_entropy(network(other), other_y)
    loss.backward()  # through two passes, with the running means sent in between
    norm.eval()  # as those of a frozen part
    functional.cross_entropy(network(x), y).backward()
    stages["frozen"] = mean()
    stages["count"] = norm.num_batches_tracked
    stages["gradient"] = network[1].weight.grad  # type: ignore[index]
    assert norm.running_mean is begun  # the same tensor, which others may hold
    return stages


def test_running_means_are_the_firsts_at_the_next_pass() -> None:
    ranks = run_in_processes(3, running_means)
    first = ranks[0]
    for other in ranks[1:]:
        assert not torch.equal(other["learned"], first["learned"])  # each has those of its rows
        assert torch.equal(other["not yet passed again"], other["learned"])
        for name in ("the copy", "tested"):
            assert torch.equal(other[name], first["learned"]), name
        for name in ("scores of the copy", "scores", "frozen", "gradient"):
            assert torch.equal(other[name], first[name]), name
    assert [int(stages["count"]) for stages in ranks] == [3, 3, 3]


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def drop_out() -> dict[str, Any]:
    """The masks of passes through a dropout, and what is drawn between them."""
    seed_everything(5)
    network = shared(nn.Sequential(nn.Flatten(), nn.Dropout(0.5)))
    ones, few = torch.ones(12, 64), torch.ones(3, 64)
    seen: dict[str, Any] = {"draws": [draws()]}
    seen["masks"] = [network(ones)]
    seen["draws"].append(draws())
    states = random_states()
    seen["masks"] += [network(ones), network(Shard.of(ones[own_rows(12)], 12) if world.size() > 1 else ones)]
    seen["draws"].append(draws())
    seen["passes"] = passes()
    seen["short"] = network(few)
    seen["draws"].append(draws())
    seen["tested"] = network.eval()(ones)
    seen["passes at the end"] = passes()
    set_random_states(world.broadcast(states))  # as a run that is resumed
    seen["again"] = network.train()(ones)
    return seen


def test_dropout() -> None:
    ranks = run_in_processes(3, drop_out)
    first = ranks[0]
    for other in ranks[1:]:
        for name in ("short", "tested"):
            assert torch.equal(other[name], first[name]), name
        for mask, same in zip(other["masks"], first["masks"], strict=True):
            assert torch.equal(mask, same)
    # Of each process, in each pass, for each row.
    assert len({tuple(row.tolist()) for mask in first["masks"] for row in mask}) == 36
    assert torch.equal(first["tested"], torch.ones(12, 64))
    assert [(seen["passes"], seen["passes at the end"]) for seen in ranks] == [(3, 3)] * 3
    for seen in ranks:
        assert torch.equal(seen["again"], first["masks"][1])


def test_what_is_drawn_between_passes_is_as_in_one_process_without_dropout() -> None:
    states = random_states()
    ranks = run_in_processes(2, drop_out)
    seed_everything(5)
    expected = [draws(), draws(), draws()]
    nn.functional.dropout(torch.ones(3, 64), 0.5)  # of the short batch, alike in all
    expected.append(draws())
    set_random_states(states)
    assert [seen["draws"] for seen in ranks] == [expected] * 2
