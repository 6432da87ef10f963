"""Stopped on one kind of device and resumed on the other; and a run that is deterministic from its first product on."""

import os
import signal
from pathlib import Path

import numpy as np

from benchmarks.gpu.check import Check
from benchmarks.gpu.command import forked
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.strategies import SEED, write_config
from benchmarks.gpu.training import learn
from clearctl import resume, train
from clearctl.errors import Stopped
from clearctl.progress import EpochDone, Event

STRATEGIES = ("replay", "naive", "synaptic_intelligence")
STOPPED_AFTER = 3  # epochs, of two a bucket: in the middle of the second


def run(check: Check, findings: Findings) -> None:
    """The matrix of each is that of a run which was on the second device all the time."""
    with findings.noted("StreamingLDA --deterministic"):
        # Before this process uses the GPU, and without what the check has set for cuBLAS.
        options = ("--device", check.device, "--deterministic", "--work-dir", check.runs("deterministic"))
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
        process = forked("train", write_config(check, "streaming_lda"), *options)
        process.join()
        findings.equal("StreamingLDA --deterministic: exit code", process.exitcode, 0)
    pairs = dict.fromkeys([(check.device, "cpu"), ("cpu", check.device), (check.device, check.device)])
    for name in STRATEGIES[: 1 if check.small else None]:
        config = write_config(check, name)
        for first, second in pairs:
            with findings.noted(f"{name}, {first} to {second}"):
                whole = learn(check, config, f"across/{name}-whole-{second}", device=second, seed=SEED).result
                place = check.runs(f"across/{name}-{first}-{second}")
                found = resume(_stopped(config, first, place), device=second)
                difference = float(np.abs(found.matrix - whole.matrix).max())
                findings.equal(f"{name}, {first} to {second}", difference, 0.0)


def _stopped(config: Path, device: str, work_dir: Path) -> Path:
    """The folder of a run that got SIGTERM."""
    epochs = 0

    def stop(event: Event) -> None:
        nonlocal epochs
        epochs += isinstance(event, EpochDone)
        if epochs == STOPPED_AFTER and isinstance(event, EpochDone):
            signal.raise_signal(signal.SIGTERM)

    try:
        train(config, device=device, work_dir=work_dir, seed=SEED, listener=stop)
    except Stopped:
        [run] = work_dir.iterdir()
        return run
    raise RuntimeError(f"{config}: the run was not stopped")
