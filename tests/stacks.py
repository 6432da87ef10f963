"""Runs that may be stacked: their configs, of every kind there is, and how they are trained together.

A plugin of pytest, since fixtures in a conftest.py here would hide the one above. PYTEST_DONT_REWRITE
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from clearctl.config.load import Config
from clearctl.engine.build.config import open_config
from clearctl.engine.run.train import TrainResult
from clearctl.engine.stack.train import train_stack
from clearctl.progress import ignore

METRICS = [
    dict(type="accuracy_metrics", minibatch=True, epoch=True, epoch_running=True, experience=True, stream=True),
    dict(type="loss_metrics", minibatch=True, epoch=True, epoch_running=True, experience=True, stream=True),
    dict(type="forgetting_metrics", experience=True, stream=True),
]
MOMENTUM = dict(type="SGD", lr=0.2, momentum=0.9, weight_decay=0.01)
OTHER_LR = {"cl_strategy.optimizer.lr": 0.5}
OTHER_SPLIT = {"cl_strategy.optimizer.momentum": 0.5, "scenario.seed": 1}

Open = Callable[..., Config]


@pytest.fixture
def opened(features_config: Path, prepared: Path) -> Open:
    """A factory of configs: `opened(work_dir, seed, {key: value}, name=section, ...)`, on the features `tiny`."""

    def make(work_dir: Path, seed: int = 0, values: dict[str, Any] | None = None, **sections: Any) -> Config:
        strategy = dict(train_mb_size=8, eval_mb_size=4, train_epochs=3, optimizer=MOMENTUM)
        sections["cl_strategy"] = {"type": "Naive", **strategy, **sections.get("cl_strategy", {})}
        sections = {"metrics": METRICS, "loggers": [dict(type="TextLogger")], **sections}
        overrides = [f"{key}={value!r}" for key, value in {**sections, **(values or {})}.items()]
        return open_config(
            features_config, overrides=tuple(overrides), seed=seed, work_dir=work_dir, dataset_root=prepared
        )

    return make


def together(configs: Sequence[Config], device: str = "cpu") -> list[TrainResult]:
    return train_stack(configs, device=device, sources=["here.py"] * len(configs), listeners=[ignore] * len(configs))


STRATEGIES: dict[str, list[dict[str, Any]]] = {
    "naive": [dict(), OTHER_LR, OTHER_SPLIT],
    "cumulative": [{"cl_strategy.type": "Cumulative", **other} for other in (OTHER_LR, OTHER_SPLIT)],
    "lwf": [
        {"cl_strategy.type": "LwF", "cl_strategy.alpha": [0.0, 0.5, 2.0], "cl_strategy.temperature": 2.0},
        {"cl_strategy.type": "LwF", "cl_strategy.alpha": 3.0, "cl_strategy.temperature": 1.0, **OTHER_SPLIT},
    ],
    "ewc": [
        {"cl_strategy.type": "EWC", "cl_strategy.mode": "separate", "cl_strategy.ewc_lambda": strength, **other}
        for strength, other in ((0.4, OTHER_LR), (20.0, OTHER_SPLIT))
    ],
    "online ewc": [
        {
            "cl_strategy.type": "EWC",
            "cl_strategy.mode": "online",
            "cl_strategy.decay_factor": decay,
            "cl_strategy.ewc_lambda": strength,
        }
        for decay, strength in ((0.1, 0.4), (0.9, 5.0))
    ],
    "si": [
        {"cl_strategy.type": "SynapticIntelligence", "cl_strategy.max_importance": cap, **given}
        for cap, given in (
            (None, {"cl_strategy.si_lambda": [0.05, 0.2], "cl_strategy.optimizer": dict(type="SGD", lr=0.05)}),
            (0.5, {"cl_strategy.si_lambda": 5.0, **OTHER_SPLIT}),
        )
    ],
    "si, best epoch": [
        {
            "cl_strategy.type": "SynapticIntelligence",
            "cl_strategy.si_lambda": 0.5,
            "cl_strategy.max_importance": cap,
            "cl_strategy.optimizer": dict(type="SGD", lr=0.1, momentum=0.9),
            "cl_strategy.scheduler": dict(type="ExponentialLR", gamma=12.0),
            "cl_strategy.train_epochs": 4,
            "cl_strategy.plugins": [dict(type="RestoreBestEpoch", metric="train_accuracy")],
        }
        for cap in (0.001, 0.1)
    ],
    "a-gem": [
        {"cl_strategy.type": "AGEM", "cl_strategy.patterns_per_exp": 7, "cl_strategy.sample_size": 8, **other}
        for other in ({}, OTHER_LR, OTHER_SPLIT)
    ],
    "a-gem, cosine": [
        {
            "model.head": dict(type="CosineDistanceHead", num_classes=3, in_channels=5, temperature=hot),
            "cl_strategy.type": "AGEM",
            "cl_strategy.patterns_per_exp": 7,
            "cl_strategy.sample_size": 8,
            "cl_strategy.loss": dict(type="CrossEntropyLoss", loss_weight=2.0),
        }
        for hot in (10.0, 4.0)
    ],
    "adam": [
        {"cl_strategy.optimizer": dict(type="Adam", lr=0.05)},
        {"cl_strategy.optimizer": dict(type="Adam", lr=0.2, weight_decay=0.1, betas=[0.8, 0.99], eps=1e-4)},
    ],
    "adamw": [
        {"cl_strategy.optimizer": dict(type="AdamW", lr=0.05)},
        {"cl_strategy.optimizer": dict(type="AdamW", lr=0.2, weight_decay=0.3), "scenario.seed": 1},
    ],
    "nesterov": [
        {"cl_strategy.optimizer": dict(type="SGD", lr=rate, momentum=0.8, nesterov=True)} for rate in (0.1, 0.3)
    ],
    "cosine": [
        {"model.head": dict(type="CosineDistanceHead", num_classes=3, in_channels=5, temperature=hot), **other}
        for hot, other in ((10.0, OTHER_LR), (4.0, OTHER_SPLIT))
    ],
    "cosine lwf": [
        {
            "model.head": dict(type="CosineDistanceHead", num_classes=3, in_channels=5, temperature=hot),
            "cl_strategy.type": "LwF",
            "cl_strategy.alpha": 1.0,
            "cl_strategy.temperature": 2.0,
        }
        for hot in (10.0, 4.0)
    ],
    "losses": [
        {"cl_strategy.loss": dict(type="CrossEntropyLoss", loss_weight=0.5)},
        {"model.head.loss": dict(type="CrossEntropyLoss", loss_weight=2.0)},
    ],
    "best epoch": [
        {
            "cl_strategy.plugins": [dict(type="RestoreBestEpoch", metric=metric)],
            "cl_strategy.optimizer": dict(type="SGD", lr=0.1, momentum=0.9),
            # The learning rate grows until the weights are thrown far off: the last epoch is not the best.
            "cl_strategy.scheduler": dict(type="ExponentialLR", gamma=12.0),
            "cl_strategy.train_epochs": 4,
            **other,
        }
        for metric, other in (("train_accuracy", {}), ("train_loss", OTHER_SPLIT))
    ],
    "best epoch of one, EWC": [
        {
            "cl_strategy.type": "EWC",
            "cl_strategy.mode": "separate",
            "cl_strategy.ewc_lambda": 20.0,
            "cl_strategy.optimizer": dict(type="SGD", lr=rate, momentum=0.9),
            "cl_strategy.train_epochs": 4,
            "cl_strategy.plugins": plugins,
        }
        for rate, plugins in ((2.0, [dict(type="RestoreBestEpoch", metric="train_accuracy")]), (0.1, []))
    ],
    "schedules": [
        {"cl_strategy.scheduler": dict(type="StepLR", step_size=1, gamma=0.5)},
        {"cl_strategy.scheduler": dict(type="OneCycleLR", max_lr=0.5, total_steps=9)},
        {"cl_strategy.scheduler": dict(type="ExponentialLR", gamma=0.5, by="bucket")},
    ],
}
BUFFERS: dict[str, dict[str, Any]] = {
    "reservoir": dict(type="ReservoirSamplingBuffer", max_size=12),
    "biased reservoir": dict(type="BiasedReservoirSamplingBuffer", max_size=12, alpha_mode="Fixed", alpha_value=1.5),
    "of buckets": dict(type="ExperienceBalancedBuffer", max_size=13),
    "of classes": dict(type="ClassBalancedBuffer", max_size=13),
    "parametric": dict(type="ParametricBuffer", max_size=13, groupby="class"),
}
for called, buffer in BUFFERS.items():
    for use in (
        dict(type="Replay"),
        dict(type="GDumb", reset=False),
        dict(type="AGEM", reservoir=True, patterns_per_exp=12, sample_size=8),
    ):
        given = {f"cl_strategy.{key}": value for key, value in {**use, "buffer": buffer}.items()}
        STRATEGIES[f"{use['type']}, {called}"] = [{**given, **other} for other in (OTHER_LR, OTHER_SPLIT)]
STRATEGIES["Replay"] = [{"cl_strategy.type": "Replay", "cl_strategy.mem_size": 20, **other} for other in ({}, OTHER_LR)]
LABELS = {"scenario.task_labels": "bucket"}
STRATEGIES |= {
    f"{name}, by task label": [{**given, **LABELS} for given in STRATEGIES[name]]
    for name in ("cumulative", "lwf", "GDumb, reservoir")
}
STRATEGIES["Replay, by task label"] = [
    {"cl_strategy.type": "Replay", "cl_strategy.mem_size": 20, "cl_strategy.task_balanced_dataloader": True, **LABELS}
    | other
    for other in ({}, OTHER_LR)
]
STRATEGIES["GDumb"] = [{"cl_strategy.type": "GDumb", "cl_strategy.mem_size": 20, **other} for other in ({}, OTHER_LR)]
