"""`eval_every` does not change the weights: what a test in training draws is put back."""

from pathlib import Path
from typing import Any

import pytest
import torch
from blobs import CLASSES, DIM

from clearctl import rundir, train

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


@pytest.mark.parametrize("workers", [0, 2])
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
