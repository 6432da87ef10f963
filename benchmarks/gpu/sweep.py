"""The grid of the papers, 9 strategies with 5 seeds each, by one command; and one seed of each plain, to compare."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.check import ROOT, Check
from benchmarks.gpu.command import from_shell
from benchmarks.gpu.findings import Findings
from benchmarks.sides.task import GRID
from clearctl import plan_sweep, run_sweep, rundir

GOAL_S = 60.0
ALLOWED = 0.01  # of an accuracy: floats are rounded otherwise in a stack
SMALL = ("naive", "si")  # one that is stacked, and one that is not


def run(check: Check, findings: Findings) -> None:
    """Both sweeps fork their runs from a process that has imported everything."""
    names = SMALL if check.small else tuple(GRID)
    stacked: dict[str, Any] = {}
    with findings.noted("stacked"):
        stacked = _stacked(check, findings, names, check.of(5, 2))
    with findings.noted("plain"):
        for label, matrix in _plain(check, findings, names).items():
            difference = float(np.abs(stacked[label] - matrix).max())
            findings.right(f"{label}: stacked against plain", difference, difference <= ALLOWED, f"at most {ALLOWED}")


def _grid(check: Check) -> dict[str, list[str]]:
    """What all runs have other than their configs."""
    return {
        "scenario.feature_type": ["random"],
        "cl_strategy.train_epochs": [str(check.of(10, 2))],
        "cl_strategy.optimizer.lr": ["0.01"],
    }


def _configs(names: tuple[str, ...]) -> list[Path]:
    return [ROOT / "configs" / "paper" / f"{name}.py" for name in names]


def _stacked(check: Check, findings: Findings, names: tuple[str, ...], seeds: int) -> dict[str, Any]:
    """{label: accuracy matrix of seed 0} by the command, whose time is from the shell to its end."""
    options = [f"--seeds=0-{seeds - 1}", f"--device={check.device}", f"--dataset-root={check.wide}"]
    options += [f"--work-dir={check.runs('stacked')}", "--stack", "--json"]
    options += [f"--set={key}={value}" for key, [value] in _grid(check).items()]
    started = time.perf_counter()
    with from_shell("sweep", *_configs(names), *options) as sweep:
        said, _ = sweep.communicate()
    seconds = time.perf_counter() - started
    findings.equal("stacked: exit code", sweep.returncode, 0)
    runs = json.loads(said)["runs"]
    findings.equal("stacked: runs finished", sum(run["status"] == "finished" for run in runs), len(names) * seeds)
    findings.figure("stacked: seconds of each stack", {run["label"]: run["seconds"] for run in runs})
    findings.at_most(f"{len(runs)} runs stacked: seconds from the shell", round(seconds, 1), GOAL_S)
    return {run["label"]: rundir.read_matrix(Path(run["folder"]))[0] for run in runs if run["seed"] == 0}


def _plain(check: Check, findings: Findings, names: tuple[str, ...]) -> dict[str, Any]:
    """The same runs one after another."""
    folders: dict[str, Path] = {"dataset_root": check.wide, "work_dir": check.runs("plain")}
    plan = plan_sweep(
        _configs(names), seeds=[0], grid=_grid(check), device=check.device, stack=False, jobs=1, **folders
    )
    started = time.perf_counter()
    result = run_sweep(plan)
    findings.figure(f"{len(names)} runs plain: seconds", round(time.perf_counter() - started, 1))
    findings.equal("plain: errors", {run.label: outcome.error for run, outcome in result.failed}, {})
    pairs = list(zip(result.runs, result.outcomes, strict=True))
    findings.figure("plain: seconds of each run", {run.label: round(outcome.seconds, 2) for run, outcome in pairs})
    return {run.label: outcome.matrix for run, outcome in pairs if outcome.matrix is not None}
