"""An epoch on features: clearctl train, plain Avalanche and a bare loop in turn."""

from benchmarks.alone import alone, in_turns, process
from benchmarks.folders import DIMENSION, ROWS, feature_folder
from benchmarks.row import Row
from benchmarks.settings import Settings
from benchmarks.sides import bare, ours, plain
from benchmarks.sides.task import STRATEGIES

SIDES = {"clearctl": ours.learn, "Avalanche": plain.learn, "bare loop": bare.learn}


def features(settings: Settings) -> list[Row]:
    """Naive, Replay, LwF and EWC: all batches of an epoch, with metrics and logger where the side has them.

    EWC's penalty and Replay's memory grow with the buckets, so the epochs of all ten are in the median.
    """
    buckets, epochs, rounds = (3, 3, 1) if settings.quick else (10, 5, 3)
    folder = alone(feature_folder, settings.folder / f"features-{buckets}", buckets)
    rows = []
    for strategy in STRATEGIES:
        sides = {name: process(side, folder, strategy, epochs, settings.device) for name, side in SIDES.items()}
        if settings.quick and strategy != "Naive":
            del sides["Avalanche"]  # the slow side, and one strategy shows whether clearctl's loaders are in use
        seconds = {name: [times.epoch() for times in done] for name, done in in_turns(rounds, sides).items()}
        what, mine = f"{strategy}, an epoch of {ROWS:,} × {DIMENSION:,}", seconds["clearctl"]
        rows.append(Row("features", what, mine, "bare loop", seconds["bare loop"], goal=1.2, floor=4.0))
        if "Avalanche" in seconds:
            rows.append(Row("features", what, mine, "Avalanche", seconds["Avalanche"], "times faster", floor=1.5))
    return rows
