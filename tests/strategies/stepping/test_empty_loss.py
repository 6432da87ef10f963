"""Steps that begin without Avalanche's zeros end with the same loss and weights, bit by bit."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin

from clearctl.strategies.stepping.empty_loss import EmptyLoss

pytest_plugins = ("blobs",)
CPU = torch.device("cpu")


class Losses(SupervisedPlugin):
    """Keeps the loss of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[torch.Tensor] = []

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        self.kept.append(strategy.loss.detach().clone())


class AsksBefore(SupervisedPlugin):
    """Adds to the loss before the criterion's is there."""

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        assert strategy.loss.shape == (1,)
        strategy.loss += 0.5


@pytest.mark.parametrize(
    ("base", "strategy"),
    [("naive", {}), ("ewc", {}), ("lwf", {}), ("agem", {"patterns_per_exp": 4, "sample_size": 6}), ("bic", {})],
)
def test_losses_and_weights_are_avalanches(
    base: str, strategy: dict[str, Any], build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for skip in (True, False):
        if not skip:
            monkeypatch.setattr("clearctl.strategies.build.skip_zeros", lambda strategy: None)
        losses = Losses()
        built = build(
            base, watching=(losses,), **({"mem_size": 30, "stage_2_epochs": 2} if base == "bic" else strategy)
        )
        assert ("_make_empty_loss" in vars(built.strategy)) == skip
        for bucket in built.buckets:
            built.strategy.train(bucket, eval_streams=[])
        assert built.strategy.loss.tolist() == [0.0]  # between buckets they are zeros
        found.append((torch.stack(losses.kept), built.head()))
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours.view(torch.int32), theirs.view(torch.int32))
    assert found[0][0].shape[1:] == (1,)


def test_who_asks_before_the_criterion_gets_zeros(build: Callable[..., Any]) -> None:
    found = {}
    for watching in ((Losses(),), (Losses(), AsksBefore())):
        built = build("naive", watching=watching)
        built.strategy.train(built.buckets[0], eval_streams=[])
        found[len(watching)] = watching[0].kept[0]
    assert torch.equal(found[2], 0.5 + found[1])


@pytest.mark.parametrize(
    "loss",
    [
        torch.tensor(3.0),
        torch.tensor(-0.0),
        torch.tensor([2.0]),
        torch.tensor(3.1, dtype=torch.float64),
        torch.tensor(3.1, dtype=torch.bfloat16),
        torch.tensor(3),
    ],
)
def test_the_sum_is_that_with_zeros(loss: torch.Tensor) -> None:
    expected = torch.zeros(1)
    expected += loss
    found: Any = EmptyLoss(CPU)
    found += loss
    assert found.dtype == expected.dtype
    assert torch.equal(found.view(torch.int32), expected.view(torch.int32))
    found += 1  # a penalty is not added to what the criterion gave
    assert loss.sum() != found.sum()
