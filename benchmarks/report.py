"""A report on a hundred runs, from the shell to its end."""

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.alone import alone
from benchmarks.folders import feature_folder
from benchmarks.row import Row
from benchmarks.settings import Settings
from benchmarks.sides.ours import train, write_config

GROUPS, SEEDS = 20, 5


def report(settings: Settings) -> list[Row]:
    """Twenty groups of five seeds: as a table on the terminal, and as a page."""
    folder = alone(feature_folder, settings.folder / "features-report", 10, 110, 64)
    runs = settings.folder / "reported"
    alone(_make_runs, folder, runs)
    rows = []
    for what, options in (
        ("as a table", ["--format", "markdown"]),
        ("as a page", ["--output", str(settings.folder / "report.html")]),
    ):
        seconds = []
        for _ in range(1 if settings.quick else 3):
            started = time.perf_counter()
            command = [sys.executable, "-m", "clearctl", "report", str(runs), *options]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - started)
        rows.append(Row("report", f"{GROUPS * SEEDS} runs {what}", seconds, "-", [1.0], "itself", goal=5.0, floor=15.0))
    return rows


def _make_runs(folder: Path, runs: Path) -> None:
    """A run, and copies of its files that say they had another seed or learning rate."""
    config = write_config(folder, "Naive", 100)
    text = config.read_text().replace("in_channels=2048", "in_channels=64")
    config.write_text(text.replace(repr(str(folder.parent / "runs")), repr(str(runs))))
    train("--device", "cpu", config)
    (first,) = runs.iterdir()
    files = {file.relative_to(first): file.read_bytes() for file in first.rglob("*") if file.is_file()}
    for number in range(1, GROUPS * SEEDS):
        group, seed = divmod(number, SEEDS)
        for name, content in files.items():
            copy = runs / f"copy-{number}" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
        run = runs / f"copy-{number}"
        values = (run / "config.py").read_text()
        assert "'lr': 0.01" in values
        values = values.replace("'lr': 0.01", f"'lr': {0.01 * (group + 1)}")
        (run / "config.py").write_text(values.replace("\nseed = 0", f"\nseed = {seed}"))
        environment = json.loads((run / "environment.json").read_text())
        (run / "environment.json").write_text(json.dumps({**environment, "seed": seed}))
