"""Every command on a GPU: the second of two that are not there (`gpu`), or a real one (`either`).

What a GPU refuses the first refuses too. The numbers are the CPU's: exactly on the first, within two samples of each
bucket on the second.
"""

import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from blobs import PER_BUCKET
from rehearsal.either import Gpu
from rehearsal.gpu import RehearsalGpu
from runs import WATCHED, require_same
from test_strategies import SMALL
from typer.testing import CliRunner

from clearctl import evaluate, extract_features, resume, rundir, train
from clearctl.cli import app
from clearctl.config.load import Config
from clearctl.engine.build.config import open_config
from clearctl.engine.run import step_speed
from clearctl.engine.run.train import start
from clearctl.engine.stack.train import train_stack
from clearctl.errors import CapabilityError, Stopped
from clearctl.progress import Event, Message, ignore
from clearctl.strategies.stepping.epochs import Epochs

pytest_plugins = ("blobs", "rehearsal.either")

TESTED = 10  # images of each bucket of `prepared`


@pytest.mark.parametrize("base", SMALL)
def test_a_strategy_has_the_matrix_of_the_cpu(
    gpu: Gpu, base: str, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    config = write_config(base, **SMALL[base])
    expected = train(config, device="cpu", work_dir=tmp_path / "cpu")
    with gpu.used():
        found = train(config, device=gpu.device, work_dir=tmp_path / "cuda")
    gpu.require_same(found.matrix, expected.matrix, tested=PER_BUCKET)
    assert rundir.read_environment(found.run)["device_name"] == gpu.device_name


@pytest.mark.parametrize("base", ["naive", "replay", "agem", "ewc", "ridge"])
def test_batches_of_mapped_features_are_copied_to_the_gpu(
    gpu: Gpu, base: str, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    config = write_config(base, **SMALL[base])
    expected = train(config, device="cpu", work_dir=tmp_path / "cpu")
    with gpu.used():
        found = train(config, device=gpu.device, work_dir=tmp_path / "cuda", overrides=["data.loader=mapped"])
    gpu.require_same(found.matrix, expected.matrix, tested=PER_BUCKET)


@pytest.mark.parametrize("base", ["naive", "streaming_lda", "prototype", "icarl", "ridge"])
def test_a_deterministic_run_is_so_before_its_first_product(base: str, write_config: Callable[..., Path]) -> None:
    with RehearsalGpu() as gpu:
        train(write_config(base, **SMALL[base]), device="cuda", overrides=["deterministic=True"])
    assert gpu.environment == (":4096:8", True)


IMAGES = [
    (),
    ("cl_strategy.type=Replay", "cl_strategy.mem_size=9"),
    ("data.cache=off",),
    ("data.loader=workers", "data.workers=1"),
    ("channels_last=True",),
    ("precision=bf16",),
]


@pytest.mark.parametrize("overrides", IMAGES)
def test_images_have_the_matrix_of_the_cpu(
    gpu: Gpu, overrides: tuple[str, ...], tiny_config: Path, prepared: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = dict(overrides=overrides, dataset_root=prepared)
    expected = train(tiny_config, device="cpu", work_dir=tmp_path / "cpu", **given).matrix
    heard: list[Event] = []
    with gpu.used():
        found = train(tiny_config, device=gpu.device, work_dir=tmp_path / "cuda", listener=heard.append, **given)
    gpu.require_same(found.matrix, expected, tested=TESTED)
    offered = [
        event for event in heard if isinstance(event, Message) and event.text.startswith("precision fp32: on an")
    ]
    assert len(offered) == (0 if "precision=bf16" in overrides else 1)


# Stopping and resuming

STEP = 8  # of 18 in the run: in the second epoch of bucket 1


def stopped(
    config: Path, device: str, work_dir: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The folder of a run that was stopped at a step."""
    steps = 0
    done = Epochs._step_done

    def step_done(self: Epochs) -> None:
        nonlocal steps
        steps += self.strategy.is_training
        if steps == STEP and self.strategy.is_training:
            signal.raise_signal(signal.SIGINT)
        done(self)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
    try:
        with monkeypatch.context() as patched:
            patched.setattr(Epochs, "_step_done", step_done)
            with pytest.raises(Stopped, match="its state is saved"):
                train(config, device=device, work_dir=work_dir, overrides=overrides)
    finally:
        signal.signal(signal.SIGINT, before)
    [run] = work_dir.iterdir()
    return run


@pytest.mark.parametrize("base", ["naive", "replay", "ewc", "lwf", "agem", "der", "synaptic_intelligence", "icarl"])
def test_a_run_is_resumed_on_the_gpu_exactly_and_across_devices(
    gpu: Gpu, base: str, write_config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, overrides = write_config(base, **SMALL[base]), (*WATCHED, *gpu.deterministic)
    with gpu.used():
        try:
            whole = train(config, device=gpu.device, work_dir=tmp_path / "whole", overrides=overrides)
        except CapabilityError as error:
            pytest.skip(str(error))  # torch lacks a deterministic algorithm
        run = stopped(config, gpu.device, tmp_path / "cuda", overrides, monkeypatch)
        shutil.copytree(run, tmp_path / "from_cuda")
        assert resume(run).matrix.tolist() == whole.matrix.tolist()
    require_same(run, whole.run)
    found = resume(tmp_path / "from_cuda", device="cpu")
    gpu.require_same(found.matrix, whole.matrix, tested=PER_BUCKET)
    run = stopped(config, "cpu", tmp_path / "cpu", overrides, monkeypatch)
    with gpu.used():
        gpu.require_same(resume(run, device=gpu.device).matrix, whole.matrix, tested=PER_BUCKET)


# The other commands


def test_a_run_is_tested(gpu: Gpu, tiny_config: Path, prepared: Path, tmp_path: Path) -> None:
    run = train(tiny_config, device="cpu", work_dir=tmp_path, dataset_root=prepared).run
    with gpu.used():
        found = evaluate(run, device=gpu.device)
    assert found.matrix is not None
    gpu.require_same(found.matrix, rundir.read_matrix(run)[0], tested=TESTED)


def test_a_dry_run(gpu: Gpu, tiny_config: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_speed, "STEPS", 1)
    command = ["train", str(tiny_config), "--dataset-root", str(prepared), "--device", gpu.device, "--dry-run"]
    with gpu.used():
        result = CliRunner().invoke(app, [*command, "--json"])
        table = CliRunner().invoke(app, command)
    found = json.loads(result.stdout)
    assert found["train_batch_s"] > 0
    assert [speed["name"] for speed in found["speeds"]] == ["fp32", "bf16", "tf32", "bf16, channels_last"]
    assert all(speed["fault"] is None and speed["images_per_s"] > 0 and speed["gain"] > 0 for speed in found["speeds"])
    title, _, *rows = table.stdout[table.stdout.index("training steps on this GPU") :].splitlines()
    assert "images decoded before" in title
    assert re.fullmatch(r"fp32 +[\d,]+ +1\.00 +as the config has it *", rows[0])
    assert re.fullmatch(r"bf16, channels_last +[\d,]+ +\d+\.\d\d +--precision bf16 --set channels_last=True *", rows[3])


def test_features_are_the_cpus(gpu: Gpu, prepared: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(prepared, root)
    arguments = dict(arguments=dict(widen_factor=0.25), arch="mmcls:MobileNetV2", weights="none")
    torch.manual_seed(0)
    extract_features(root, name="host", device="cpu", batch_size=16, **arguments)
    torch.manual_seed(0)
    with gpu.used():
        extract_features(root, name="device", device=gpu.device, batch_size=16, workers=0, **arguments)
    for bucket in ("0", "1", "2"):
        host, device = (
            torch.load(root / f"training_folder/features/{name}/{bucket}/all.pth", weights_only=True)[0]
            for name in ("host", "device")
        )
        allowed = 1e-3 * float(host.std()) if gpu.real else 0.0
        torch.testing.assert_close(device, host, rtol=0, atol=allowed)


def test_a_stack_has_the_matrices_of_runs_alone(
    gpu: Gpu, features_config: Path, prepared: Path, tmp_path: Path
) -> None:
    def opened(seed: int) -> Config:
        overrides = ("loggers=[]", "metrics=[]")
        return open_config(
            features_config, overrides=overrides, seed=seed, work_dir=tmp_path / str(seed), dataset_root=prepared
        )

    alone = [start(opened(seed), "x.py", device="cpu", listener=ignore).matrix.tolist() for seed in (0, 1)]
    with gpu.used():
        runs = train_stack(
            [opened(0), opened(1)], device=gpu.device, sources=["x.py", "x.py"], listeners=[ignore, ignore]
        )
    for result, expected in zip(runs, alone, strict=True):
        gpu.require_same(result.matrix, expected, tested=TESTED)
