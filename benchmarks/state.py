"""The cost of saving a run's state, so that it can be resumed."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.alone import alone, in_turns, process
from benchmarks.folders import feature_folder
from benchmarks.row import Row
from benchmarks.settings import Settings
from benchmarks.sides import ours

STRATEGIES = ("Naive", "Replay")


def state(settings: Settings) -> list[Row]:
    """A feature run with the default `state_every`: the time that saving takes, and the run beside one that saves none.

    Few epochs per bucket are the worst case, since each bucket begins with a state.
    """
    buckets, epochs, rounds = (3, 5, 3) if settings.quick else (10, 20, 3)
    folder = alone(feature_folder, settings.folder / f"features-{buckets}", buckets)
    rows = []
    for strategy in STRATEGIES[: 1 if settings.quick else None]:
        sides = {
            name: process(_learn, folder, strategy, epochs, settings.device, saved=name == "saved")
            for name in ("saved", "not saved")
        }
        done = in_turns(rounds, sides)
        wholes = {name: [whole for whole, _ in times] for name, times in done.items()}
        percents = [100 * saving / whole for whole, saving in done["saved"]]
        what = f"{strategy}, {buckets} buckets × {epochs} epochs"
        limit = {"number": "itself", "unit": "%", "goal": 3.0, "floor": 10.0}
        rows.append(Row("state", f"{what}: saving states", percents, "the run", [100.0] * rounds, **limit))  # type: ignore[arg-type]
        if not settings.quick:
            rows.append(Row("state", f"{what}, its state saved", wholes["saved"], "not saved", wholes["not saved"]))
    return rows


def _learn(folder: Path, strategy: str, epochs: int, device: str, *, saved: bool) -> tuple[float, float]:
    """(seconds of the run, seconds that saving took from it: of its own thread, and of the processor in the other)."""
    from clearctl.engine.states.saver import Saver

    spent = [0.0]

    def timed(method: Callable[..., Any], clock: Callable[[], float]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            started = clock()
            try:
                return method(*arguments, **options)
            finally:
                spent[0] += clock() - started

        return run

    def nothing(*arguments: Any, **options: Any) -> None:
        pass

    methods: Any = Saver
    methods.save = timed(Saver.save, time.perf_counter) if saved else nothing
    methods._write = timed(Saver._write, time.thread_time)
    times = ours.learn(folder, strategy, epochs, device)
    return times.whole, spent[0]
