"""What strategies draw from a memory without end is made when a bucket begins, has a position, and ends with it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from avalanche.benchmarks import tensors_benchmark
from avalanche.training.plugins import EvaluationPlugin, SupervisedPlugin
from avalanche.training.plugins import RARPlugin as AvalancheRARPlugin
from avalanche.training.supervised import Naive
from blobs import Built, flat
from small import OTHERS, SMALL, strategy_of
from test_gather import DRAWING
from test_positions import assert_equal, states, take, written_and_read
from test_positions import set_states as put_back

from clearctl import train
from clearctl.errors import ConfigError
from clearctl.strategies.loading.positions import BatchIterator, Endless
from clearctl.strategies.methods.rar import RARPlugin

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
        monkeypatch.setattr("clearctl.strategies.loading.gather.resolve", lambda dataset: None)

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
def test_the_iterator_of_another_process_continues(
    name: str, buckets: int, ready: Callable[..., tuple[Built, AtTheStart]]
) -> None:
    left: dict[str, Any] = {}

    def leave(strategy: Any) -> None:
        found = iterator(strategy, name)
        assert isinstance(found, BatchIterator | Endless)
        take(found, 3)
        left.update(position=written_and_read(found.position()), states=states(), batches=take(found, 8))
        raise Reached

    def go_on(strategy: Any) -> None:
        found = iterator(strategy, name)
        found.seek(left["position"])
        put_back(left["states"])
        assert_equal(take(found, 8), left["batches"])
        raise Reached

    for look in (leave, go_on):
        built, start = ready(name, buckets)
        start.look = look
        with pytest.raises(Reached):
            built.strategy.train(built.buckets[buckets])
    assert len(left["batches"]) == 8


def test_what_draws_without_end_is_listed() -> None:
    assert {*PLACES, "replay"} == {*DRAWING}


@pytest.mark.parametrize("name", [*SMALL, *OTHERS])
def test_nothing_is_hidden_in_a_generator(name: str, ready: Callable[..., tuple[Built, AtTheStart]]) -> None:
    """Not in a strategy or its plugins while it learns, and not in what its loader gives its batches by."""
    seen = []
    held = []

    def look(strategy: Any) -> None:
        for owner in (strategy, *strategy.plugins):
            held.extend(value for value in vars(owner).values() if isinstance(value, Iterator))
        seen.append(iter(strategy.dataloader))

    joint = name == "joint_training"
    built, start = ready(name, 0 if joint else 1)
    start.look = look
    built.strategy.train(built.experiment.benchmark.train_stream if joint else built.buckets[1])
    assert seen
    assert bool(held) == (name in PLACES)
    assert all(isinstance(found, BatchIterator | Endless) for found in (*seen, *held))


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


def test_a_pass_continues_in_the_next_bucket_over_the_memory_as_it_was(build: Callable[..., Built]) -> None:
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


@pytest.mark.parametrize("layer", [None, "0"])
@pytest.mark.parametrize("steps", [2, 3])
def test_adversarial_replay_is_avalanches_where_that_runs(layer: str | None, steps: int) -> None:
    """On a network that torch.fx can trace, samples of 0..1 and two classes, of which the nearest is the farthest."""

    def weights(kind: Any) -> torch.Tensor:
        torch.manual_seed(0)
        buckets = [(torch.rand(24, 6), torch.arange(24) % 2) for _ in range(3)]
        benchmark = tensors_benchmark(train_tensors=buckets, test_tensors=buckets[:1], task_labels=[0, 0, 0])
        network = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
        strategy = Naive(
            model=network,
            optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
            train_mb_size=8,
            plugins=[kind(batch_size_mem=6, name_ext_layer=layer, epsilon_fgsm=0.3, iter_fgsm=steps)],
            evaluator=EvaluationPlugin(loggers=[]),
        )
        for experience in benchmark.train_stream:
            strategy.train(experience, eval_streams=[])
        return flat(network)

    assert torch.equal(weights(RARPlugin), weights(AvalancheRARPlugin))


@pytest.mark.parametrize("layer", [None, "neck"])
def test_adversarial_replay_runs_on_networks_of_mmcls(
    layer: str | None, tiny_config: Path, prepared: Path, tmp_path: Path
) -> None:
    found = []
    for adversarial in (True, False):
        entry = dict(type="RARPlugin", batch_size_mem=8, use_adversarial_replay=adversarial, name_ext_layer=layer)
        overrides = [f"cl_strategy.plugins={[entry]!r}", "cl_strategy.train_epochs=1"]
        run = train(tiny_config, device="cpu", work_dir=tmp_path, dataset_root=prepared, overrides=overrides).run
        found.append(torch.load(run / "checkpoints/exp_3.pth", weights_only=True))
    weights = [torch.cat([value.flatten().float() for value in each.values()]) for each in found]
    assert bool(weights[0].isfinite().all())
    assert not torch.equal(*weights)


def test_samples_beyond_0_to_1_keep_their_range() -> None:
    x = torch.tensor([[-2.0, 0.5, 3.0]])
    moved = RARPlugin(batch_size_mem=1, epsilon_fgsm=0.2).mifgsm_attack(x, torch.tensor([[-1.0, 1.0, 1.0]]))
    assert moved.squeeze().tolist() == pytest.approx([-2.0, 0.6, 3.0])
    within = RARPlugin(batch_size_mem=1, epsilon_fgsm=0.2).mifgsm_attack(x.clamp(0, 1), torch.ones(1, 3))
    assert within.squeeze().tolist() == pytest.approx([0.1, 0.6, 1.0])
