"""Killed in the middle and resumed, deterministic: the same bits as a run that never stopped."""

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from benchmarks.gpu.check import DEMO, Check
from benchmarks.gpu.command import forked
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.training import image_overrides, transforms
from benchmarks.sides.ours import write_config

POLL_S = 0.02


@dataclass(frozen=True)
class Case:
    """A run that is to be killed once it has done `epochs_before` epochs."""

    name: str
    config: Path
    overrides: Sequence[str]
    epochs_before: int


def cases(check: Check) -> list[Case]:
    """Dropout draws from the GPU's generator, Replay and the transforms from the CPU's."""
    head = "model.head"
    features = [f"{head}.type=StackedLinearClsHead", f"{head}.mid_channels=[256]", f"{head}.dropout_rate=0.3"]
    images = [
        *image_overrides(check, check.of(6, 3), 32),
        *([] if check.small else ["model.backbone.depth=18", "model.head.in_channels=512", *transforms(72, 64)]),
        "scenario.buckets=['1', '2']",
        "cl_strategy.type=Replay",
        "cl_strategy.mem_size=30",
        "data.workers=0",
    ]
    return [
        Case("features", write_config(check.wide, "Replay", check.of(60, 20)), features, 4),
        Case("images", DEMO, images, 3),
    ]


def run(check: Check, findings: Findings) -> None:
    """All cases beside one another."""
    work = check.runs("resume")
    runs = {(case.name, kind): _train(check, case, work, kind) for case in cases(check) for kind in ("whole", "killed")}
    for case in cases(check):
        with findings.noted(case.name):
            _kill(runs[case.name, "killed"], work / case.name / "killed", case.epochs_before)
            run = _run(work / case.name / "killed")
            findings.figure(f"{case.name}: killed after epochs", _epochs(run))
            unfinished = (run / "state").is_dir()
            findings.right(f"{case.name}: killed before its end", unfinished, unfinished, "a state")
            runs[case.name, "resumed"] = forked("resume", run)
    for process in runs.values():  # before this one computes anything: it is what the others are forked from
        process.join()
    for case in cases(check):
        with findings.noted(case.name):
            codes = [runs[case.name, kind].exitcode for kind in ("whole", "killed", "resumed")]
            findings.equal(f"{case.name}: exit codes, whole, killed, resumed", codes, [0, -signal.SIGKILL, 0])
            _compare(findings, case.name, _run(work / case.name / "whole"), _run(work / case.name / "killed"))


def _train(check: Check, case: Case, work: Path, kind: str) -> BaseProcess:
    sets = [option for override in case.overrides for option in ("--set", override)]
    options = ("--device", check.device, "--deterministic", "--seed", 1, "--work-dir", work / case.name / kind)
    return forked("train", case.config, *options, *sets)


def _run(work_dir: Path) -> Path:
    [run] = work_dir.iterdir()
    return run


def _epochs(run: Path) -> int:
    file = run / "metrics.jsonl"
    return file.read_text().count('"event": "epoch"') if file.exists() else 0


def _kill(process: BaseProcess, work_dir: Path, epochs: int) -> None:
    """Wait for this number of epochs and kill the run; the part's limit ends this."""
    while process.is_alive():
        if work_dir.exists() and sum(map(_epochs, work_dir.iterdir())) >= epochs:
            break
        time.sleep(POLL_S)
    process.kill()


def _compare(findings: Findings, name: str, whole: Path, resumed: Path) -> None:
    files = sorted(file.name for file in (whole / "checkpoints").glob("*.pth"))
    others = [file for file in files if not _same_bits(*(run / "checkpoints" / file for run in (resumed, whole)))]
    findings.right(
        f"{name}: weights", f"{len(files)} files, others: {others}", bool(files) and not others, "the same bits"
    )
    matrices = [(run / "accuracy_matrix.csv").read_text() for run in (whole, resumed)]
    same = matrices[0] == matrices[1]
    findings.right(f"{name}: accuracy matrix", same, same, "the same")


def _same_bits(*files: Path) -> bool:
    """Not so for weights that have diverged, since NaN is not equal to itself."""
    ours, theirs = (torch.load(file, map_location="cpu") for file in files)
    return list(ours) == list(theirs) and all(torch.equal(ours[key], theirs[key]) for key in theirs)
