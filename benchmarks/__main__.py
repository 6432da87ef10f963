"""`make bench`: what clearctl's parts take, side by side with a reference in the same run, as a table and as JSON.

Sizes are CLEAR-10's. --quick takes small ones and ends with 1 if a number is below its floor. Quote ratios and medians:
absolute times drift with the machine.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.alone import alone
from benchmarks.evaluation import evaluation
from benchmarks.extraction import extraction
from benchmarks.features import features
from benchmarks.grid import grid
from benchmarks.growth import growth
from benchmarks.heads import heads
from benchmarks.images import images
from benchmarks.machine import describe
from benchmarks.memory import memory
from benchmarks.prepare import prepare
from benchmarks.report import report
from benchmarks.row import Row
from benchmarks.settings import Settings
from benchmarks.start_up import start_up
from benchmarks.state import state
from benchmarks.whole_run import whole_run

PARTS: dict[str, Callable[[Settings], list[Row]]] = {
    "start-up": start_up,
    "prepare": prepare,
    "features": features,
    "evaluation": evaluation,
    "whole-run": whole_run,
    "heads": heads,
    "grid": grid,
    "report": report,
    "state": state,
    "memory": memory,
    "growth": growth,
    "images": images,
    "extraction": extraction,
}


def main() -> int:
    """Run the parts and print them; 1 if --quick found a number below its floor."""
    arguments = _arguments()
    if arguments.quick:
        # Two threads that wait for each other stall when CI runs something next to them: ratios then mean nothing.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    if arguments.threads:
        os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # what the libraries say at import
    console, progress = Console(width=None if sys.stdout.isatty() else 180), Console(stderr=True)
    machine = alone(describe, arguments.device)
    rows = []
    with tempfile.TemporaryDirectory(prefix="clearctl-bench-") as folder:
        settings = Settings(Path(folder), arguments.quick, arguments.device, arguments.epochs)
        for name in arguments.parts or PARTS:
            started = time.perf_counter()
            rows += PARTS[name](settings)
            progress.print(f"{name}: measured in {time.perf_counter() - started:.0f} s")
            if arguments.json:  # after each part: a later one may fail
                found = {"machine": machine, "quick": arguments.quick, "rows": [row.figures() for row in rows]}
                arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    console.print(_table(rows, machine, arguments.quick))
    below = [row for row in rows if arguments.quick and row.floor is not None and not row.meets(row.floor)]
    for row in below:
        progress.print(
            f"{row.what} against {row.against}: {row.value:.2f}, expected {row.bound(row.floor)}", style="red"
        )
    return int(bool(below))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure, all by default: {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, one thread, and floors that must hold")
    parser.add_argument("--device", default="auto", help="auto or cpu, for what may run on a GPU")
    parser.add_argument("--threads", type=int, help="threads of torch on every side")
    parser.add_argument(
        "--epochs", type=int, default=10, help="of the whole run's 100, how many Avalanche really learns"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file too")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.parts if name not in PARTS]
    if unknown:
        parser.error(f"no part {', '.join(unknown)}: there are {', '.join(PARTS)}")
    if arguments.epochs < 1:
        parser.error("--epochs: expected at least 1")
    return arguments


def _table(rows: list[Row], machine: dict[str, Any], quick: bool) -> Table:
    title = "{processor}, {cores} cores, {threads} threads, Python {python}, torch {torch}, device {device}"
    table = Table(title=title.format(**machine))
    for column in ("part", "what", "clearctl", "against", "it", "number", "floor" if quick else "goal"):
        table.add_column(column)
    for row in rows:
        table.add_row(*row.cells(quick))
    return table


if __name__ == "__main__":
    sys.exit(main())
