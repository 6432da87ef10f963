"""Ten buckets of a hundred epochs and ten evaluations, from the first epoch's start to the last evaluation's end."""

from benchmarks.alone import alone, in_turns, process
from benchmarks.features import SIDES
from benchmarks.folders import feature_folder
from benchmarks.row import Row
from benchmarks.settings import Settings

BUCKETS, EPOCHS = 10, 100


def whole_run(settings: Settings) -> list[Row]:
    """Naive. Plain Avalanche learns `plain_epochs` of the 100 a bucket; the others are taken to last as these did."""
    if settings.quick:
        return []
    folder = alone(feature_folder, settings.folder / f"features-{BUCKETS}", BUCKETS)
    epochs = dict.fromkeys(SIDES, EPOCHS) | {"Avalanche": min(settings.plain_epochs, EPOCHS)}
    sides = {name: process(side, folder, "Naive", epochs[name], settings.device) for name, side in SIDES.items()}
    done = {name: times[0] for name, times in in_turns(1, sides).items()}
    seconds = {name: times.whole for name, times in done.items()}
    seconds["Avalanche"] += sum(done["Avalanche"].epochs) * (EPOCHS / epochs["Avalanche"] - 1)
    what, mine = f"Naive, {BUCKETS} buckets × {EPOCHS} epochs, {BUCKETS} evaluations", [seconds["clearctl"]]
    learned = epochs["Avalanche"]
    against = "Avalanche" if learned == EPOCHS else f"Avalanche (from {learned} epochs a bucket)"
    return [
        Row("whole run", what, mine, against, [seconds["Avalanche"]], "times faster", goal=5.0),
        Row("whole run", what, mine, "bare loop", [seconds["bare loop"]]),
    ]
