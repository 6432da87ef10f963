"""The table of `make gpu-check`, what is made of a part that hangs or fails, and what is read from other programs."""

import importlib
import json
import math
import multiprocessing
import os
import pkgutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import benchmarks.gpu
from benchmarks.gpu import __main__ as main
from benchmarks.gpu import busy, gpu_tests, runner, strategies
from benchmarks.gpu.check import NARROW, Check
from benchmarks.gpu.findings import Findings, read
from benchmarks.gpu.parts import BACKGROUND, PARTS, Part
from benchmarks.gpu.runner import Outcome, Runner
from benchmarks.gpu.summary import show
from clearctl.config.load import load
from clearctl.engine.build.config import open_config


def test_the_table_has_every_module_that_is_a_part() -> None:
    modules = [
        importlib.import_module(f"benchmarks.gpu.{found.name}")
        for found in pkgutil.iter_modules(benchmarks.gpu.__path__)
    ]
    runs = {module.run for module in modules if hasattr(module, "run")}
    assert {part.load() for part in (*PARTS, main.MACHINE)} == runs
    assert all(callable(job.load()) for job in BACKGROUND)


def test_every_part_needs_what_there_is_and_has_a_limit_within_that_of_the_whole() -> None:
    names = [part.name for part in (*PARTS, *BACKGROUND)]
    assert len(set(names)) == len(names)
    jobs = [job.name for job in BACKGROUND]
    assert all(need in jobs for part in (*PARTS, *BACKGROUND) for need in part.needs)
    assert all(runner.LEAST_S < part.limit_s < main.SECONDS < 8 * 60 for part in PARTS)


# Parts that end in their own ways


def makes_data(check: Check, findings: Findings) -> None:
    (check.folder / "data").write_text("there")


def cannot_make_data(check: Check, findings: Findings) -> None:
    with findings.noted("download"):
        raise OSError("no room")


def finds(check: Check, findings: Findings) -> None:
    findings.equal("data", (check.folder / "data").read_text(), "there")
    findings.at_least("speed", 0.5, 0.9)
    findings.figure("path", check.folder)


def is_wrong(check: Check, findings: Findings) -> None:
    findings.equal("sum", math.nan, 2)


def raises(check: Check, findings: Findings) -> None:
    raise RuntimeError("an error of its own")


def hangs(check: Check, findings: Findings) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    findings.figure("child", child.pid)
    child.wait()


