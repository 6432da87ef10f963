"""prepare-avalanche on a CLEAR-100-sized folder."""

import time
from pathlib import Path

from benchmarks.alone import alone
from benchmarks.folders import name_folder
from benchmarks.row import Row
from benchmarks.settings import Settings


def prepare(settings: Settings) -> list[Row]:
    """Five seeds, the first time and again, when nothing is to do."""
    buckets, classes, images = (3, 10, 30) if settings.quick else (11, 100, 150)
    root = name_folder(settings.folder / "names", buckets, classes, images)
    first, again = (alone(_prepare, root) for _ in range(2))
    what = f"prepare-avalanche, {buckets * classes * images:,} images, 5 seeds"
    return [Row("prepare", what, [first], "again", [again], "itself", goal=3.0, floor=3.0)]


def _prepare(root: Path) -> float:
    from clearctl import prepare_avalanche

    started = time.perf_counter()
    prepare_avalanche(root)
    return time.perf_counter() - started
