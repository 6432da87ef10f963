"""What strategies draw from a memory without end is made when a bucket begins, has a position, and ends with it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from avalanche.training.plugins import SupervisedPlugin
from blobs import Built
from test_gather import OTHERS, SMALL
from test_gather import strategy as strategy_of
from test_positions import assert_equal, states, take, written_and_read
from test_positions import set_states as put_back

from clearctl.errors import ConfigError
from clearctl.strategies.positions import Batches, Endless

pytest_plugins = ("blobs",)

# {strategy: where its iterator is}
PLACES: dict[str, Callable[[Any], tuple[Any, str]]] = {
    "agem": lambda strategy: (plugin(strategy, "AGEMPlugin"), "buffer_dliter"),
    "der": lambda strategy: (strategy, "replay_loader"),
    "er_ace": lambda strategy: (strategy, "replay_loader"),
    "MIR": lambda strategy: (plugin(strategy, "MIRPlugin"), "replay_loader"),
    "FeatureReplay": lambda strategy: (strategy, "replay_loader"),
    "RAR": lambda strategy: (plugin(strategy, "RARPlugin"), "iter_replay"),
}


def plugin(strategy: Any, name: str) -> Any:
    return next(found for found in strategy.plugins if type(found).__name__ == name)


def iterator(strategy: Any, name: str) -> Any:
    owner, attribute = PLACES[name](strategy)
    return getattr(owner, attribute)


class Reached(Exception):
    pass


class AtTheStart(SupervisedPlugin):
    """Calls `look`, if there is one, at the first step of each epoch, when nothing has been drawn for it yet."""

    look: Callable[[Any], None] | None = None

    def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        if self.look is not None and strategy.clock.train_epoch_iterations == 0:
            self.look(strategy)


@pytest.fixture(params=[True, False], ids=["rows", "no rows"])
def ready(
    request: pytest.FixtureRequest, build: Callable[..., Built], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Built, AtTheStart]]:
    """`ready(name, buckets)`: a strategy that has learned, and been tested after, so many buckets."""
    if not request.param:
        monkeypatch.setattr("clearctl.strategies.gather.resolve", lambda dataset: None)

    def make(name: str, buckets: int) -> tuple[Built, AtTheStart]:
        start = AtTheStart()
        base, arguments = strategy_of(name)
        built = build(base, watching=(start,), **{"train_mb_size": 7, **arguments})
        for bucket in built.buckets[:buckets]:
            for do, on in ((built.strategy.train, bucket), (built.strategy.eval, built.buckets)):
                do(on)
                assert name not in PLACES or iterator(built.strategy, name) is None
        return built, start

    return make


@pytest.mark.parametrize("buckets", [1, 2])
@pytest.mark.parametrize("name", PLACES)
def test_the_iterator_of_another_process_goes_on(
    name: str, buckets: int, ready: Callable[..., tuple[Built, AtTheStart]]
) -> None:
    left: dict[str, Any] = {}

    def leave(strategy: Any) -> None:
        found = iterator(strategy, name)
        assert isinstance(found, Batches | Endless)
        take(found, 3)
        left.update(position=written_and_read(found.position()), states=states(), batches=take(found, 8))
        raise Reached

    def go_on(strategy: Any) -> None:
        found = iterator(strategy, name)
        found.go_to(left["position"])
        put_back(left["states"])
        assert_equal(take(found, 8), left["batches"])
        raise Reached

    for look in (leave, go_on):
        built, start = ready(name, buckets)
        start.look = look
        with pytest.raises(Reached):
            built.strategy.train(built.buckets[buckets])
    assert len(left["batches"]) == 8


@pytest.mark.parametrize("name", [*SMALL, *OTHERS])
def test_nothing_is_hidden_in_a_generator(name: str, ready: Callable[..., tuple[Built, AtTheStart]]) -> None:
    """Not in a strategy or its plugins while it learns, and not in what its loader gives its batches by."""
    seen = []

    def look(strategy: Any) -> None:
        for owner in (strategy, *strategy.plugins):
            seen.extend(value for value in vars(owner).values() if isinstance(value, Iterator))
        seen.append(iter(strategy.dataloader))

    joint = name == "joint_training"
    built, start = ready(name, 0 if joint else 1)
    start.look = look
    built.strategy.train(built.experiment.benchmark.train_stream if joint else built.buckets[1])
    assert seen
    assert {type(found) for found in seen} <= {Batches, Endless}


def test_tests_in_the_middle_of_training_leave_the_iterator_there(build: Callable[..., Built]) -> None:
    start = AtTheStart()
    arguments = {"optimizer": {"lr": 0.1}, "eval_every": 1, **OTHERS["FeatureReplay"]}
    built = build("naive", watching=(start,), type="FeatureReplay", **arguments)
    found: list[Any] = []
    start.look = lambda strategy: found.append(strategy.replay_loader)
    for bucket in built.buckets:
        built.strategy.train(bucket)
        assert built.strategy.replay_loader is None
    assert found[:2] == [None, None]  # two epochs of the first bucket
    assert found[2] is found[3]
    assert found[4] is found[5]
    assert len({id(one) for one in found if one is not None}) == 2


def test_a_pass_goes_on_in_the_next_bucket_over_the_memory_as_it_was(build: Callable[..., Built]) -> None:
    start = AtTheStart()
    built = build("naive", watching=(start,), type="Naive", train_mb_size=20, plugins=OTHERS["RAR"]["plugins"])
    passes = []
    start.look = lambda strategy: passes.append(plugin(strategy, "RARPlugin").iter_replay)
    for bucket in built.buckets:
        built.strategy.train(bucket)
    rar = plugin(built.strategy, "RARPlugin")
    assert passes[0] is None
    assert [found.earlier is not None for found in passes[2::2]] == [False, True]
    assert len(rar.unfinished_memory) == 17
    assert rar.unfinished_position["passes"][0]["taken"] > 0


def test_a_memory_that_fills_no_batch_is_no_endless_wait(build: Callable[..., Built]) -> None:
    built = build("naive", type="FeatureReplay", optimizer={"lr": 0.1}, mem_size=30, batch_size_mem=25)
    built.strategy.train(built.buckets[0])
    with pytest.raises(ConfigError, match="batches of 25, but its memory has 24 samples"):
        built.strategy.eval(built.buckets)
