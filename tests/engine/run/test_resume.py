"""A run that is killed, at any moment and any number of times, ends as one that never stopped, bit for bit."""

import json
import os
import random
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from blobs import CLASSES, DIM
from killing import KILLED, ChildProcess, Label, Work, run_process
from runs import WATCHED, State, newest, require_same, sentence, straight
from small import OTHERS, SMALL, strategy_of

pytest_plugins = ("blobs",)


@dataclass(frozen=True)
class Kill:
    """Where a process is killed, and how it saves until then (see `Work`)."""

    at: Label
    saving: str = "epochs"

    def must_be_there(self, *, steps_too: bool) -> State | None:
        """The latest state that must have been saved by then, of those in this bucket."""
        if self.at[0] not in ("step", "test") or self.saving not in ("steps", "epochs", "buckets"):
            return None
        bucket, epochs, steps = self.at[1:]
        if self.saving == "buckets":
            return bucket, -1, 0
        if self.saving == "steps" and self.at[0] == "step" and steps > 1 and steps_too:
            return bucket, epochs, steps - 1
        return (bucket, epochs, 0) if epochs else (bucket, -1, 0)


def order(label: Label) -> tuple[int, int, int, int]:
    """Sorts the places `step`, `test` and `half` as they come in a run, however late a state is written."""
    if label[0] == "half":
        bucket, epochs = re.fullmatch(r"bucket_(\d+)(?:_epoch_(\d+))?\.state", label[1]).groups()
        return int(bucket), -1 if epochs is None else int(epochs), 0, 0
    bucket, epochs, steps = label[1:]
    return bucket, epochs, 1 if label[0] == "test" else steps, steps


def choose(places: Sequence[Label], seed: str) -> list[Kill]:
    """Five places: in the first epoch, within any epoch, in a save, in a test, and at any step of all."""
    draw = random.Random(seed)
    steps, tests, saves = ([place for place in places if place[0] == kind] for kind in ("step", "test", "half"))
    chosen = {
        draw.choice([step for step in steps if step[1:3] == (0, 0)]): draw.choice(["steps", "epochs", "buckets"]),
    }
    for some, saving in (
        ([step for step in steps if step[3] > 1], "steps"),
        (saves, "epochs"),
        (tests, draw.choice(["steps", "epochs"])),
        (steps, draw.choice(["steps", "epochs", "buckets"])),
    ):
        chosen[draw.choice([place for place in some if place not in chosen])] = saving
    return [Kill(place, chosen[place]) for place in sorted(chosen, key=order)]


def train_killed(
    config: Path, kills: Sequence[Kill], work_dir: Path, *, steps_too: bool = True, **arguments: Any
) -> tuple[Path, list[State | None]]:
    """Train, be killed at the first place, resume, be killed at the second ..., and resume to the end.

    Gives the run and where each resume continued, which is checked here.
    """
    target, began_at, given = config, [], {"device": "cpu", "work_dir": work_dir, **arguments}
    for number, kill in enumerate([*kills, None]):
        at, saving = (kill.at, kill.saving) if kill else (None, "steps")
        ended = run_process(target, arguments=given, at=at, saving=saving)
        if number:
            assert [said for said in ended.said if said.startswith("resuming")] == [sentence(target, began_at[-1])]
            assert [text for text in ended.warnings if "bf16 units" not in text] == []
        if kill is None:
            ended.require()
        else:
            assert ended.exit_code == KILLED, (kill, ended)
            [target], given = work_dir.iterdir(), {}
            found, must = newest(target), kill.must_be_there(steps_too=steps_too)
            if must is not None:
                assert found == max([must, *(state for state in began_at[-1:] if state)])
            began_at.append(found)
    assert len(json.loads((target / "environment.json").read_text())["resumed"]) == len(kills)
    assert not (target / "state").exists()
    return target, began_at