PARTS_HERE = [
    Part("finds", 60, f"{__name__}:finds", "", ("data",)),
    Part("hangs", 2, f"{__name__}:hangs", ""),
    Part("wrong", 60, f"{__name__}:is_wrong", ""),
    Part("raises", 60, f"{__name__}:raises", ""),
    Part("lacks", 60, f"{__name__}:finds", "", ("no data",)),
    Part("again", 60, f"{__name__}:finds", "", ("data",)),
]
BACKGROUND_HERE = [
    Part("data", 60, f"{__name__}:makes_data", ""),
    Part("no data", 60, f"{__name__}:cannot_make_data", ""),
    Part("not needed", 60, f"{__name__}:raises", ""),
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setattr(runner, "LEAST_S", 1)
    machine = Outcome("machine", "passed", 0.0, 1.0)
    context = multiprocessing.get_context("fork")
    (tmp_path / "out").mkdir()
    return Runner(context, Check("cpu", False, tmp_path, 1), tmp_path / "out", 300.0, machine, lambda text: None)


def test_a_part_that_hangs_or_fails_stops_no_other_and_keeps_what_it_found(
    run: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = run.run(PARTS_HERE, BACKGROUND_HERE)
    states = {outcome.name: (outcome.state, outcome.why) for outcome in outcomes}
    log = tmp_path / "out" / "log.txt"
    assert states == {
        "machine": ("passed", ""),
        "finds": ("passed", ""),
        "hangs": ("cut", "it was still running after 2 s"),
        "wrong": ("failed", "sum"),
        "raises": ("failed", f"it ended with exit code 1: see {log}"),
        "lacks": ("failed", f"no data failed: download, see {log}"),
        "again": ("passed", ""),
    }
    assert "not needed" not in run.jobs
    assert "an error of its own" in log.read_text()
    assert "OSError: no room" in log.read_text()

    found = json.loads((tmp_path / "out" / "gpu-check.json").read_text())
    assert found["passed"] is False
    assert list(found["parts"]) == list(states)
    verdicts = [each["verdict"] for each in found["parts"]["finds"]["findings"]]
    assert verdicts == ["right", "missed", ""]
    assert found["parts"]["wrong"]["findings"][0]["value"] == "nan"
    [child] = found["parts"]["hangs"]["findings"]
    assert has_ended(child["value"])

    show([Outcome("machine", "passed", 0, 1, read(machine_file(tmp_path))), *outcomes[1:]], small=True)
    table = capsys.readouterr().out
    assert all(word in table for word in ("a device", "cut", "missed", "WRONG", "still running"))


def has_ended(pid: int) -> bool:
    """Whether a process has ended; it may take a moment until it has been reaped."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def machine_file(folder: Path) -> Path:
    findings = Findings("machine", folder / "machine.json")
    for name in ("device", "torch", "python"):
        findings.figure(name, f"a {name}")
    return findings.file


def test_without_time_a_part_is_not_begun_and_the_check_has_not_passed(run: Runner) -> None:
    run.seconds = 0.5
    [_, outcome] = run.run(PARTS_HERE[2:3], [])
    assert (outcome.state, outcome.passed, outcome.findings) == ("no time", False, [])


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_noticed_first(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    found = {
        device: main._machine(context, Check(device, True, tmp_path / device, 1), tmp_path / "log.txt")
        for device in ("cpu", "cuda")
    }
    assert found["cpu"].passed
    assert {finding.name for finding in found["cpu"].findings} >= {"the device", "torch", "torchvision", "processor"}
    assert found["cuda"].state == "failed"
    assert "NVIDIA" in found["cuda"].why or "CUDA" in found["cuda"].why


# What is asked for


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demos"], "no part demos: there are env, sweep, "),
        (["--device", "cpu"], "--device cpu: expected --small with it"),
    ],
)
def test_what_there_is_not_is_refused(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", *arguments])
    with pytest.raises(SystemExit) as ended:
        main._arguments()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_speed_that_could_not_be_measured_is_neither_met_nor_missed(tmp_path: Path) -> None:
    findings = Findings("demo", tmp_path / "demo.json")
    findings.at_least("busy", None, 90)
    findings.at_most("seconds", 60.0, 60)
    assert [(found.verdict, found.fails) for found in findings.found] == [("not measured", False), ("met", False)]
    assert read(findings.file) == findings.found


def test_every_strategy_has_a_config_that_is_small(tmp_path: Path) -> None:
    """Whoever adds a base config with an argument that counts samples adds it to SIZES."""
    check = Check("cpu", False, tmp_path, 1)
    names = strategies.names(check)
    assert len(names) > 20
    assert set(strategies.names(Check("cpu", True, tmp_path, 1))) == set(strategies.SMALL)
    for name in names:
        config = strategies.write_config(check, name)
        values = open_config(config).values["cl_strategy"]
        large = {key: value for key, value in numbers(values) if value > NARROW[1] and key != "lamb"}
        assert large == {}, (name, large)
        assert load(config).values["scenario"]["dataset_root"] == str(check.narrow)


def numbers(section: dict[str, object]) -> list[tuple[str, float]]:
    found = []
    for key, value in section.items():
        if isinstance(value, dict):
            found += numbers(value)
        elif isinstance(value, int | float):
            found.append((key, value))
    return found


# What other programs say


def test_the_means_of_nvidia_smi_leave_out_what_it_does_not_know() -> None:
    lines = ["80, 1000, 300.5\n", "100, 2000, [N/A]\n", "half a li"]
    assert busy.means(lines) == {"samples": 2, "percent": 90.0, "memory_mb": 1500.0, "watt": 300.5}
    assert busy.means([]) == {"samples": 0, "percent": None, "memory_mb": None, "watt": None}


def test_the_tests_that_did_not_pass_are_named(tmp_path: Path) -> None:
    report = tmp_path / "tests.xml"
    report.write_text(
        '<testsuites><testsuite errors="0" failures="1" skipped="1" tests="3">'
        '<testcase classname="a" name="passes"/>'
        '<testcase classname="a" name="fails"><failure message="1 != 2"/></testcase>'
        '<testcase classname="a" name="skips"><skipped message="needs a CUDA device"/></testcase>'
        "</testsuite></testsuites>"
    )
    counts, why = gpu_tests.read(report)
    assert counts == {"tests": 3, "errors": 0, "failures": 1, "skipped": 1}
    assert why == {"a::fails": "failure: 1 != 2", "a::skips": "skipped: needs a CUDA device"}
