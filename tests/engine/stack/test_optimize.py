"""Stacked optimizers step each run as torch's own steps it alone."""

from typing import Any

import pytest
import torch

from clearctl.engine.stack.optimize import STEPPERS

SHAPES = ((3, 4), (3,))
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "SGD": [
        dict(lr=0.1),
        dict(lr=1.0, momentum=0.9),
        dict(lr=0.5, weight_decay=0.2),
        dict(lr=0.3, momentum=0.5, weight_decay=0.01),
    ],
    "Adam": [dict(lr=0.1), dict(lr=1e-3, betas=(0.5, 0.9), eps=1e-3), dict(lr=0.01, weight_decay=0.5)],
    "AdamW": [dict(lr=0.1, weight_decay=0.5), dict(lr=0.2, betas=(0.95, 0.9999), weight_decay=0.0)],
}
CASES = [*OPTIONS.items(), ("SGD", [dict(lr=rate, momentum=0.9, nesterov=True) for rate in (0.1, 0.2)])]


def run_steps(
    kind: str, options: list[dict[str, Any]], breaks: tuple[int, ...]
) -> tuple[list[list[torch.Tensor]], list[list[torch.Tensor]]]:
    """(weights by torch, weights stacked) of every run after 7 steps; at `breaks` the states are handed over."""
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(len(options), *shape, generator=generator) for shape in SHAPES]
    theirs = [[part[run].clone().requires_grad_() for part in start] for run in range(len(options))]
    optimizers = [getattr(torch.optim, kind)(weights, **own) for weights, own in zip(theirs, options, strict=True)]
    ours = [part.clone() for part in start]
    stepper = STEPPERS[kind](ours, [[{}, {}] for _ in options])
    for step in range(7):
        if step in breaks:
            stepper = STEPPERS[kind](ours, stepper.states())
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] *= 0.9
        stepper.set_options([optimizer.param_groups[0] for optimizer in optimizers])
        gradients = [torch.randn(part.shape, generator=generator) for part in ours]
        stepper.step(gradients)
        for run, (weights, optimizer) in enumerate(zip(theirs, optimizers, strict=True)):
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient[run].clone()
            optimizer.step()
    for run, optimizer in enumerate(optimizers):
        for index, weight in enumerate(theirs[run]):
            kept = stepper.states()[run][index]
            for name, value in optimizer.state[weight].items():
                if value is not None:
                    torch.testing.assert_close(kept[name], value, rtol=1e-5, atol=1e-6)
    return [[w.detach() for w in weights] for weights in theirs], [
        [part[r] for part in ours] for r in range(len(options))
    ]


@pytest.mark.parametrize(("kind", "options"), CASES)
@pytest.mark.parametrize("breaks", [(), (1, 4)])
def test_the_steps_are_torchs(kind: str, options: list[dict[str, Any]], breaks: tuple[int, ...]) -> None:
    theirs, ours = run_steps(kind, options, breaks)
    for expected, found in zip(theirs, ours, strict=True):
        for one, other in zip(expected, found, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


def test_a_run_without_a_state_begins_beside_one_that_has_one() -> None:
    """As a run does whose model was reset, in a stack."""
    weights = [torch.ones(2, 3)]
    momentum = {"momentum_buffer": torch.full((3,), 2.0)}
    stepper = STEPPERS["SGD"](weights, [[momentum], [{}]])
    stepper.set_options([dict(lr=1.0, momentum=0.5, weight_decay=0.0, nesterov=False)] * 2)
    stepper.step([torch.ones(2, 3)])
    assert weights[0].tolist() == [[-1.0] * 3, [0.0] * 3]
