"""Our own loop over the epochs of a bucket is Avalanche's, and stops and continues at any step."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from blobs import Built, flat

from clearctl.strategies.stepping.epochs import BucketProgress, Epochs, ResumePoint

pytest_plugins = ("blobs",)


class StopHereError(Exception):
    pass


def nothing() -> None:
    pass


@pytest.mark.parametrize("base", ["naive", "replay", "joint_training", "prototype", "ridge"])
def test_it_learns_what_avalanches_loop_learns(base: str, build: Callable[..., Built]) -> None:
    found = []
    for own in (True, False):
        built = build(base)
        calls: list[str] = []
        if own:
            Epochs(built.strategy, partial(calls.append, "step"), partial(calls.append, "epoch"))
        learned = built.experiment.benchmark.train_stream if base == "joint_training" else built.buckets[0]
        built.strategy.train(learned)
        found.append(built.head())
        if own:
            epochs = built.strategy.train_epochs
            steps = built.strategy.clock.train_iterations // epochs
            assert calls == [*["step"] * steps, "epoch"] * epochs
    assert torch.equal(*found)


def test_a_strategy_that_has_had_enough_ends_the_bucket(build: Callable[..., Built]) -> None:
    built = build("naive", train_epochs=5)
    ended: list[int] = []

    def end_it() -> None:
        ended.append(1)
        if len(ended) == 2:
            built.strategy.stop_training()

    Epochs(built.strategy, nothing, end_it)
    built.strategy.train(built.buckets[0])
    assert len(ended) == 2
    built.strategy.train(built.buckets[1])
    assert len(ended) == 2 + 5


@pytest.mark.parametrize("stop_at", range(1, 13))
def test_it_continues_from_the_place_it_was_stopped_at(stop_at: int, build: Callable[..., Built]) -> None:
    naive = partial(build, "naive", train_epochs=4, plugins=[])  # epochs of 3 batches
    straight = naive()
    straight.strategy.train(straight.buckets[0])

    stopped = naive()
    kept: dict[str, Any] = {}
    steps: list[int] = []

    def stop() -> None:
        steps.append(1)
        if len(steps) == stop_at:
            kept["place"] = copy.deepcopy(epochs.progress())
            kept["weights"] = copy.deepcopy(stopped.strategy.model.state_dict())
            kept["optimizer"] = copy.deepcopy(stopped.strategy.optimizer.state_dict())
            kept["random"] = torch.get_rng_state()
            raise StopHereError

    epochs = Epochs(stopped.strategy, stop, nothing)
    with pytest.raises(StopHereError):
        stopped.strategy.train(stopped.buckets[0])
    assert (kept["place"].epochs, kept["place"].steps) == ((stop_at - 1) // 3, (stop_at - 1) % 3 + 1)

    resumed = naive()
    more: list[int] = []

    def load_state() -> None:
        resumed.strategy.model.load_state_dict(kept["weights"])
        resumed.strategy.optimizer.load_state_dict(kept["optimizer"])
        torch.set_rng_state(kept["random"])

    again = Epochs(resumed.strategy, lambda: more.append(1), nothing)
    again.resume_point = ResumePoint(kept["place"], load_state)
    resumed.strategy.train(resumed.buckets[0])
    assert len(more) == 12 - stop_at
    assert torch.equal(flat(resumed.strategy.model), flat(straight.strategy.model))


def test_between_epochs_and_in_tests_there_is_no_step(build: Callable[..., Built]) -> None:
    built = build("naive", eval_every=1)
    found: list[Any] = []
    epochs = Epochs(built.strategy, lambda: found.append(epochs.progress()), lambda: found.append(epochs.progress()))
    built.strategy.train(built.buckets[0], eval_streams=[built.buckets[1]])
    batches = [progress for progress in found if isinstance(progress, BucketProgress) and progress.position is not None]
    assert [(progress.epochs, progress.steps) for progress in batches] == [(e, s) for e in (0, 1) for s in (1, 2, 3)]
    assert [progress for progress in found if progress is not None and progress.position is None] == [
        BucketProgress(1),
        BucketProgress(2),
    ]
    assert found.count(None) == 3 * 2  # batches of 16 of 24 samples, tested after each epoch and at the end
