"""What a strategy and its plugins ask of the number of samples, and that a run which lacks it begins with nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from blobs import PER_BUCKET, Built, strategy_settings

from clearctl import train
from clearctl.engine.build.preflight import check_config
from clearctl.engine.run.dry_run import dry_run
from clearctl.errors import ConfigError
from clearctl.progress import Event, Message
from clearctl.strategies.bucket_sizes import check_against_samples, depends_on_sample_counts, training_steps

pytest_plugins = ("blobs",)
BATCH, EPOCHS = 8, 2  # of write_config
STEPS = EPOCHS * -(-PER_BUCKET // BATCH)
MEMORY = dict(type="ReservoirSamplingBuffer", max_size=10)


@pytest.mark.parametrize(
    "strategy",
    [
        dict(type="Naive"),
        dict(type="Naive", train_mb_size=5),
        dict(type="Cumulative"),
        dict(type="JointTraining"),
        dict(type="GDumb", mem_size=30),
        dict(type="GDumb", buffer=MEMORY),
        dict(type="Naive", plugins=[dict(type="GDumbPlugin", mem_size=10)]),
    ],
)
def test_the_steps_are_those_that_are_learned(strategy: dict[str, Any], build: Callable[..., Built]) -> None:
    built = build("naive", **strategy)
    found = []
    stream = built.experiment.benchmark.train_stream
    for learned in [stream] if strategy["type"] == "JointTraining" else stream:
        before = built.strategy.clock.train_iterations
        built.strategy.train(learned, eval_streams=[])
        found.append(built.strategy.clock.train_iterations - before)
    section = dict(train_mb_size=BATCH, train_epochs=EPOCHS) | strategy
    assert training_steps(strategy_settings(section), [PER_BUCKET] * len(built.buckets)) == found


RWALK = dict(type="RWalkPlugin", delta_t=STEPS)
BIC = dict(type="BiCPlugin", mem_size=30, val_percentage=0.5, stage_2_epochs=1)  # 5 of 8 samples a class
REFUSED = [
    (
        dict(plugins=[RWALK | dict(delta_t=STEPS + 1)]),
        f"plugins.0.delta_t: {STEPS + 1} steps, but bucket 0 has {STEPS} (train_epochs x batches)",
    ),
    (
        dict(plugins=[BIC | dict(mem_size=48)]),
        "plugins.0.val_percentage: BiC holds out 8 samples of each class (val_percentage x mem_size / classes), but"
        " bucket 0 has at most 8: lower cl_strategy.plugins.0.val_percentage or mem_size",
    ),
    (dict(type="BiC", mem_size=48, val_percentage=0.5), "val_percentage: BiC holds out 8 samples of each class"),
    (dict(plugins=[dict(type="LwFPlugin", alpha=[0.0, 1.0])]), "plugins.0.alpha: 2 values for 3 buckets"),
]


@pytest.mark.parametrize(("strategy", "message"), REFUSED)
def test_a_run_that_lacks_it_begins_with_nothing(
    strategy: dict[str, Any], message: str, write_config: Callable[..., Path]
) -> None:
    config = write_config("naive", **strategy)
    (fault,) = check_config(config).faults
    assert message in fault
    for command in (train, dry_run):
        with pytest.raises(ConfigError) as caught:
            command(config, device="cpu")
        assert str(caught.value).startswith(f"{config}: cl_strategy.{message}")
    assert [path.name for path in config.parent.iterdir()] == [config.name]  # no work_dir


@pytest.mark.parametrize("plugin", [RWALK, BIC, dict(type="LwFPlugin", alpha=[0.0, 1.0, 1.0])])
def test_a_run_that_has_it(plugin: dict[str, Any], write_config: Callable[..., Path]) -> None:
    config = write_config("naive", plugins=[plugin])
    assert check_config(config).faults == []
    dry_run(config, device="cpu")
    run = train(config, device="cpu").run
    weights = torch.load(run / "checkpoints/exp_3.pth", weights_only=True)
    assert all(bool(value.isfinite().all()) for value in weights.values())


@pytest.mark.parametrize(
    ("steps", "every_bucket", "reported"),
    [(STEPS, True, ""), (STEPS + 1, True, "bucket 0, the longest,"), (3 * STEPS, False, ""), (99, False, "the run")],
)
def test_a_warm_up_that_does_not_end_is_reported_of(
    steps: int, every_bucket: bool, reported: str, write_config: Callable[..., Path]
) -> None:
    config = write_config("naive", plugins=[dict(type="WarmUp", steps=steps, every_bucket=every_bucket)])
    found = [text for text in check_config(config).notices if "WarmUp" in text]
    messages: list[Event] = []
    train(config, device="cpu", listener=messages.append)
    assert found == [event.text for event in messages if isinstance(event, Message) and "WarmUp" in event.text]
    assert [f"but {reported} has" in text for text in found] == ([True] if reported else [])


def test_only_what_asks_for_samples_has_them_counted() -> None:
    assert depends_on_sample_counts(strategy_settings(dict(type="Naive", plugins=[RWALK])))
    assert depends_on_sample_counts(strategy_settings(dict(type="BiC")))
    assert not depends_on_sample_counts(strategy_settings(dict(type="Naive")))
    assert not depends_on_sample_counts(strategy_settings(dict(type="EWC", plugins=[dict(type="RestoreBestEpoch")])))


ANEW = dict(_delete_=True)  # without what the base gives another scheduler
CYCLE = dict(ANEW, type="OneCycleLR", max_lr=0.1, by="step")
HALF = STEPS // 2
SCHEDULES: list[tuple[dict[str, Any], str]] = [
    (CYCLE | dict(total_steps=STEPS - 1), f"total_steps: OneCycleLR is {STEPS - 1} steps long, but the largest bucket"),
    (CYCLE | dict(total_steps=2 * STEPS, reset=False), "but the run has"),
    (CYCLE | dict(total_steps=EPOCHS - 1, by="epoch"), f"but the largest bucket has {EPOCHS} (by='epoch')"),
    (CYCLE | dict(total_steps=2, by="bucket"), "but the run has 3 (by='bucket')"),
    (CYCLE | dict(epochs=1, steps_per_epoch=STEPS - 1), f"OneCycleLR is {STEPS - 1} steps long"),
    (
        dict(
            ANEW,
            type="SequentialLR",
            by="step",
            milestones=[HALF],
            schedulers=[dict(type="ConstantLR"), dict(type="OneCycleLR", max_lr=0.1, total_steps=STEPS - HALF - 1)],
        ),
        f"schedulers.1.total_steps: OneCycleLR is {STEPS - HALF - 1} steps long, but the largest bucket has",
    ),
]


@pytest.mark.parametrize(("scheduler", "message"), SCHEDULES)
def test_a_cycle_that_ends_too_early(
    scheduler: dict[str, Any], message: str, write_config: Callable[..., Path]
) -> None:
    config = write_config("naive", scheduler=scheduler)
    (fault,) = check_config(config).faults
    assert message in fault
    for command in (train, dry_run):
        with pytest.raises(ConfigError, match="OneCycleLR is"):
            command(config, device="cpu")
    assert [path.name for path in config.parent.iterdir()] == [config.name]


@pytest.mark.parametrize(
    "scheduler",
    [
        CYCLE | dict(total_steps=STEPS),
        CYCLE | dict(total_steps=3 * STEPS, reset=False),
        CYCLE | dict(total_steps=EPOCHS, by="epoch"),
        CYCLE | dict(total_steps=3, by="bucket"),
        dict(
            ANEW,
            type="SequentialLR",
            by="step",
            milestones=[HALF],
            schedulers=[
                dict(type="OneCycleLR", max_lr=0.1, total_steps=HALF),
                dict(type="OneCycleLR", max_lr=0.1, total_steps=STEPS - HALF),
            ],
        ),
    ],
)
def test_a_cycle_that_is_long_enough(scheduler: dict[str, Any], write_config: Callable[..., Path]) -> None:
    config = write_config("naive", scheduler=scheduler)
    assert check_config(config).faults == []
    train(config, device="cpu")


@pytest.mark.parametrize("strategy", [dict(type="Ridge"), dict(type="RanPAC", validate_every_bucket=True)])
def test_what_is_chosen_on_held_out_samples_needs_two_of_a_class(strategy: dict[str, Any]) -> None:
    settings = strategy_settings(dict(train_mb_size=BATCH) | strategy | dict(ridge_lambda="validation"))
    assert depends_on_sample_counts(settings)
    assert check_against_samples(settings, [[0, 0, 1], [1, 1]], ["a", "b"]) == []
    (fault,) = check_against_samples(settings, [[0, 1], [1, 2]], ["a", "b"])
    assert str(fault).endswith(
        "ridge_lambda: 'validation', but bucket a has no class with two samples, one of them to hold out:"
        " give a number, such as 1.0"
    )
    later = check_against_samples(settings, [[0, 0], [1, 2]], ["a", "b"])
    assert len(later) == (1 if strategy.get("validate_every_bucket") else 0)
    number = strategy_settings(dict(train_mb_size=BATCH) | strategy | dict(ridge_lambda=1.0))
    assert check_against_samples(number, [[0, 1]], ["a"]) == []
