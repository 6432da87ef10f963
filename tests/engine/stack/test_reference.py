"""A-GEM's gradients of several runs at once are those of each run alone."""

import pytest
import torch
from torch.nn import functional

from clearctl.engine.stack.heads import BIAS, WEIGHT, Heads
from clearctl.engine.stack.reference import projected, reference_gradients

SAMPLES, WIDTH, CLASSES, MEMORY = 40, 6, 3, 25


class Matrix:
    """The features that `reference_gradients` reads."""

    def __init__(self) -> None:
        self.x = torch.randn(SAMPLES, WIDTH, generator=torch.Generator().manual_seed(1))

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        return self.x[rows]


def heads(runs: int, *, cosine: bool) -> Heads:
    numbers = torch.Generator().manual_seed(2)
    weights = {WEIGHT: torch.randn(runs, CLASSES, WIDTH, generator=numbers)}
    if cosine:
        return Heads(weights, torch.linspace(1, 8, runs), None)
    weights[BIAS] = torch.randn(runs, CLASSES, generator=numbers)
    return Heads(weights, None, torch.linspace(0.5, 2, runs))


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("cosine", [False, True])
def test_reference_gradients_are_those_of_autograd(groups: int, cosine: bool) -> None:
    features, stack, runs = Matrix(), heads(4, cosine=cosine), 4
    rows = torch.stack([torch.randperm(SAMPLES)[:MEMORY] for _ in range(groups)])
    y = torch.randint(0, CLASSES, (groups, MEMORY))
    found = reference_gradients(stack, features, rows, y)
    for run in range(runs):
        group = run * groups // runs
        weights = {name: value[run].clone().requires_grad_() for name, value in stack.weights.items()}
        direction = functional.normalize(weights[WEIGHT], dim=-1) if cosine else weights[WEIGHT]
        scores = functional.linear(features.x[rows[group]], direction, weights.get(BIAS))
        if stack.temperature is not None:
            scores = scores * stack.temperature[run]
        loss = functional.cross_entropy(scores, y[group])
        if stack.loss_weights is not None:
            loss = loss * stack.loss_weights[run]
        expected = torch.autograd.grad(loss, list(weights.values()))
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours[run], theirs)


def test_only_what_contradicts_its_reference_is_projected() -> None:
    gradients = [torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 2.0]]), torch.tensor([[2.0], [2.0], [2.0]])]
    references = [torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]), torch.tensor([[1.0], [-1.0], [0.0]])]
    weight, bias = projected(gradients, references)
    assert weight.tolist() == [[1, 0], [1 - 1.5, 0], [1, 2]]
    assert bias.tolist() == [[2], [2 - 1.5], [2]]
