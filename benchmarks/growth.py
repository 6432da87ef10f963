"""The growth of the time and the memory of a feature run with its sizes, one of them at a time."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.alone import alone
from benchmarks.folders import CLASSES, DIMENSION, feature_folder
from benchmarks.memory import peak_bytes
from benchmarks.row import Row
from benchmarks.settings import Settings
from benchmarks.sides import ours

FACTORS, ROUNDS, EPOCHS = (1, 2, 4, 8), 3, 6
BASE = {"buckets": 2, "rows": 2200, "dimension": 512, "classes": CLASSES}
CLEAR_100 = {"buckets": 11, "rows": 100 * 150, "dimension": DIMENSION, "classes": 100}


@dataclass(frozen=True)
class Cost:
    """Seconds of all epochs after the first of each bucket, and of all tests after each bucket; the peak in MB."""

    training_s: float
    testing_s: float
    peak_mb: float


def growth(settings: Settings) -> list[Row]:
    """Naive with each size times 1, 2, 4 and 8, the others as they are; then CLEAR-100's sizes once."""
    if settings.quick:
        return []
    rows = []
    for size in BASE:
        given = {factor: {**BASE, size: BASE[size] * factor} for factor in FACTORS}
        folders = {factor: _folder(settings, sizes) for factor, sizes in given.items()}
        costs: dict[int, list[Cost]] = {factor: [] for factor in FACTORS}
        for _ in range(ROUNDS):
            for factor, folder in folders.items():
                costs[factor].append(alone(_cost, folder, EPOCHS))
        for name, unit in (("training_s", "s"), ("testing_s", "s"), ("peak_mb", "MB")):
            found = {factor: [getattr(cost, name) for cost in costs[factor]] for factor in FACTORS}
            what = name.partition("_")[0]
            rows += [
                Row("growth", f"{what}, {size} × {factor}", found[factor], f"{size} × 1", found[1], unit=unit)
                for factor in FACTORS[1:]
            ]
    whole = alone(_cost, _folder(settings, CLEAR_100), EPOCHS)
    size_mb = CLEAR_100["buckets"] * CLEAR_100["rows"] * CLEAR_100["dimension"] * 4 / 1e6
    what = "CLEAR-100's sizes (11 buckets × 15,000 × 2,048, 100 classes)"
    return [
        *rows,
        Row("growth", f"{what}: an epoch of every bucket", [whole.training_s / (EPOCHS - 1)], "", [0], "itself"),
        Row("growth", f"{what}: the 11 tests of all buckets", [whole.testing_s], "", [0], "itself"),
        Row("growth", f"{what}: peak", [whole.peak_mb], "the features", [size_mb], unit="MB"),
    ]


def _folder(settings: Settings, sizes: dict[str, int]) -> Path:
    name = "features-" + "-".join(map(str, sizes.values()))
    return alone(feature_folder, settings.folder / name, **sizes, apart=0.05, scale=0.05)


def _cost(folder: Path, epochs: int) -> Cost:
    """The cost of a run after one on a few rows, which imports and builds everything."""
    tiny = feature_folder(folder.parent / "features-tiny", 1, 64)
    ours.learn(tiny, "Naive", 1, "cpu")
    before = peak_bytes()
    times = ours.learn(folder, "Naive", epochs, "cpu")
    later = [seconds for number, seconds in enumerate(times.epochs) if number % epochs]
    return Cost(sum(later), sum(times.evaluations), (peak_bytes() - before) / 1e6)