# Every strategy


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SMALL, *OTHERS])
def test_strategy_killed_five_times(name: str, write_config: Callable[..., Path], tmp_path: Path) -> None:
    base, arguments = strategy_of(name)
    config = write_config(base, **arguments)
    whole = straight(config, tmp_path / "straight", overrides=WATCHED)
    kills = choose(whole.places, name)
    run, began_at = train_killed(config, kills, tmp_path / "killed", overrides=WATCHED)
    require_same(run, whole.run)
    assert any(state and state[2] > 0 for state in began_at), "none continued in the middle of an epoch"
    assert any(state and state[1] > 0 and state[2] == 0 for state in began_at), "none continued at the end of an epoch"


# Every part that keeps something from step to step

NEW = {"_delete_": True}
ADAM = {**NEW, "type": "Adam", "lr": 0.01}
ADAMW = {**NEW, "type": "AdamW", "lr": 0.01, "weight_decay": 0.1, "amsgrad": True}
MOMENTUM = {**NEW, "type": "SGD", "lr": 0.1, "momentum": 0.9, "nesterov": True}
DROPOUT = dict(
    head=dict(type="StackedLinearClsHead", num_classes=CLASSES, in_channels=DIM, mid_channels=[6], dropout_rate=0.3)
)
STEPWISE = {**NEW, "type": "ExponentialLR", "gamma": 0.9, "by": "step"}
PARTS: dict[str, dict[str, Any]] = {
    "Adam, OneCycleLR by step": dict(
        optimizer=ADAM, scheduler={**NEW, "type": "OneCycleLR", "max_lr": 0.1, "total_steps": 7, "by": "step"}
    ),
    "AdamW, SequentialLR": dict(
        optimizer=ADAMW,
        scheduler={
            **NEW,
            "type": "SequentialLR",
            "schedulers": [
                {"type": "LinearLR", "start_factor": 0.25, "total_iters": 2},
                {"type": "CosineAnnealingLR", "T_max": 4},
            ],
            "milestones": [2],
            "by": "step",
        },
    ),
    "momentum, ReduceLROnPlateau": dict(
        optimizer=MOMENTUM,
        scheduler={**NEW, "type": "ReduceLROnPlateau", "patience": 0, "threshold": 0.5, "by": "step", "reset": False},
    ),
    "momentum, ReduceLROnPlateau by epoch": dict(
        optimizer=MOMENTUM, scheduler={**NEW, "type": "ReduceLROnPlateau", "patience": 0, "threshold": 10.0}
    ),
    "CosineAnnealingWarmRestarts, never reset": dict(
        optimizer=MOMENTUM,
        scheduler={**NEW, "type": "CosineAnnealingWarmRestarts", "T_0": 2, "T_mult": 2, "reset": False},
    ),
    "ChainedScheduler by bucket": dict(
        optimizer=ADAM,
        scheduler={
            **NEW,
            "type": "ChainedScheduler",
            "schedulers": [{"type": "ConstantLR", "factor": 0.5}, {"type": "ExponentialLR", "gamma": 0.9}],
            "by": "bucket",
        },
    ),
    "dropout, RestoreBestEpoch": dict(
        model=DROPOUT, scheduler=STEPWISE, plugins=[dict(type="RestoreBestEpoch", metric="train_accuracy")]
    ),
    "clipping, warm-up, average": dict(
        optimizer=MOMENTUM,
        eval_every=1,
        plugins=[
            dict(type="ExponentialMovingAverage", decay=0.8),
            dict(type="GradientClipping", max_norm=0.5),
            dict(type="WarmUp", steps=5, start_factor=0.1),
        ],
    ),
    "EarlyStopping, tests after each epoch": dict(
        train_epochs=5,
        eval_every=1,
        plugins=[dict(type="EarlyStoppingPlugin", patience=2, val_stream_name="test_stream", margin=0.3)],
    ),
    "tests within epochs": dict(eval_every=2, plugins=[dict(type="EWCPlugin", ewc_lambda=1.0), dict(type="LwFPlugin")]),
    "bfloat16": dict(model=DROPOUT, optimizer=ADAM),
    "BatchMixup": dict(
        model=dict(
            **DROPOUT, train_cfg=dict(augments=[dict(type="BatchMixup", alpha=1.0, num_classes=CLASSES, prob=0.5)])
        )
    ),
    "ReservoirSamplingBuffer": dict(type="ReservoirSamplingBuffer", max_size=11),
    "ExperienceBalancedBuffer": dict(type="ExperienceBalancedBuffer", max_size=11),
    "ClassBalancedBuffer": dict(type="ClassBalancedBuffer", max_size=11),
    "ParametricBuffer": dict(type="ParametricBuffer", max_size=11, groupby="class"),
    "BiasedReservoirSamplingBuffer": dict(type="BiasedReservoirSamplingBuffer", max_size=11, alpha_value=1.5),
    "biased, newest first, Buffer": dict(
        type="BiasedReservoirSamplingBuffer", max_size=11, alpha_value=1.5, evict="newest"
    ),
}
MORE = {
    "bfloat16": ("precision=bf16",),
    "tests within epochs": ("cl_strategy.peval_mode='iteration'",),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_part_killed_twice(name: str, write_config: Callable[..., Path], tmp_path: Path) -> None:
    arguments = {"type": "Replay", "buffer": PARTS[name]} if name.endswith("Buffer") else PARTS[name]
    config = write_config("naive", **arguments)
    overrides = (*WATCHED, *MORE.get(name, ()))
    whole = straight(config, tmp_path / "straight", saving="nothing", overrides=overrides)
    kills = [
        Kill(("step", 0, 1, 2), "steps"),
        Kill(("test", 1, max(place[2] for place in whole.places if place[:2] == ("step", 1)) + 1, 3), "epochs"),
    ]
    run, began_at = train_killed(config, kills, tmp_path / "killed", overrides=overrides)
    require_same(run, whole.run)
    assert began_at == [(0, 1, 1), (1, kills[1].at[2], 0)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cumulative", "reservoir", "balanced replay"])
def test_batches_over_task_labels_killed_within_a_pass_through_each(
    name: str, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    base, arguments = strategy_of(name)
    config = write_config(base, **arguments)
    overrides = (*WATCHED, "scenario.task_labels=bucket")
    whole = straight(config, tmp_path / "straight", saving="nothing", overrides=overrides)
    kills = [Kill(("step", 1, 0, 2), "steps"), Kill(("step", 2, 1, 2), "steps"), Kill(("half", "bucket_0002.state"))]
    kills.sort(key=lambda kill: order(kill.at))
    run, began_at = train_killed(config, kills, tmp_path / "killed", overrides=overrides)
    require_same(run, whole.run)
    assert began_at[0] == (1, 0, 1)
    assert began_at[2] == (2, 1, 1)


# Images

RANDOM = [
    dict(type="RandomResizedCrop", size=14),
    dict(type="RandomHorizontalFlip", p=0.5),
    dict(type="ColorJitter", brightness=0.4, hue=0.1),
    dict(type="ToTensor"),
    dict(type="Normalize", mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25]),
]
IMAGES = (
    *WATCHED,
    f"scenario.train_transform={RANDOM!r}",
    f"model.head={dict(DROPOUT['head'], in_channels=4)!r}",
)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "cache"), [(0, "off"), (0, "ram"), (2, "off"), (2, "ram")])
def test_images_killed_four_times(workers: int, cache: str, tiny_config: Path, prepared: Path, tmp_path: Path) -> None:
    given = dict(dataset_root=prepared, overrides=(*IMAGES, f"data.workers={workers}", f"data.cache={cache}"))
    whole = straight(tiny_config, tmp_path / "straight", saving="nothing", **given)
    kills = [
        Kill(("step", 0, 0, 2), "epochs"),
        Kill(("step", 0, 1, 3), "steps"),
        Kill(("half", "bucket_0001_epoch_0001.state"), "epochs"),
        Kill(("test", 1, 2, 2), "epochs"),
    ]
    run, began_at = train_killed(tiny_config, kills, tmp_path / "killed", steps_too=not workers, **given)
    require_same(run, whole.run)
    assert began_at == [(0, -1, 0), (0, 1, 0) if workers else (0, 1, 2), (1, -1, 0), (1, 2, 0)]


