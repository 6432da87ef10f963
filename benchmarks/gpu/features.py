"""Features of 2,048 numbers: steps/s against the bare loop, where a step waits for the GPU, what runs there."""

import collections
import statistics
import warnings
from pathlib import Path

import torch

from benchmarks.gpu.busy import kernel_share
from benchmarks.gpu.check import Check
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.training import learn
from benchmarks.sides import bare, ours
from benchmarks.sides.task import BATCH, STRATEGIES

SHARE = 0.8  # of the bare loop's steps/s


def run(check: Check, findings: Findings) -> None:
    """The four strategies that the bare loop knows; of the last bucket, when all of a strategy is at work."""
    epochs = check.of(25, 3)
    for strategy in STRATEGIES:
        with findings.noted(strategy):
            config = ours.write_config(check.wide, strategy, epochs)
            mine = statistics.median(ours.learn(check.wide, strategy, epochs, check.device).epochs[-epochs:])
            theirs = statistics.median(bare.learn(check.wide, strategy, epochs, check.device).epochs[-epochs:])
            findings.figure(f"{strategy}: ms an epoch, and of the bare loop", [1e3 * mine, 1e3 * theirs])
            findings.at_least(f"{strategy}: of the bare loop's steps/s", round(theirs / mine, 3), SHARE)
            if check.on_gpu:
                findings.figure(f"{strategy}: waits for the GPU", _waits(check, config))
    config = ours.write_config(check.wide, "Naive", epochs)
    with findings.noted("without metrics"):
        trained = learn(check, config, "features", ["metrics=[]"])
        ms = 1e3 * statistics.median(epoch.seconds for epoch in trained.epochs[-epochs:])
        findings.figure("Naive without metrics: ms an epoch", ms)
    if check.on_gpu:
        with findings.noted("kernels"):
            findings.figure("Naive: kernels", kernel_share(check, lambda: learn(check, config, "features")))


def _waits(check: Check, config: Path) -> dict[str, object]:
    """Where torch says that the host waited in a short run, and how often; a step is of `BATCH` samples."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            trained = learn(check, config, "waits", ["cl_strategy.train_epochs=2"])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    places = collections.Counter(
        f"{Path(each.filename).parent.name}/{Path(each.filename).name}:{each.lineno}"
        for each in heard
        if "synchroniz" in str(each.message)
    )
    steps = sum(-(-epoch.num_samples // BATCH) for epoch in trained.epochs)
    return {"steps": steps, "waits": places.total(), "places": places.most_common(12)}
