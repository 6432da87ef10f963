"""A strategy calls what acts, in the order of its plugins, and nothing else."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from avalanche.training.supervised import DER, Naive
from avalanche.training.templates import BaseSGDTemplate
from avalanche.training.templates.problem_type.supervised_problem import SupervisedProblem

from clearctl.strategies.watching import hooks
from clearctl.strategies.watching.hooks import STEP_EVENTS, handles, skip_idle_callbacks

pytest_plugins = ("blobs",)


class Loud(SupervisedPlugin):
    """Writes down that it was called at two moments, and for which batch."""

    def __init__(self, name: str, calls: list[tuple[str, str, int]]) -> None:
        super().__init__()
        self.name = name
        self.calls = calls

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        self.calls.append((self.name, "before_forward", len(strategy.mb_y)))

    def after_eval_iteration(self, strategy: Any, **kwargs: Any) -> None:
        self.calls.append((self.name, "after_eval_iteration", len(strategy.mb_y)))


def test_empty_callbacks_are_reported_from_others() -> None:
    plugin = Loud("a", [])
    assert [event for event in STEP_EVENTS if handles(plugin, event)] == ["after_eval_iteration", "before_forward"]
    plugin.after_update = print
    assert handles(plugin, "after_update")
    assert not handles(object(), "after_update")


@pytest.mark.parametrize("base", ["replay", "ewc", "agem", "gem", "lwf", "der", "er_ace", "synaptic_intelligence"])
def test_calls_and_weights_are_those_of_avalanches_loop(
    base: str, build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    small: dict[str, dict[str, Any]] = {
        "replay": {"mem_size": 12},
        "agem": {"patterns_per_exp": 4, "sample_size": 6},
        "gem": {"patterns_per_exp": 5},
        "der": {"mem_size": 12},
        "er_ace": {"mem_size": 12, "batch_size_mem": 4},
    }
    found = []
    for lean in (True, False):
        if not lean:
            monkeypatch.setattr("clearctl.strategies.build.skip_idle_callbacks", lambda strategy: None)
        calls: list[tuple[str, str, int]] = []
        built = build(base, watching=(Loud("a", calls), Loud("b", calls)), **small.get(base, {}))
        assert ("_after_update" in vars(built.strategy)) == lean
        for bucket in built.buckets:
            built.strategy.train(bucket, eval_streams=[])
            built.strategy.eval(built.experiment.benchmark.test_stream)
        found.append((calls, built.head()))
    (lean_calls, lean_head), (plain_calls, plain_head) = found
    assert lean_calls == plain_calls
    assert len(lean_calls) > 20
    assert torch.equal(lean_head, plain_head)


def test_a_plugin_that_comes_later_is_called(build: Callable[..., Any]) -> None:
    built = build("naive")
    built.strategy.train(built.buckets[0], eval_streams=[])
    calls: list[tuple[str, str, int]] = []
    built.strategy.plugins.insert(0, Loud("late", calls))
    built.strategy.train(built.buckets[1], eval_streams=[])
    assert len(calls) == 6


def strategy(kind: type, model: torch.nn.Module) -> Any:
    made = kind(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    skip_idle_callbacks(made)
    return made


def test_what_a_strategys_class_adds_to_stays() -> None:
    made = strategy(DER, torch.nn.Linear(2, 2))
    assert DER._before_forward is not BaseSGDTemplate._before_forward
    assert "_before_forward" not in vars(made)
    assert "_after_forward" in vars(made)


def test_forward_is_left_to_networks_with_task_labels_and_to_strategies_with_their_own() -> None:
    from avalanche.models import MultiHeadClassifier

    assert "forward" in vars(strategy(Naive, torch.nn.Linear(2, 2)))
    assert "forward" not in vars(strategy(Naive, MultiHeadClassifier(2)))

    class Own(Naive):
        def forward(self) -> Any:
            return 1

    assert Own.forward is not SupervisedProblem.forward
    assert strategy(Own, torch.nn.Linear(2, 2)).forward() == 1


def test_every_event_of_a_step_is_one_of_avalanches() -> None:
    assert len(STEP_EVENTS) == 12
    assert all(hasattr(BaseSGDTemplate, f"_{event}") for event in hooks.EVENTS)
