"""The paper's grid on features: one sweep of all strategies and seeds, against plain Avalanche run after run."""

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.alone import alone
from benchmarks.folders import feature_folder
from benchmarks.row import Row
from benchmarks.settings import Settings
from benchmarks.sides import plain
from benchmarks.sides.task import GRID

CONFIGS = Path(__file__).parents[1] / "configs" / "paper"
BUCKETS, EPOCHS, SEEDS, PLAIN_EPOCHS = 10, 100, 5, 2
# As small as features of MoCo are: with the configs' learning rate of 1, larger ones make scores so far apart that
# their gradients are below float32's normal numbers, with which this kind of processor computes five times as slowly.
FEATURES = {"apart": 0.05, "scale": 0.05}


def grid(settings: Settings) -> list[Row]:
    """Nine strategies, five seeds, a hundred epochs per bucket, streaming.

    The sweep is the command from the shell to its end, all in. Plain Avalanche learns each strategy once, some epochs a
    bucket; the other epochs and seeds are taken to last as these did, and its start is not counted.
    """
    if settings.quick:
        return []
    folder = alone(feature_folder, settings.folder / f"features-grid-{BUCKETS}", BUCKETS, **FEATURES)
    theirs = 0.0
    for strategy in GRID:
        times = alone(plain.learn, folder, strategy, PLAIN_EPOCHS, settings.device)
        theirs += SEEDS * (times.whole + sum(times.epochs) * (EPOCHS / PLAIN_EPOCHS - 1))
    what = f"{len(GRID)} strategies × {SEEDS} seeds, {BUCKETS} buckets × {EPOCHS} epochs"
    ours = [_sweep(folder, settings)]
    against = f"Avalanche (from {PLAIN_EPOCHS} epochs a bucket, one seed)"
    return [Row("grid", what, ours, against, [theirs], "times faster", goal=20.0)]


def _sweep(folder: Path, settings: Settings) -> float:
    """Seconds of the sweep. Each job gets its share of the cores, whatever this process was given."""
    command = [sys.executable, "-m", "clearctl", "--quiet", "sweep", *(str(CONFIGS / f"{name}.py") for name in GRID)]
    command += [f"--seeds=0-{SEEDS - 1}", f"--dataset-root={folder}", f"--work-dir={settings.folder / 'grid'}"]
    command += [f"--device={settings.device}", "--set=scenario.feature_type=random"]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - started
