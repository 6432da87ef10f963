"""Testing the whole stream: what follows every bucket of a run."""

from benchmarks.alone import alone, in_turns, process
from benchmarks.features import SIDES
from benchmarks.folders import DIMENSION, ROWS, feature_folder
from benchmarks.row import Row
from benchmarks.settings import Settings


def evaluation(settings: Settings) -> list[Row]:
    """strategy.eval of all buckets with full metrics; the bare loop counts right answers and sums the loss."""
    buckets, rounds = (3, 1) if settings.quick else (10, 3)
    folder = alone(feature_folder, settings.folder / f"features-{buckets}", buckets)
    sides = {name: process(side, folder, "Naive", 1, settings.device) for name, side in SIDES.items()}
    seconds = {name: [times.evaluation() for times in done] for name, done in in_turns(rounds, sides).items()}
    what, mine = f"testing {buckets} buckets of {ROWS:,} × {DIMENSION:,}", seconds["clearctl"]
    return [
        Row("evaluation", what, mine, "bare loop", seconds["bare loop"], goal=1.3, floor=3.0),
        Row("evaluation", what, mine, "Avalanche", seconds["Avalanche"], "times faster", floor=2.0),
    ]
