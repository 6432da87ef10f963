"""What cannot be put into a batch is a fault of the config, before there is a run folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from clearctl import prepare_avalanche, train
from clearctl.engine.build.preflight import check_config
from clearctl.engine.run.dry_run import dry_run
from clearctl.errors import ConfigError

TO_TENSOR = "{'type': 'ToTensor'}"
STREAMING = "scenario.evaluation_protocol=streaming"


@pytest.fixture
def uneven(clear_folder: Callable[..., Path]) -> Path:
    """Images of 16 x 16, but one of the last bucket, which is 16 wide and 24 high."""
    root = clear_folder()
    prepare_avalanche(root, test_ratio=0)
    Image.new("RGB", (16, 24), "red").save(max(root.glob("labeled_images/2/camera/*.jpg")))
    return root


def transforms(steps: str) -> list[str]:
    return [STREAMING, *(f"scenario.{name}_transform=[{steps}, {TO_TENSOR}]" for name in ("train", "eval"))]


@pytest.mark.parametrize("steps", ["{'type': 'Resize', 'size': 16}", "{'type': 'Pad', 'padding': 2}"])
def test_images_of_different_shapes(steps: str, uneven: Path, tiny_config: Path, tmp_path: Path) -> None:
    for command, more in ((train, {"work_dir": tmp_path / "runs"}), (dry_run, {})):
        with pytest.raises(ConfigError) as caught:
            command(tiny_config, overrides=transforms(steps), dataset_root=uneven, device="cpu", **more)
        first, second = str(caught.value).splitlines()
        assert first.startswith("--set: scenario.train_transform: its images have different shapes: ")
        assert first.endswith(f"for {max(uneven.glob('labeled_images/2/camera/*.jpg'))}")
        assert second.startswith("crop them, or give Resize both sizes: size=(")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "steps",
    [
        "{'type': 'Resize', 'size': (16, 16)}",
        "{'type': 'Resize', 'size': 16}, {'type': 'CenterCrop', 'size': 16}",
        "{'type': 'RandomResizedCrop', 'size': 16}",
    ],
)
def test_images_that_are_cropped(steps: str, uneven: Path, tiny_config: Path) -> None:
    dry_run(tiny_config, overrides=transforms(steps), dataset_root=uneven, device="cpu")


def test_images_that_all_have_one_size(prepared: Path, tiny_config: Path) -> None:
    dry_run(tiny_config, overrides=transforms("{'type': 'Resize', 'size': 16}"), dataset_root=prepared, device="cpu")


def test_a_last_batch_of_one_sample(prepared: Path, features_config: Path, tmp_path: Path) -> None:
    samples = 36  # of a bucket
    sizes = "'num_classes': 3, 'in_channels': 5, 'mid_channels': [4]"
    head = f"{{'type': 'StackedLinearClsHead', {sizes}, 'norm_cfg': {{'type': 'BN1d'}}}}"
    more = {"dataset_root": prepared, "device": "cpu"}
    for size in (samples - 1, 1):
        overrides = [STREAMING, f"model={{'head': {head}}}", f"cl_strategy.train_mb_size={size}"]
        with pytest.raises(ConfigError) as caught:
            train(features_config, overrides=overrides, work_dir=tmp_path / "runs", **more)
        assert f"train_mb_size: found {size}, but bucket 0 has {samples} samples" in str(caught.value)
    assert not (tmp_path / "runs").exists()
    size = f"cl_strategy.train_mb_size={samples}"
    dry_run(features_config, overrides=[STREAMING, f"model={{'head': {head}}}", size], **more)
    size = f"cl_strategy.train_mb_size={samples - 1}"
    dry_run(features_config, overrides=[STREAMING, size], **more)  # without a batch norm


REFUSED = {
    "cl_strategy.optimizer={'type': 'SGD', 'lr': 0.1, 'nesterov': True}": "cl_strategy.optimizer: SGD rejects",
    "cl_strategy.scheduler={'type': 'OneCycleLR', 'max_lr': 0.1}": "cl_strategy.scheduler: OneCycleLR rejects",
    "cl_strategy.loss={'type': 'CrossEntropyLoss', 'reduction': 'none'}": "cl_strategy.loss: ",
    "metrics=[{'type': 'accuracy_metrics', 'experience': 5, 'epoch': 'x'}]": "metrics.0",
}


@pytest.mark.parametrize("override", REFUSED)
def test_what_a_library_refuses_is_found_by_the_check(
    override: str, prepared: Path, features_config: Path, tmp_path: Path
) -> None:
    found = check_config(features_config, overrides=[override], dataset_root=prepared).faults
    assert REFUSED[override] in "\n".join(found)
    with pytest.raises(ConfigError):
        train(features_config, overrides=[override], dataset_root=prepared, work_dir=tmp_path / "runs", device="cpu")
    assert not (tmp_path / "runs").exists()
