"""The loop over steps without what nobody acts at: Avalanche's losses and weights, bit by bit."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from avalanche.training.templates.update_type.sgd_update import SGDUpdate

pytest_plugins = ("blobs",)


class Losses(SupervisedPlugin):
    """Keeps the loss of each step, and ends a bucket after `steps` of them."""

    def __init__(self, steps: int | None = None) -> None:
        super().__init__()
        self.kept: list[torch.Tensor] = []
        self.steps = steps

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        self.kept.append(strategy.loss)
        if len(self.kept) == self.steps:
            strategy.stop_training()


class Penalty(SupervisedPlugin):
    """Adds to the loss, as LwF and EWC do."""

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        strategy.loss += 0.5


class SeesGradients(SupervisedPlugin):
    """Acts within a step."""

    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        assert strategy.loss.grad_fn is not None


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The strategies that Avalanche's own loop is called for."""
    called, plain = [], SGDUpdate.training_epoch

    def loop(self: Any, **kwargs: Any) -> None:
        called.append(type(self).__name__)
        plain(self, **kwargs)

    monkeypatch.setattr(SGDUpdate, "training_epoch", loop)
    monkeypatch.setattr("clearctl.strategies.stepping.steps.SGDUpdate.training_epoch", loop)
    return called


@pytest.mark.parametrize(
    ("base", "strategy"),
    [("naive", {}), ("replay", {"mem_size": 20}), ("lwf", {}), ("ewc", {}), ("agem", {"patterns_per_exp": 4})],
)
@pytest.mark.parametrize("steps", [None, 3])
def test_losses_and_weights_are_avalanches(
    base: str, strategy: dict[str, Any], steps: int | None, build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for skip in (True, False):
        if not skip:
            monkeypatch.setattr("clearctl.strategies.build.skip_idle_steps", lambda strategy: None)
        losses = Losses(steps)
        built = build(base, watching=(losses,), **strategy)
        for bucket in built.buckets:
            built.strategy.train(bucket, eval_streams=[])
        found.append((torch.stack([loss.detach() for loss in losses.kept]), built.head()))
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours.view(torch.int32), theirs.view(torch.int32))
    assert found[0][0].shape[1:] == (1,)


def test_a_plugin_that_acts_within_a_step_has_avalanches_loop(build: Callable[..., Any], loops: list[str]) -> None:
    found = []
    for watching in ((Losses(),), (Losses(), Penalty()), (Losses(), SeesGradients())):
        built = build("naive", watching=watching)
        built.strategy.train(built.buckets[0], eval_streams=[])
        found.append((watching[0].kept[0], len(loops)))
    assert [calls for _, calls in found] == [0, 0, built.strategy.train_epochs]
    assert torch.equal(found[1][0], 0.5 + found[0][0])
    assert torch.equal(found[2][0], found[0][0])


class Keeping(torch.nn.Module):
    """A loss of a user's own, which adds to the tensor that it gave before."""

    def __init__(self) -> None:
        super().__init__()
        self.given: torch.Tensor | None = None

    def forward(self, scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if self.given is not None:
            self.given += 1000
        loss = torch.nn.functional.cross_entropy(scores, target)
        self.given = loss.detach()
        return loss


def test_a_loss_that_its_criterion_changes_later_is_kept_as_it_was(build: Callable[..., Any]) -> None:
    losses = Losses()
    built = build("naive", watching=(losses,))
    built.strategy._criterion = Keeping()
    built.strategy.train(built.buckets[0], eval_streams=[])
    assert len(losses.kept) > 1
    assert max(losses.kept) < 1000
