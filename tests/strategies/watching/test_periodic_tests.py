"""`eval_every` does not change the weights: what a test in training draws is put back."""

from pathlib import Path
from typing import Any

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from blobs import CLASSES, DIM

from clearctl import rundir, train
from clearctl.strategies.watching import observe

pytest_plugins = ("blobs",)
TIMES = (-1, 0, 1)
DROPOUT = dict(
    head=dict(type="StackedLinearClsHead", num_classes=CLASSES, in_channels=DIM, mid_channels=[16], dropout_rate=0.5)
)
AUGMENTED = [
    dict(type="RandomHorizontalFlip", p=0.5),
    dict(type="RandomCrop", size=14),
    dict(type="ColorJitter", brightness=0.4),
    dict(type="ToTensor"),
]


def weights(config: Path, work_dir: Path, *overrides: str, **arguments: Any) -> list[torch.Tensor]:
    run = train(config, device="cpu", work_dir=work_dir, overrides=overrides, **arguments).run
    kept = [torch.load(file, weights_only=True) for file in rundir.checkpoints(run).values()]
    return [value for state in kept for value in state.values()]


def require_equal(found: list[list[torch.Tensor]]) -> None:
    first, *others = found
    for other in others:
        assert all(map(torch.equal, first, other))


@pytest.mark.parametrize("base", ["naive", "replay"])
def test_on_features_with_dropout(base: str, write_config: Any, tmp_path: Path) -> None:
    config = write_config(base, model=DROPOUT)
    overrides = ["metrics=[{'type': 'accuracy_metrics', 'stream': True}]"]
    require_equal([weights(config, tmp_path, f"cl_strategy.eval_every={n}", *overrides) for n in TIMES])
    by_step = ("cl_strategy.eval_every=2", "cl_strategy.peval_mode=iteration")
    require_equal([weights(config, tmp_path), weights(config, tmp_path, *by_step)])


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("loader", ["auto", "workers"])
def test_on_augmented_images(loader: str, workers: int, tiny_config: Path, prepared: Path, tmp_path: Path) -> None:
    head = dict(type="StackedLinearClsHead", num_classes=3, in_channels=4, mid_channels=[8], dropout_rate=0.5)
    overrides = (
        f"scenario.train_transform={AUGMENTED!r}",
        "scenario.buckets=['0', '1']",
        "cl_strategy.train_epochs=1",
        f"model.head={head!r}",
        f"data={dict(loader=loader, workers=workers, cache='off')!r}",
    )
    found = [
        weights(tiny_config, tmp_path, *overrides, f"cl_strategy.eval_every={n}", dataset_root=prepared) for n in TIMES
    ]
    require_equal(found)


class Lengths(SupervisedPlugin):
    """How long the loader is that is learned from, as progress is shown by it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def before_training_iteration(self, strategy: Any, **kwargs: object) -> None:
        self.seen.append(len(strategy.dataloader))


def test_the_step_under_way_is_kept(build: Any) -> None:
    """Avalanche leaves an empty loader behind a test within an epoch."""
    lengths = Lengths()
    built = build("naive", watching=(lengths,), eval_every=1, peval_mode="iteration", train_epochs=1)
    strategy, benchmark = built.experiment.strategy, built.experiment.benchmark
    strategy.train(benchmark.train_stream[0], eval_streams=[benchmark.test_stream])
    assert lengths.seen == [3, 3, 3]


class SlowTests(SupervisedPlugin):
    """Each test of a bucket takes 100 seconds of the clock that progress looks at."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def after_eval_exp(self, strategy: Any, **kwargs: object) -> None:
        self.now += 100.0

    def after_training_iteration(self, strategy: Any, **kwargs: object) -> None:
        self.now += 1.0


def test_tests_within_an_epoch_are_not_in_its_seconds(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SlowTests()
    monkeypatch.setattr(observe, "time", clock)
    built = build("naive", watching=(clock,), eval_every=1, peval_mode="iteration", train_epochs=2)
    strategy, benchmark = built.experiment.strategy, built.experiment.benchmark
    reporter = next(plugin for plugin in strategy.plugins if isinstance(plugin, observe.ProgressReporter))
    seconds = []
    monkeypatch.setattr(reporter, "on_epoch", lambda done, lr: seconds.append(done.seconds))
    strategy.train(benchmark.train_stream[0], eval_streams=[benchmark.test_stream])
    assert seconds == [3.0, 3.0]
    assert clock.now > 2000