# One run, killed over and over


@pytest.mark.slow
def test_a_kill_at_every_kind_of_place(write_config: Callable[..., Path], tmp_path: Path) -> None:
    config = write_config("er_ace", **SMALL["er_ace"])
    whole = straight(config, tmp_path / "straight", overrides=WATCHED)
    places: list[tuple[Label, State | None]] = [
        (("untrained",), None),
        (("half", "bucket_0000.state"), None),
        (("renamed", "bucket_0000.state"), (0, -1, 0)),
        (("set-up", 0), (0, -1, 0)),
        (("step", 0, 0, 1), (0, -1, 0)),
        (("renamed", "bucket_0000_epoch_0001.state"), (0, 1, 0)),
        (("loaded", 1), (0, 1, 0)),
        (("loaded", 2), (0, 1, 0)),
        (("half", "bucket_0000_epoch_0002.state"), (0, 1, 0)),
        (("after training", 0), (0, 2, 0)),
        (("test", 0, 2, 2), (0, 2, 0)),
        (("results", 0), (0, 2, 0)),
        (("written", "exp_1.pth"), (0, 2, 0)),
        (("written", "SHA256SUMS"), (0, 2, 0)),
        (("bucket", 0), (0, 2, 0)),
        (("half", "bucket_0001.state"), (0, 2, 0)),
        (("renamed", "bucket_0001.state"), (1, -1, 0)),
        (("step", 2, 1, 2), (2, 1, 0)),
        (("results", 2), (2, 2, 0)),
        (("written", "exp_3.pth"), (2, 2, 0)),
        (("bucket", 2), (2, 2, 0)),
        (("states removed", 0), (2, 2, 0)),
    ]
    kills = [Kill(label) for label, _ in places]
    run, began_at = train_killed(config, kills, tmp_path / "killed", overrides=WATCHED)
    assert began_at == [state for _, state in places]
    require_same(run, whole.run)


