"""Devices and random generators."""

import json
import os
from pathlib import Path

import pytest
import torch
from sharing import environment

from clearctl.engine.machine import (
    PACKAGES,
    describe,
    deterministic_algorithms,
    hide_gpus,
    resolve_device,
)
from clearctl.engine.run.train import train
from clearctl.errors import CapabilityError, UsageError
from clearctl.progress import EpochDone, Event, Message


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


def test_imports_ask_for_no_gpu_and_later_calls_do() -> None:
    asked = torch.cuda.is_available
    with hide_gpus():
        assert not torch.cuda.is_available()
    assert torch.cuda.is_available is asked


def be_one_of(
    monkeypatch: pytest.MonkeyPatch, processes: int, local_rank: int, gpus: int, local_size: int | None = None
) -> None:
    """Be one of several processes, on a machine with so many GPUs."""
    environ = {**environment(local_rank, processes, 1), "LOCAL_WORLD_SIZE": str(local_size or processes)}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)


def test_each_of_several_processes_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for local_rank in range(3):
        be_one_of(monkeypatch, 6, local_rank, gpus=4, local_size=3)  # and three more on another machine
        for name in ("auto", "cuda"):
            assert resolve_device(name) == torch.device("cuda", local_rank)
        assert resolve_device("cpu") == torch.device("cpu")
        with pytest.raises(UsageError) as caught:
            resolve_device("cuda:1")
        assert str(caught.value) == "--device cuda:1: each of 6 processes needs its own GPU: use --device cuda"


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    be_one_of(monkeypatch, 6, 1, gpus=2, local_size=3)
    for name in ("auto", "cuda"):
        with pytest.raises(CapabilityError) as caught:
            resolve_device(name)
        assert str(caught.value) == (
            f"--device {name}: 3 processes on a machine with 2 GPUs\n"
            "start one process for each GPU, or use --device cpu"
        )
    assert resolve_device("cpu") == torch.device("cpu")


def test_several_processes_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    be_one_of(monkeypatch, 2, 1, gpus=0)
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(CapabilityError, match="2 processes on a machine with 0 GPUs"):
        resolve_device("cuda")


def test_description_is_json_and_names_every_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # outside any repository
    found = json.loads(json.dumps(describe(torch.device("cpu"), {"root": str(tmp_path), "fingerprint": "abc"}, 3)))
    assert list(found["packages"]) == list(PACKAGES)
    assert all(found["packages"].values())
    assert found["git"] is None
    assert (found["device"], found["seed"]) == ("cpu", 3)
    assert found["dataset"] == {"root": str(tmp_path), "fingerprint": "abc"}


CPU = torch.device("cpu")
COST = Message("deterministic=True: no measurable slowdown on a CPU")


def test_deterministic_algorithms_are_on_within_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":0:0")
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    reported: list[Event] = []
    with deterministic_algorithms(True, CPU, reported.append):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":0:0"
    assert reported == [COST]
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark


def test_without_the_wish_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    reported: list[Event] = []
    with deterministic_algorithms(False, CPU, reported.append):
        assert not torch.are_deterministic_algorithms_enabled()
    with deterministic_algorithms(True, CPU):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"  # as good as the other
    assert reported == []


def test_an_operation_without_a_deterministic_algorithm_is_named() -> None:
    x, indices = torch.nn.functional.max_pool2d(torch.rand(1, 1, 4, 4), 2, return_indices=True)
    with pytest.raises(CapabilityError) as caught, deterministic_algorithms(True, CPU):
        torch.nn.functional.max_unpool2d(x, indices, 2)
    assert str(caught.value) == (
        "deterministic=True: torch has no deterministic max_unpooling2d_forward_out on cpu\n"
        "leave deterministic out, or use --device cpu"
    )
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), deterministic_algorithms(True, CPU):
        torch.rand(2, 3) @ torch.rand(2, 3)


def test_a_run_is_deterministic_where_its_config_says_so(features_config: Path, prepared: Path, tmp_path: Path) -> None:
    modes: list[bool] = []
    reported: list[Event] = []

    def listen(event: Event) -> None:
        reported.append(event)
        if isinstance(event, EpochDone):
            modes.append(torch.are_deterministic_algorithms_enabled())

    for wanted in (True, False):
        overrides = [f"deterministic={wanted}", "cl_strategy.train_epochs=1"]
        train(
            features_config,
            work_dir=tmp_path,
            dataset_root=prepared,
            overrides=overrides,
            device="cpu",
            listener=listen,
        )
    assert modes == [True] * 3 + [False] * 3
    assert reported.count(COST) == 1
