"""Heads that are solved for: Ridge against the epochs of SGD, BatchSLDA against Avalanche's StreamingLDA."""

from pathlib import Path
from typing import Any

from benchmarks.alone import alone
from benchmarks.folders import DIMENSION, ROWS, feature_folder
from benchmarks.memory import FLOAT_BYTES, peak_bytes
from benchmarks.row import Row
from benchmarks.settings import Settings
from benchmarks.sides import ours, plain

APART = 0.1  # class means against a deviation of 1 in each number: classes that can be told apart
LAMBDA = {"ridge_lambda": 1000.0}


def heads(settings: Settings) -> list[Row]:
    """CPU seconds from the first epoch's start to the last test's end, of whole runs; the metrics of all are measured.

    Both sides of BatchSLDA learn the same rows of one bucket, and are tested on them once. With --quick features are
    narrow, so that solving takes no time.
    """
    buckets, epochs, rows, width = (3, 20, 256, 256) if settings.quick else (10, 100, 512, DIMENSION)
    made: dict[str, Any] = {"dimension": width, "apart": APART}
    folder = alone(feature_folder, settings.folder / f"features-apart-{buckets}", buckets, **made)
    few = alone(feature_folder, settings.folder / f"features-apart-{rows}-rows", 1, rows, **made)
    what = f"{buckets} buckets of {ROWS:,} × {width:,} and as many tests of all, CPU time"
    ridge = [alone(ours.solve, folder, "Ridge", LAMBDA).whole_cpu]
    sgd = [alone(ours.learn, folder, "Naive", epochs, "cpu").whole_cpu]
    slda = [alone(ours.solve, few, "BatchSLDA", {}).whole_cpu]
    streaming = [alone(plain.learn_streaming_lda, few).whole_cpu]
    found = [
        Row("heads", f"Ridge, {what}", ridge, "itself", ridge, "itself", goal=3.0, floor=3.0),
        Row("heads", "the same", ridge, f"SGD, {epochs} epochs", sgd, "times faster", goal=20.0, floor=2.0),
        Row(
            "heads",
            f"BatchSLDA, {rows} rows of {width:,}, and a test of them, CPU time",
            slda,
            "Avalanche's StreamingLDA",
            streaming,
            "times faster",
            goal=50.0,
            floor=3.0,
        ),
    ]
    if settings.quick:
        return found
    chosen = [alone(ours.solve, folder, "Ridge", {}).whole_cpu]
    tiny = alone(feature_folder, settings.folder / "features-tiny", 1, 64)
    size_mb = buckets * ROWS * width * FLOAT_BYTES / 1e6
    grown = [alone(_growth_mb, tiny, folder)]
    return [
        *found,
        Row("heads", "Ridge that chooses its lambda in the first bucket", chosen, "one with a number", ridge),
        Row("heads", "peak of Ridge's run above its imports", grown, "the features", [size_mb], unit="MB", goal=1.5),
    ]


def _growth_mb(tiny: Path, folder: Path) -> float:
    """The memory that a run of Ridge adds to the peak of a process, after one on a handful of rows."""
    ours.solve(tiny, "Ridge", LAMBDA)
    before = peak_bytes()
    ours.solve(folder, "Ridge", LAMBDA)
    return (peak_bytes() - before) / 1e6
