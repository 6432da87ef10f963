"""The time from the shell to the first useful thing: the help, and the first step of a feature run."""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.alone import alone
from benchmarks.folders import feature_folder
from benchmarks.row import Row
from benchmarks.settings import Settings
from benchmarks.sides.ours import write_config

PACKAGES = ("torch", "torchvision", "avalanche", "mmcls", "mmcv", "wandb")
POLL_S = 0.005


def start_up(settings: Settings) -> list[Row]:
    """`clearctl --help`; `clearctl train` to its first step, and where its imports' time goes."""
    rounds = 1 if settings.quick else 3
    buckets = 3 if settings.quick else 10
    folder = alone(feature_folder, settings.folder / f"features-{buckets}", buckets)
    config = write_config(folder, "Naive", 1)
    command = [sys.executable, "-m", "clearctl", "train", "--device", settings.device, str(config)]
    helps, pythons, steps, plains = [], [], [], []
    for _ in range(rounds):
        pythons.append(_seconds([sys.executable, "-c", "pass"]))
        helps.append(_seconds([sys.executable, "-m", "clearctl", "--help"]))
        steps.append(_to_first_step(command, folder.parent / "runs"))
        if not settings.quick:
            plains.append(_plain_to_first_step(folder, settings.device))
    what = f"clearctl train, from the shell to the first step on {buckets} buckets"
    least = ("python -c pass", pythons)
    rows = [
        Row("start-up", "clearctl --help", helps, *least, floor=40.0),
        Row("start-up", what, steps, *(("Avalanche", plains) if plains else least), "itself", goal=2.5, floor=30.0),
    ]
    if not settings.quick:
        imports = _imports([sys.executable, "-X", "importtime", *command[1:]])
        whole = [sum(imports.values())]
        rows += [
            Row("start-up", f"… of which import {name} (its own modules)", [seconds], "all imports", whole)
            for name, seconds in imports.items()
        ]
    return rows


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _to_first_step(command: list[str], runs: Path) -> float:
    """The time until the first epoch began: its line appears in metrics.jsonl when it ends, and says how long it was.

    So the run is as it is without being watched. It is ended there.
    """
    before = set(runs.glob("*/metrics.jsonl"))
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        run = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            ended = False
            while not ended:
                ended = run.poll() is not None
                for file in set(runs.glob("*/metrics.jsonl")) - before:
                    line, end, _ = file.read_text().partition("\n")
                    if end:
                        return time.perf_counter() - started - json.loads(line)["seconds"]
                time.sleep(POLL_S)
            said.seek(0)
            raise RuntimeError(f"clearctl train ended before its first epoch: {said.read()}")
        finally:
            run.terminate()
            run.wait()


def _plain_to_first_step(folder: Path, device: str) -> float:
    """The same of a script with plain Avalanche: it prints how long the first epoch was as soon as that is over."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.sides.plain", str(folder), device]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        epoch = float(run.stdout.readline())
        return time.perf_counter() - started - epoch


def _imports(command: list[str]) -> dict[str, float]:
    """Seconds in the modules of each package themselves, so that nothing counts twice, whoever imported it first.

    Measuring makes each import a little slower.
    """
    run = subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    seconds: Counter[str] = Counter()
    for own_us, module in re.findall(r"^import time: +(\d+) \| +\d+ \| +(\S+)$", run.stderr, re.MULTILINE):
        package = module.partition(".")[0]
        seconds[package if package in PACKAGES else "clearctl" if package == "clearctl" else "the rest"] += int(own_us)
    return {name: seconds[name] / 1e6 for name in (*PACKAGES, "clearctl", "the rest")}
