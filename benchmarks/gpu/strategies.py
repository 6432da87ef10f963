"""Every strategy of configs/_base_ on narrow features: the accuracy matrix is the CPU's."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.folders import CLASSES
from benchmarks.gpu.check import NARROW, ROOT, Check
from benchmarks.gpu.findings import Findings, read
from benchmarks.gpu.training import learn
from clearctl import evaluate
from clearctl.config.load import load

SEED = 3
THREADS = 2  # of the CPU's side, which runs beside other parts
SAMPLES = 2  # in a cell, by which the matrices may differ
ALLOWED = SAMPLES / NARROW[1] + 1e-9
TESTED = ("naive", "replay")  # whose runs are tested again on the CPU

# Arguments that count samples or epochs, and what they are here.
SIZES: dict[str, Any] = {
    "mem_size": 50,
    "memory_size": 55,
    "max_size": 50,
    "patterns_per_exp": 30,
    "sample_size": 30,
    "batch_size_mem": 16,
    "stage_2_epochs": 3,
}
# Strategies that write their own head, and what it takes besides its width; the others write a linear one.
HEADS: dict[str, dict[str, Any]] = {
    "ranpac": {"type": "RandomProjectionHead", "projection_dim": 32},
    "klda": {"type": "RandomFourierHead", "projection_dim": 32},
    "fecam": {"type": "FeCAMHead", "tukey": 1.0},
}
SMALL = ("naive", "replay", "synaptic_intelligence", "streaming_lda")  # one of each way to learn


def names(check: Check) -> list[str]:
    """The base configs that name a strategy."""
    files = sorted((ROOT / "configs" / "_base_").glob("*.py"))
    found = [file.stem for file in files if "type" in load(file).values.get("cl_strategy", {})]
    return [name for name in found if name in SMALL] if check.small else found


def write_config(check: Check, name: str) -> Path:
    """The config of a strategy, small enough for the narrow features."""
    base = ROOT / "configs" / "_base_" / f"{name}.py"
    metrics = ROOT / "configs" / "_base_" / "metrics.py"
    section = load(base).values["cl_strategy"]
    strategy = {**dict(_smaller(section)), "train_mb_size": 32, "eval_mb_size": 64}
    if "train_epochs" in section:
        strategy |= {"train_epochs": 2, "optimizer": {"lr": 0.05}, "scheduler": {"step_size": 1}}
    scenario = {"dataset_root": str(check.narrow), "feature_type": "random"}
    head = HEADS.get(name, {"type": "LinearClsHead"}) | {"num_classes": CLASSES, "in_channels": NARROW[2]}
    file = check.folder / "configs" / f"{name}.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(
        f"_base_ = {[str(base), str(metrics)]!r}\nscenario = {scenario!r}\nmodel = dict(head={head!r})\n"
        f"cl_strategy = {strategy!r}\nloggers = [dict(type='TextLogger')]\n"
    )
    return file


def _smaller(section: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What is to be put over a section so that it is small."""
    for key, value in section.items():
        if key in SIZES:
            yield key, SIZES[key]
        elif isinstance(value, dict) and (inner := dict(_smaller(value))):
            yield key, inner


def train_on_cpu(check: Check, findings: Findings) -> None:
    """The matrices that the others are compared with."""
    torch.set_num_threads(THREADS if not check.small else 1)
    for name in names(check):
        with findings.noted(name):
            trained = learn(check, write_config(check, name), f"reference/{name}", device="cpu", seed=SEED)
            findings.figure(name, trained.result.matrix.tolist())


def run(check: Check, findings: Findings) -> None:
    """Each strategy on the device; and a run made there tested on the CPU."""
    on_cpu = {finding.name: finding.value for finding in read(check.folder / "parts" / "cpu-reference.json")}
    for name in names(check):
        with findings.noted(name):
            started = time.perf_counter()
            result = learn(check, write_config(check, name), f"strategies/{name}", seed=SEED).result
            seconds = time.perf_counter() - started
            expected = np.array(on_cpu[name])
            difference = float(np.abs(result.matrix - expected).max())
            findings.right(name, difference, difference <= ALLOWED, f"at most {SAMPLES} samples a cell, {ALLOWED:.3f}")
            findings.figure(f"{name}, seconds and mean accuracy", [round(seconds, 2), float(result.matrix.mean())])
            if name in TESTED:
                again = np.array(evaluate(result.run, device="cpu").rows)
                difference = float(np.abs(again - result.matrix).max())
                findings.right(
                    f"{name}, tested on the CPU", difference, difference <= ALLOWED, f"at most {ALLOWED:.3f}"
                )
