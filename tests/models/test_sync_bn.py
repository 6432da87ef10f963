"""Batch norms over the rows of all processes: what one process learns with torch's own, over the whole batch."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from process_groups import run_in_processes
from torch import nn
from torch.nn import functional

from clearctl.distributed import world
from clearctl.distributed.split import Shard, own_rows
from clearctl.errors import ConfigError
from clearctl.models.parallel import share_passes
from clearctl.models.sync_bn import SyncBatchNorm, synchronised

CHANNELS = 4

Task = Callable[[], nn.Module]


def vectors(**arguments: Any) -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, CHANNELS), nn.BatchNorm1d(CHANNELS, **arguments), nn.Linear(CHANNELS, 3))


def sequences() -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 5)), nn.Conv1d(1, CHANNELS, 2), nn.BatchNorm1d(CHANNELS), nn.Flatten())


def images() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 1, 5)),
        nn.Conv2d(1, CHANNELS, (1, 2), bias=False),
        nn.BatchNorm2d(CHANNELS),
        nn.ReLU(),
        nn.Conv2d(CHANNELS, CHANNELS, 1),
        nn.BatchNorm2d(CHANNELS, eps=1e-3, momentum=0.3),
        nn.Flatten(),
    )


def without_affine() -> nn.Module:
    return vectors(affine=False)


def averaged() -> nn.Module:
    return vectors(momentum=None)


def untracked() -> nn.Module:
    return vectors(track_running_stats=False)


class Frozen(nn.Sequential):
    """Its batch norm stays in eval mode, as in the frozen parts of a Classifier."""

    def train(self, mode: bool = True) -> "Frozen":
        super().train(mode)
        self[1].eval()
        return self


def frozen() -> nn.Module:
    network = Frozen(*vectors()).train()
    network[1].running_mean.fill_(0.5)
    return network


NETWORKS: tuple[Task, ...] = (vectors, sequences, images, without_affine, averaged, untracked, frozen)


def read(x: torch.Tensor) -> torch.Tensor:
    """What a loader gives of `x`: where there are several processes, the part that this one has read."""
    return Shard.of(x[own_rows(len(x))], len(x)) if world.size() > 1 else x


def learned(make: Task) -> dict[str, torch.Tensor]:
    """Weights, running means, gradients and scores of a network on its way through a few batches."""
    generator = torch.Generator().manual_seed(3)

    def batch(size: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = 3 + 2 * torch.randn(size, 5, generator=generator, dtype=torch.float64)
        return x, torch.randint(0, 3, (size,), generator=generator)

    network = make().double()
    for parameter in network.parameters():
        parameter.data.copy_(torch.rand(parameter.shape, generator=generator))
    if world.size() > 1:
        network = synchronised(network)
        share_passes(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    found: dict[str, torch.Tensor] = {}

    def learn(name: str, *batches: tuple[torch.Tensor, torch.Tensor]) -> None:
        optimizer.zero_grad()
        scores = network(torch.cat([read(x) for x, _ in batches]))
        functional.cross_entropy(scores, torch.cat([y for _, y in batches])).backward()
        found[f"{name} scores"] = scores.detach()
        for key, parameter in network.named_parameters():
            assert parameter.grad is not None
            found[f"{name} gradient {key}"] = parameter.grad.clone()
        optimizer.step()
        for key, value in network.state_dict().items():
            found[f"{name} {key}"] = value.clone()

    learn("a batch", batch(13))
    learn("a short one", batch(3))  # of which each process computes all
    learn("joined ones", batch(3), batch(8))  # and here its share
    network.eval()
    with torch.no_grad():
        found["tested"] = network(batch(7)[0])
        found["a copy tested"] = copy.deepcopy(network)(read(batch(9)[0]))
    network.train()
    learn("another", batch(12))
    return found


def all_learned() -> dict[str, dict[str, torch.Tensor]]:
    return {make.__name__: learned(make) for make in NETWORKS}


@pytest.fixture(scope="module")
def alone() -> dict[str, dict[str, torch.Tensor]]:
    return all_learned()


@pytest.fixture(scope="module", params=[2, 3])
def together(request: pytest.FixtureRequest) -> list[dict[str, dict[str, torch.Tensor]]]:
    return run_in_processes(request.param, all_learned)


@pytest.mark.parametrize("name", [make.__name__ for make in NETWORKS])
def test_everything_is_as_over_the_whole_batch_in_one_process(
    name: str,
    alone: dict[str, dict[str, torch.Tensor]],
    together: list[dict[str, dict[str, torch.Tensor]]],
) -> None:
    expected = alone[name]
    for networks in together:
        assert networks[name].keys() == expected.keys()
        for key, value in expected.items():
            ours = networks[name][key]
            assert torch.equal(ours, together[0][name][key]), key
            torch.testing.assert_close(ours, value, rtol=1e-11, atol=1e-12)


def in_bfloat16() -> dict[str, torch.Tensor]:
    """As vectors are learned under autocast: batch norms reckon in float32 all the same."""
    torch.manual_seed(0)
    network = vectors()
    x = 3 + torch.randn(300, 5)
    if world.size() > 1:
        network = synchronised(network)
        share_passes(network)
    with torch.autocast("cpu", torch.bfloat16):
        seen: list[torch.Tensor] = []
        network[1].register_forward_hook(lambda module, given, y: seen.append(y))  # type: ignore[index]
        network(x).float().sum().backward()
    assert seen[0].dtype is torch.bfloat16
    return {**network.state_dict(), "gradient": network[1].bias.grad}  # type: ignore[index]


def test_narrow_numbers() -> None:
    expected = in_bfloat16()
    for found in run_in_processes(2, in_bfloat16):
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", NETWORKS)
def test_in_one_process_they_are_torchs_own(make: Task) -> None:
    torch.manual_seed(0)
    plain = make()
    network = synchronised(copy.deepcopy(plain))
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(type(norm) is SyncBatchNorm for norm in norms)
    assert network.state_dict().keys() == plain.state_dict().keys()
    for training in (True, False):
        x = torch.randn(9, 5)
        scores = [one.train(training)(x) for one in (plain, network)]
        assert torch.equal(*scores)
        for one in scores:
            one.sum().backward()
        for (name, ours), theirs in zip(network.named_parameters(), plain.parameters(), strict=True):
            assert ours.grad is not None
            assert torch.equal(ours.grad, theirs.grad), name
        for ours, theirs in zip(network.buffers(), plain.buffers(), strict=True):
            assert torch.equal(ours, theirs)


def test_a_network_that_is_a_batch_norm_and_weights_that_are_given() -> None:
    norm = nn.BatchNorm2d(3)
    made = synchronised(norm)
    assert type(made) is SyncBatchNorm
    assert made.weight is norm.weight
    assert made.running_mean is norm.running_mean
    plain = nn.Linear(2, 2)
    assert synchronised(plain) is plain


def test_batch_norms_with_an_activation_in_them_are_refused() -> None:
    timm = pytest.importorskip("timm")
    network = timm.create_model("mobilenetv3_small_050", num_classes=0)
    with pytest.raises(ConfigError, match=r"sync_bn: bn1 is a BatchNormAct2d, which does more than a batch norm"):
        synchronised(network)
    resnet = timm.create_model("resnet18", num_classes=0)
    assert type(synchronised(resnet).bn1) is SyncBatchNorm
