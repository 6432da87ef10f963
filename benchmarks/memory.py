"""The most memory that a feature run holds."""

import resource
import sys
from pathlib import Path

from benchmarks.alone import alone
from benchmarks.folders import DIMENSION, ROWS, feature_folder
from benchmarks.row import Row
from benchmarks.settings import Settings
from benchmarks.sides import ours, plain

FLOAT_BYTES = 4


def memory(settings: Settings) -> list[Row]:
    """Peak of a run above that of the same run on a handful of rows, which is what imports and model take."""
    buckets = 3 if settings.quick else 10
    folder = alone(feature_folder, settings.folder / f"features-{buckets}", buckets)
    tiny = alone(feature_folder, settings.folder / "features-tiny", 1, 64)
    size_mb = buckets * ROWS * DIMENSION * FLOAT_BYTES / 1e6
    what = f"peak of a run on {buckets} buckets of {ROWS:,} × {DIMENSION:,}, above its imports"
    grown = {side: [alone(_growth_mb, side, tiny, folder)] for side in ("clearctl", "Avalanche")}
    return [
        Row("memory", what, grown["clearctl"], "the features", [size_mb], unit="MB", goal=1.1, floor=2.0),
        Row("memory", what, grown["clearctl"], "Avalanche", grown["Avalanche"], unit="MB"),
    ]


def _growth_mb(side: str, tiny: Path, folder: Path) -> float:
    """Both runs in one process, the tiny one first: it imports what is left and builds all there is to build.

    Replay, because its buffer is one more place where features could be copied. On the CPU: elsewhere they are not in
    this process's memory. The peak counts pages of mapped files too, although the system may take those back at will.
    """
    learn = {"clearctl": ours.learn, "Avalanche": plain.learn}[side]
    learn(tiny, "Replay", 1, "cpu")
    before = peak_bytes()
    learn(folder, "Replay", 2, "cpu")
    return (peak_bytes() - before) / 1e6


def peak_bytes() -> int:
    """The most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
