"""Devices and random generators."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from clearctl.engine.machine import PACKAGES, describe, resolve_device, seed_everything
from clearctl.errors import CapabilityError, UsageError


def test_cpu() -> None:
    assert resolve_device("cpu") == torch.device("cpu")


def test_auto_is_the_gpu_where_there_is_one() -> None:
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:3"])
def test_gpu_that_is_not_there(name: str) -> None:
    with pytest.raises(CapabilityError) as caught:
        resolve_device(name)
    assert caught.value.exit_code == 6
    assert str(caught.value) == (
        f"--device {name}: this machine has no GPU that torch can use\nuse --device cpu, or --device auto"
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_that_is_there() -> None:
    count = torch.cuda.device_count()
    assert resolve_device(f"cuda:{count - 1}") == torch.device("cuda", count - 1)
    with pytest.raises(CapabilityError, match=f"this machine has {count} GPU"):
        resolve_device(f"cuda:{count}")


@pytest.mark.parametrize(
    "name", ["gpu", "", "cpu:0", "auto:1", "cuda:x", "cuda:-1", "cuda:0:1", "CUDA", "mps", "cuda:"]
)
def test_nonsense_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_device(name)
    assert caught.value.exit_code == 2
    assert str(caught.value) == f"--device {name}: expected auto, cpu, cuda or cuda:N"


def draw() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


@pytest.mark.parametrize("seed", [0, 7, 2**32 + 7])
def test_seed_everything_seeds_all_three(seed: int) -> None:
    seed_everything(seed)
    first = draw()
    seed_everything(seed + 1)
    other = draw()
    seed_everything(seed)
    assert draw() == first
    assert all(one != another for one, another in zip(first, other, strict=True))


def test_description_is_json_and_names_every_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # outside any repository
    found = json.loads(json.dumps(describe(torch.device("cpu"), tmp_path, "abc", 3)))
    assert list(found["packages"]) == list(PACKAGES)
    assert all(found["packages"].values())
    assert found["git"] is None
    assert (found["device"], found["seed"]) == ("cpu", 3)
    assert found["dataset"] == {"root": str(tmp_path), "fingerprint": "abc"}
