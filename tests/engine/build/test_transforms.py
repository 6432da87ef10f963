"""Transforms of a config, those that hold others too, are what torchvision makes of the same arguments."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torchvision import transforms as T

from clearctl import rundir, train
from clearctl.config.check import check
from clearctl.config.fill import fill
from clearctl.config.load import load
from clearctl.distributed.randomness import seed_everything
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.engine.build.config import open_config
from clearctl.engine.build.transforms import build_transforms
from clearctl.engine.run.resume import resume

JITTER = "{'type': 'ColorJitter', 'brightness': 0.4, 'hue': 0.1}"
BLUR = "{'type': 'GaussianBlur', 'kernel_size': 3}"
ROTATE = "{'type': 'RandomRotation', 'degrees': 30, 'interpolation': 'bilinear'}"
IMAGE = Image.effect_noise((40, 30), 90).convert("RGB")


def jitter() -> Any:
    return T.ColorJitter(brightness=0.4, hue=0.1)


def rotation() -> Any:
    return T.RandomRotation(30, T.InterpolationMode.BILINEAR)


CASES: dict[str, Any] = {
    f"{{'type': 'RandomApply', 'transforms': [{JITTER}], 'p': 0.8}}": lambda: T.RandomApply([jitter()], 0.8),
    f"{{'type': 'RandomChoice', 'transforms': [{JITTER}, {BLUR}], 'p': [1, 3]}}": lambda: T.RandomChoice(
        [jitter(), T.GaussianBlur(3)], [1, 3]
    ),
    f"{{'type': 'RandomOrder', 'transforms': [{JITTER}, {{'type': 'RandomApply', 'transforms': [{ROTATE}]}}]}}": (
        lambda: T.RandomOrder([jitter(), T.RandomApply([rotation()])])
    ),
    "{'type': 'Resize', 'size': [16, 16], 'interpolation': 'bicubic'}": lambda: T.Resize(
        (16, 16), T.InterpolationMode.BICUBIC
    ),
    "{'type': 'Resize', 'size': 16, 'interpolation': 'NEAREST_EXACT'}": lambda: T.Resize(
        16, T.InterpolationMode.NEAREST_EXACT
    ),
    "{'type': 'AutoAugment', 'policy': 'cifar10', 'interpolation': 'bilinear'}": lambda: T.AutoAugment(
        T.AutoAugmentPolicy.CIFAR10, T.InterpolationMode.BILINEAR
    ),
}


@pytest.mark.parametrize("call", CASES)
def test_a_transform_is_torchvisions(call: str, tiny_config: Path, prepared: Path) -> None:
    steps = f"scenario.train_transform=[{call}, {{'type': 'ToTensor'}}]"
    built, _ = build_transforms(fill(open_config(tiny_config, overrides=(steps,), dataset_root=prepared)))
    expected = T.Compose([CASES[call](), T.ToTensor()])
    for seed in range(5):
        seed_everything(seed)
        found = built(IMAGE)
        seed_everything(seed)
        assert torch.equal(found, expected(IMAGE))


FAULTS = {
    f"[{{'type': 'RandomApply', 'transforms': {JITTER}}}]": "0.transforms: found {'type': .*}, expected a list",
    "[{'type': 'RandomApply', 'transforms': ['ColorJitter']}]": "0.transforms.0: found 'ColorJitter', expected a dict",
    "[{'type': 'RandomOrder', 'transforms': [{'type': 'ColorJiter'}]}]": (
        "0.transforms.0.type: no transform is called 'ColorJiter'; did you mean 'ColorJitter'?"
    ),
    "[{'type': 'RandomChoice', 'transforms': [{'type': 'RandomApply', 'transforms': [{'type': 'Resize'}]}]}]": (
        "0.transforms.0.transforms.0: Resize needs the argument 'size'"
    ),
    "[{'type': 'Lambda', 'lambd': 'x'}]": "0.type: transform 'Lambda' cannot be used: it takes a function",
    "[{'type': 'AutoAugmentPolicy', 'value': 'imagenet'}]": r"0.type: .* write dict\(type='AutoAugment', policy=",
    "[{'type': 'AutoAugment', 'policy': 'cifar'}]": "0.policy: found 'cifar', .*; did you mean 'cifar10'",
    "[{'type': 'FiveCrop', 'size': 8}]": "0.type: transform 'FiveCrop' cannot be used: it makes several images of one",
}


@pytest.mark.parametrize("value", FAULTS)
def test_what_is_wrong_with_a_transform_is_found_by_the_check(value: str, tiny_config: Path) -> None:
    [fault] = check(load(tiny_config, [f"scenario.train_transform={value}"]), CATALOGUE)
    assert re.match(f"--set: scenario.train_transform.{FAULTS[value]}", str(fault))


def test_a_run_with_transforms_in_transforms_is_resumed(tiny_config: Path, prepared: Path, tmp_path: Path) -> None:
    steps = f"[{{'type': 'RandomApply', 'transforms': [{ROTATE}]}}, {{'type': 'ToTensor'}}]"
    result = train(
        tiny_config,
        overrides=[f"scenario.train_transform={steps}"],
        dataset_root=prepared,
        work_dir=tmp_path,
        device="cpu",
    )
    assert rundir.read_config(result.run)["scenario"]["train_transform"][0]["transforms"][0]["degrees"] == 30
    assert resume(result.run).run == result.run
