"""The bare loop does what the strategies do: otherwise the ratios to it would mean nothing."""

import copy
from types import SimpleNamespace

import pytest
import torch
from avalanche.training.plugins import EWCPlugin
from avalanche.training.plugins.ewc import ParamData
from avalanche.training.regularization import LearningWithoutForgetting

from benchmarks.sides import bare


@pytest.fixture
def layer() -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(6, 3)


def test_the_distillation_is_avalanches(layer: torch.nn.Linear):
    teacher = copy.deepcopy(layer)
    torch.nn.init.normal_(layer.weight)
    x = torch.randn(5, 6)
    avalanche = LearningWithoutForgetting(alpha=1.5, temperature=2.0)
    avalanche.prev_model, avalanche.prev_classes_by_task = teacher, {0: {0, 1, 2}}
    wanted = avalanche(x, layer(x), layer)
    assert torch.allclose(bare._distillation(teacher, 1.5, 2.0)(x, layer(x)), wanted)
    assert wanted > 0


def test_the_pull_of_two_earlier_buckets_is_ewcs(layer: torch.nn.Linear):
    earlier = [[(torch.rand_like(p), torch.randn_like(p)) for p in layer.parameters()] for _ in range(2)]
    plugin = EWCPlugin(ewc_lambda=0.4, mode="separate")
    for number, bucket in enumerate(earlier):
        for (name, parameter), (importance, value) in zip(layer.named_parameters(), bucket, strict=True):
            plugin.importances[number][name] = ParamData(name, parameter.shape, init_tensor=importance)
            plugin.saved_params[number][name] = ParamData(name, parameter.shape, init_tensor=value)
    clock = SimpleNamespace(train_exp_counter=2)
    strategy = SimpleNamespace(clock=clock, model=layer, device="cpu", loss=torch.zeros(()))
    plugin.before_backward(strategy)
    assert torch.allclose(bare._pull(layer, earlier, 0.4)(None, None), strategy.loss)


def test_importances_are_ewcs(layer: torch.nn.Linear):
    x, y = torch.randn(600, 6), torch.arange(600) % 3
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    found = bare._importances(layer, optimizer, x, y, torch.arange(600))
    samples = torch.utils.data.TensorDataset(x, y, torch.zeros(600))
    plugin = EWCPlugin(ewc_lambda=0.4)
    criterion = torch.nn.functional.cross_entropy
    wanted = plugin.compute_importances(layer, criterion, optimizer, samples, "cpu", bare.BATCH)
    for (importance, value), parameter, expected in zip(found, layer.parameters(), wanted.values(), strict=True):
        assert torch.allclose(importance, expected.data)
        assert torch.equal(value, parameter)


def test_every_batch_has_a_batch_of_the_memory_behind_it_which_starts_again():
    rows, memory = torch.arange(1000), torch.arange(1000, 1300)
    batches = list(bare._batches(rows, memory))
    assert [len(batch) for batch in batches] == [512, 300, 512, 276]  # 256 + 256, 256 + 44, 256 + 256, 232 + 44
    current = torch.cat([batch[batch < 1000] for batch in batches])
    assert sorted(current.tolist()) == rows.tolist()
    assert sorted(torch.cat([batch[batch >= 1000] for batch in batches[:2]]).tolist()) == memory.tolist()


def test_the_memory_has_the_same_share_of_every_bucket():
    memory = bare._memory((torch.arange(100), torch.arange(100, 200), torch.arange(200, 300)), 60)
    assert [int(((memory >= first) & (memory < first + 100)).sum()) for first in (0, 100, 200)] == [20, 20, 20]
    assert len(set(memory.tolist())) == 60
