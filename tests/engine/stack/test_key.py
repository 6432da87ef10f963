"""Which runs may be stacked, and why others may not."""

from pathlib import Path
from typing import Any

import pytest

from clearctl.config.fill import fill
from clearctl.config.settings import Settings
from clearctl.engine.build.config import open_config
from clearctl.engine.stack.key import stack_key, why_not

IMAGES = Path(__file__).parents[3] / "configs/demo.py"


def opened(file: Path, **values: Any) -> Settings:
    overrides = tuple(f"{key.replace('__', '.')}={value!r}" for key, value in values.items())
    return fill(open_config(file, overrides=overrides, work_dir="somewhere", dataset_root="a folder"))


@pytest.mark.parametrize(
    "values",
    [
        dict(seed=3),
        dict(scenario__seed=1),
        dict(scenario__task_labels="single"),
        dict(work_dir="elsewhere"),
        dict(cl_strategy__optimizer__lr=0.5),
        dict(cl_strategy__optimizer__momentum=0.9),
        dict(cl_strategy__optimizer__weight_decay=0.1),
        dict(cl_strategy__scheduler=dict(type="StepLR", step_size=1)),
        dict(cl_strategy__loss=dict(type="CrossEntropyLoss", loss_weight=0.5)),
        dict(cl_strategy__eval_every=-1),
        dict(metrics=[]),
        dict(loggers=[dict(type="TextLogger")]),
        dict(checkpoint_config=dict(interval=2)),
        dict(model__head__loss=dict(type="CrossEntropyLoss")),
        dict(precision="fp32", deterministic=False),
    ],
)
def test_what_changes_neither_shapes_nor_steps_is_free(features_config: Path, values: dict[str, Any]) -> None:
    key = stack_key(opened(features_config, **values))
    assert key is not None
    assert key == stack_key(opened(features_config))
    hash(key)


@pytest.mark.parametrize(
    "values",
    [
        dict(cl_strategy__train_epochs=3),
        dict(cl_strategy__train_mb_size=9),
        dict(cl_strategy__eval_mb_size=9),
        dict(cl_strategy__type="Cumulative"),
        dict(cl_strategy__optimizer=dict(type="Adam", lr=0.1)),
        dict(cl_strategy__optimizer=dict(type="SGD", lr=0.1, momentum=0.1, nesterov=True)),
        dict(scenario__evaluation_protocol="streaming"),
        dict(scenario__feature_type="other"),
        dict(scenario__test_ratio=0.5),
        dict(scenario__buckets=["0", "1"]),
        dict(scenario__task_labels="bucket"),
        dict(model__head__in_channels=6),
        dict(model__head=dict(type="CosineDistanceHead", num_classes=3, in_channels=5)),
        dict(deterministic=True),
        dict(tf32=True),
        dict(data=dict(graph="auto")),
    ],
)
def test_what_changes_shapes_or_steps_is_not(features_config: Path, values: dict[str, Any]) -> None:
    key = stack_key(opened(features_config, **values))
    assert key is not None
    assert key != stack_key(opened(features_config))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (dict(data=dict(loader="workers", workers=1)), "data.loader='workers' reads one sample at a time"),
        (dict(data=dict(loader="mapped")), "data.loader='mapped' leaves the features in their files"),
        (dict(precision="bf16"), "precision='bf16': a stack computes in fp32"),
        (dict(cl_strategy__type="MAS"), "MAS cannot be stacked; supported: Naive, Cumulative"),
        (
            dict(cl_strategy__plugins=[dict(type="RestoreBestEpoch"), dict(type="GradientClipping", max_norm=1.0)]),
            "cl_strategy.plugins: GradientClipping acts between training steps",
        ),
        (dict(cl_strategy__eval_every=1), "cl_strategy.eval_every tests in the middle of a bucket"),
        (dict(cl_strategy__eval_every_steps=2, cl_strategy__train_epochs=1), "cl_strategy.eval_every_steps tests in"),
        (dict(metrics=[dict(type="calibration_metrics")]), "metrics: calibration_metrics is not supported"),
        (dict(cl_strategy__loss=dict(type="LabelSmoothLoss", label_smooth_val=0.1)), "LabelSmoothLoss is not Cross"),
        (
            dict(cl_strategy__loss=dict(type="CrossEntropyLoss", class_weight=[1.0, 1.0, 2.0])),
            "cl_strategy.loss: a stack supports only its loss_weight, not class_weight",
        ),
        (dict(model__head__loss=dict(type="CrossEntropyLoss", reduction="sum")), "model.head.loss: a stack supports"),
        (dict(cl_strategy__optimizer=dict(type="RMSprop", lr=0.1)), "the optimizer RMSprop cannot be stacked"),
        (
            dict(cl_strategy__optimizer=dict(type="Adam", lr=0.1, amsgrad=True)),
            "cl_strategy.optimizer.amsgrad is not supported in a stack",
        ),
        (
            dict(cl_strategy__scheduler=dict(type="StepLR", step_size=1, by="step")),
            "cl_strategy.scheduler.by='step' changes the learning rate within an epoch",
        ),
        (dict(cl_strategy__scheduler=dict(type="ReduceLROnPlateau")), "ReduceLROnPlateau reads the loss"),
        (dict(model__freeze=["head"]), "model.freeze freezes the head"),
        (dict(model__train_cfg=dict(augments=dict(type="Identity", num_classes=3))), "model.train_cfg.augments mixes"),
        (dict(metrics=[dict(type="bwt_metrics", stream=True)]), "metrics: bwt_metrics is not supported"),
        (dict(metrics=[dict(type="accuracy_metrics", trained_experience=True)]), "metrics: trained_experience is"),
        (dict(loggers=[dict(type="CSVLogger")]), "loggers: CSVLogger is not supported in a stack, which has: Text"),
        (dict(model=dict(torchmodel=dict(type="Linear", in_features=5, out_features=3))), "the model is more than a"),
        (
            dict(model__head=dict(type="StackedLinearClsHead", num_classes=3, in_channels=5, mid_channels=[4])),
            "head St",
        ),
    ],
)
def test_others_run_alone_and_it_is_said_why(features_config: Path, values: dict[str, Any], reason: str) -> None:
    settings = opened(features_config, **values)
    assert stack_key(settings) is None
    assert reason in why_not(settings)
    assert "\n" not in why_not(settings)


def test_runs_on_images_run_alone() -> None:
    settings = opened(IMAGES)
    assert stack_key(settings) is None
    assert why_not(settings) == "it trains on images: only heads on features are stacked"