@pytest.mark.parametrize("removed", [1, 2, 3])
def test_a_kill_while_the_states_of_a_finished_run_are_removed(
    removed: int, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    config = write_config("naive")
    whole = straight(config, tmp_path / "straight")
    ended = run_process(
        config,
        arguments={"device": "cpu", "work_dir": tmp_path / "killed"},
        saving="epochs",
        at=("states removed", removed),
    )
    assert ended.exit_code == KILLED
    [run] = (tmp_path / "killed").iterdir()
    assert newest(run) is not None
    assert run_process(run).require().warnings == []
    require_same(run, whole.run)


@pytest.mark.slow
def test_ten_kills_in_one_run(write_config: Callable[..., Path], tmp_path: Path) -> None:
    config = write_config("agem", **SMALL["agem"], optimizer=MOMENTUM, model=DROPOUT)
    whole = straight(config, tmp_path / "straight", saving="nothing", overrides=WATCHED)
    draw = random.Random(10)
    places = [place for place in whole.places if place[0] in ("step", "test")]
    kills = [
        Kill(place, draw.choice(["steps", "epochs", "buckets"])) for place in sorted(draw.sample(places, 10), key=order)
    ]
    run, began_at = train_killed(config, kills, tmp_path / "killed", overrides=WATCHED)
    require_same(run, whole.run)
    assert len(set(began_at)) > 5


@pytest.mark.slow
def test_kills_from_outside_at_any_time(write_config: Callable[..., Path], tmp_path: Path) -> None:
    config = write_config("der", **{**SMALL["der"], "train_epochs": 10})
    whole = straight(config, tmp_path / "straight", saving="nothing", overrides=WATCHED)
    target, given = config, {"device": "cpu", "work_dir": tmp_path / "killed", "overrides": WATCHED}
    places = [place for place in whole.places if place[0] in ("step", "test")]
    chosen = sorted(random.Random(0).sample(places, 12), key=order)
    for number, (at, before) in enumerate(zip(chosen[::2], chosen[1::2], strict=True)):
        saving = "steps" if number % 2 else "as configured"
        child = ChildProcess(Work(target, given, at=at, before=before, signals=(), saving=saving))
        assert child.wait_for("at") == at
        os.kill(child.pid, signal.SIGKILL)
        assert child.end().exit_code == KILLED
        [target], given = (tmp_path / "killed").iterdir(), {}
    run_process(target).require()
    require_same(target, whole.run)
