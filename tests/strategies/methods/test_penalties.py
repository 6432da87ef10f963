"""What LwF, EWC and MAS add to the loss is Avalanche's, bit by bit: loss and gradients."""

from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from avalanche.training import LearningWithoutForgetting
from avalanche.training.plugins import EWCPlugin, MASPlugin
from avalanche.training.utils import ParamData
from torch import nn

from clearctl.strategies.methods.penalties import distillation_loss, ewc_before_backward, mas_before_backward

BUCKETS = 3


def bits(*values: torch.Tensor) -> list[list[int]]:
    """So that 0.0 and -0.0 differ."""
    return [value.detach().contiguous().view(torch.int32).flatten().tolist() for value in values]


@pytest.mark.parametrize("classes", [{0, 1, 2, 3, 4}, {0, 2, 3}, {4}])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_distillation(classes: set[int], batch: int) -> None:
    generator = torch.Generator().manual_seed(batch)
    before = torch.randn(batch, 5, generator=generator)
    now = torch.randn(batch, 5, generator=generator)
    # As in a step, where scores have the gradient of the cross-entropy too; one sample is known by heart.
    now[0] = torch.tensor([200.0, 0.0, 0.0, 0.0, 0.0])
    y = torch.randint(0, 5, (batch,), generator=generator)
    lwf = LearningWithoutForgetting(temperature=2.0)

    def found(penalty: Callable[..., torch.Tensor]) -> list[list[int]]:
        scores = now.clone().requires_grad_()
        loss = nn.functional.cross_entropy(scores, y) + penalty(lwf, scores, before, classes)
        loss.backward()
        assert scores.grad is not None
        return bits(loss, scores.grad)

    assert found(distillation_loss) == found(LearningWithoutForgetting._distillation_loss)


def learned(loss: float = 1.0) -> Any:
    """A strategy in its fourth bucket, with a loss `[1]`."""
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
    clock = SimpleNamespace(train_exp_counter=BUCKETS)
    return SimpleNamespace(model=model, clock=clock, device=torch.device("cpu"), loss=torch.full((1,), loss))


def kept(model: nn.Module) -> dict[str, ParamData]:
    """A number for each weight, but for the last bias, which came later."""
    names = list(dict(model.named_parameters()))[:-1]
    return {name: ParamData(name, init_tensor=torch.rand_like(model.get_parameter(name))) for name in names}


def ewc(mode: str, model: nn.Module) -> EWCPlugin:
    plugin = EWCPlugin(0.7, mode, decay_factor=0.9 if mode == "online" else None)
    for bucket in range(BUCKETS):
        plugin.saved_params[bucket], plugin.importances[bucket] = kept(model), kept(model)
    return plugin


def mas(model: nn.Module) -> MASPlugin:
    plugin = MASPlugin(lambda_reg=0.7)
    plugin.params, plugin.importance = kept(model), kept(model)
    return plugin


@pytest.mark.parametrize(
    ("make", "ours", "theirs"),
    [
        (lambda model: ewc("separate", model), ewc_before_backward, EWCPlugin.before_backward),
        (lambda model: ewc("online", model), ewc_before_backward, EWCPlugin.before_backward),
        (mas, mas_before_backward, MASPlugin.before_backward),
    ],
)
def test_penalties_of_weights(make: Callable[[nn.Module], Any], ours: Any, theirs: Any) -> None:
    torch.manual_seed(0)
    strategy = learned()
    plugin = make(strategy.model)
    found = []
    for penalty in (ours, theirs):
        strategy.model.zero_grad()
        strategy.loss = torch.ones(1)
        penalty(plugin, strategy)
        strategy.loss.backward()
        gradients = [weight.grad for weight in strategy.model.parameters() if weight.grad is not None]
        assert len(gradients) == 3
        found.append(bits(strategy.loss, *gradients))
    assert found[0] == found[1]
    assert float(strategy.loss) > 1


@pytest.mark.parametrize("penalty", [ewc_before_backward, mas_before_backward])
def test_there_is_none_in_the_first_bucket(penalty: Any) -> None:
    strategy = learned()
    strategy.clock.train_exp_counter = 0
    penalty(SimpleNamespace(saved_params=defaultdict(dict)), strategy)
    assert strategy.loss.tolist() == [1.0]


def test_mas_learns_from_a_loss_of_0() -> None:
    strategy = learned(loss=0.0)
    plugin = mas(strategy.model)
    with pytest.raises(ValueError, match="Loss is not available"):
        MASPlugin.before_backward(plugin, strategy)
    mas_before_backward(plugin, strategy)
    assert float(strategy.loss) > 0
