"""Stopping a run from a terminal and resuming it: what is printed, with which exit code, and what comes of it."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
import torch
from halting import Halt, lines_until
from typer.testing import CliRunner, Result
from warm import deliver_sigint

from clearctl import rundir
from clearctl.cli import app
from clearctl.layout import read_filelist

EPOCHS = ["--set", "cl_strategy.train_epochs=40"]
STOPPING = "stopping after this step; a second signal stops immediately"


def clearctl(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def started(*arguments: object, **environ: str) -> subprocess.Popen[str]:
    """A user's own process, with its stderr to read; SIGINT is not ignored, even where tests run in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "clearctl", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), **environ},
        preexec_fn=deliver_sigint,
    )


def under_way(folder: Path, lines: int, *, until_signal: bool = True) -> Halt:
    """A run waits with so many lines of metrics, 43 a bucket, for a signal."""
    return Halt(folder / "halt", "*/metrics.jsonl", lines + 1, until_signal=until_signal)


def stderr(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stderr is not None
    return process.stderr


def only_run(runs: Path) -> Path:
    [run] = runs.iterdir()
    return run


def tables(printed: str) -> list[str]:
    """All but the last line, which names the run."""
    *lines, last = printed.splitlines()
    assert last.startswith("next: clearctl report ")
    return lines


def weights(run: Path) -> list[dict[str, torch.Tensor]]:
    return [torch.load(file, weights_only=True) for file in rundir.checkpoints(run).values()]


def require_same_numbers(run: Path, other: Path) -> None:
    for name in ("eval.json", "accuracy_matrix.csv"):
        assert (run / name).read_text() == (other / name).read_text()
    pairs = list(zip(weights(run), weights(other), strict=True))
    assert len(pairs) == 3
    for one, another in pairs:
        assert list(one) == list(another)
        assert all(torch.equal(one[name], another[name]) for name in one)


@pytest.fixture(scope="module")
def options(prepared: Path) -> list[object]:
    return ["--dataset-root", prepared, "--device", "cpu", *EPOCHS]


@pytest.fixture(scope="module")
def straight(features_config: Path, options: list[object], tmp_path_factory: pytest.TempPathFactory):
    """The folder of a run that never stopped, and what was printed."""
    runs = tmp_path_factory.mktemp("straight")
    result = clearctl("train", features_config, "--work-dir", runs, *options)
    assert result.exit_code == 0, result.stderr
    return only_run(runs), result


@pytest.fixture
def stopped(features_config: Path, options: list[object], tmp_path: Path) -> Iterator[Path]:
    """A run like it that SIGTERM stopped."""
    with under_way(tmp_path, 30) as halt:
        process = started("train", features_config, "--work-dir", tmp_path / "runs", *options, **halt.environ)
        halt.reached(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
    return only_run(tmp_path / "runs")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signals", "code"), [([signal.SIGINT], 130), ([signal.SIGTERM], 143), ([signal.SIGINT] * 2, 130)]
)
def test_a_signal_ends_a_run_and_what_it_prints_continues_with_it(
    signals: list[int], code: int, straight, features_config: Path, options: list[object], tmp_path: Path
) -> None:
    run, printed = straight
    reported: list[str] = []
    with under_way(tmp_path, 60, until_signal=len(signals) == 1) as halt:
        process = started("train", features_config, "--work-dir", tmp_path / "r u n s", *options, **halt.environ)
        halt.reached(process)
        for number in signals:
            process.send_signal(number)
            if not reported:  # a second signal that comes before that is none
                reported += lines_until(stderr(process), STOPPING)
        reported += stderr(process).read().splitlines()
        assert process.wait() == code, reported
    stopped = only_run(tmp_path / "r u n s")
    assert reported[-2] == ("stopped, its state is saved" if len(signals) == 1 else "stopped immediately")
    assert reported[-1] == f"resume with `clearctl resume {shlex.quote(str(stopped))}`"
    assert not any("Traceback" in line for line in reported)

    command = shlex.split(reported[-1].partition("`")[2].rstrip("`"))
    result = clearctl(*command[1:])
    assert result.exit_code == 0, result.stderr
    assert f"resuming {stopped} " in result.stderr
    assert tables(result.stdout) == tables(printed.stdout)
    require_same_numbers(stopped, run)


def test_a_finished_run_says_so_and_prints_the_same(straight) -> None:
    run, printed = straight
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*") if file.is_file()}
    again = clearctl("resume", run)
    assert again.exit_code == 0
    assert again.stdout == printed.stdout
    assert again.stderr == f"{run} is already finished: nothing to resume\neverything is in {run}\n"
    answer = json.loads(clearctl("resume", run, "--json").stdout)
    assert answer["run"] == str(run)
    assert answer["accuracy_matrix"] == rundir.read_matrix(run)[0].tolist()
    assert {file: file.stat().st_mtime_ns for file in run.rglob("*") if file.is_file()} == before


@pytest.mark.slow
def test_what_resume_refuses(stopped: Path, straight, features_config: Path) -> None:
    assert clearctl("resume", features_config.parent).exit_code == 5
    wrong = clearctl("resume", stopped, "--device", "gpu")
    assert wrong.exit_code == 2
    assert "expected auto, cpu, cuda or cuda:N" in wrong.stderr
    file = stopped / "config.py"
    file.write_text(file.read_text().replace("'lr': 0.1", "'lr': 0.2"))
    changed = clearctl("resume", stopped)
    assert changed.exit_code == 5
    assert changed.stderr.splitlines()[1:] == [
        "config: cl_strategy.optimizer.lr was 0.1, is now 0.2",
        "undo that, or resume anyway with --accept-changes",
    ]
    accepted = clearctl("resume", stopped, "--accept-changes", "--json")
    assert accepted.exit_code == 0, accepted.stderr
    assert "warning: accepted: config: cl_strategy.optimizer.lr was 0.1, is now 0.2" in accepted.stderr
    assert json.loads(accepted.stdout)["run"] == str(stopped)
    with pytest.raises(AssertionError):
        require_same_numbers(stopped, straight[0])


@pytest.mark.slow
def test_a_run_that_is_under_way_is_refused(features_config: Path, options: list[object], tmp_path: Path) -> None:
    with under_way(tmp_path, 1) as halt:
        process = started("train", features_config, "--work-dir", tmp_path / "runs", *options, **halt.environ)
        halt.reached(process)
        refused = clearctl("resume", only_run(tmp_path / "runs"))
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    assert refused.exit_code == 5
    assert f"is being changed by process {process.pid}" in refused.stderr


@pytest.mark.slow
def test_ctrl_c_that_ends_the_reader_of_the_messages_too(
    straight, features_config: Path, options: list[object], tmp_path: Path
) -> None:
    """`clearctl train ... 2>&1 | tee log`: Ctrl-C reaches `tee` as well, and nobody reads what is said then."""
    with under_way(tmp_path, 20) as halt:
        process = started("train", features_config, "--work-dir", tmp_path / "runs", *options, **halt.environ)
        halt.reached(process)
        stderr(process).close()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    run = only_run(tmp_path / "runs")
    assert any((run / "state").glob("*.state"))
    assert clearctl("resume", run).exit_code == 0
    require_same_numbers(run, straight[0])


@pytest.mark.slow
def test_ctrl_c_again_and_again(features_config: Path, options: list[object], tmp_path: Path) -> None:
    """The libraries take a while to end after the last message."""
    with under_way(tmp_path, 20) as halt:
        process = started("train", features_config, "--work-dir", tmp_path / "runs", *options, **halt.environ)
        halt.reached(process)
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        reported = stderr(process).read().splitlines()
    assert process.returncode == 130
    assert reported[-1].startswith("resume with `clearctl resume "), reported


@pytest.mark.slow
def test_a_broken_image_is_fixed_and_the_run_continues(clear_folder, tiny_config: Path, tmp_path: Path) -> None:
    root = clear_folder(size_px=16)
    assert clearctl("prepare-avalanche", "--dataset-root", root, "--seeds", "0").exit_code == 0
    options = ["--dataset-root", root, "--device", "cpu", "--set", "data.cache=off"]
    assert clearctl("train", tiny_config, "--work-dir", tmp_path / "straight", *options).exit_code == 0
    image = root / read_filelist(root / "training_folder/testset_ratio_0.3/split_0/1/train.txt")[2][0]
    whole = image.read_bytes()
    image.write_bytes(whole[:100])
    broken = clearctl("train", tiny_config, "--work-dir", tmp_path / "runs", *options)
    assert broken.exit_code == 4
    run = only_run(tmp_path / "runs")
    assert broken.stderr.splitlines()[-1] == f"fix that, then resume with `clearctl resume {run}`"
    assert clearctl("resume", run).exit_code == 4  # not fixed yet
    image.write_bytes(whole)
    result = clearctl("resume", run)
    assert result.exit_code == 0, result.stderr
    require_same_numbers(run, only_run(tmp_path / "straight"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["features", "images"])
def test_the_config_of_a_run_and_its_seed_give_the_same_numbers(
    kind: str, features_config: Path, tiny_config: Path, prepared: Path, tmp_path: Path
) -> None:
    """Across processes; images with random flips in two worker processes."""
    config, more = (features_config, []) if kind == "features" else (tiny_config, ["--set", "data.workers=2"])
    options = ["--dataset-root", prepared, "--device", "cpu", "--seed", "5", *more]
    first = started("train", config, "--work-dir", tmp_path / "first", *options)
    assert first.wait() == 0
    run = only_run(tmp_path / "first")
    for seed, name in ((5, "again"), (6, "other")):
        arguments = ["--work-dir", tmp_path / name, "--seed", seed, "--device", "cpu"]
        assert clearctl("train", run / "config.py", *arguments).exit_code == 0
    require_same_numbers(only_run(tmp_path / "again"), run)
    with pytest.raises(AssertionError):
        require_same_numbers(only_run(tmp_path / "other"), run)


def test_deterministic_is_in_the_config_of_the_run(features_config: Path, prepared: Path, tmp_path: Path) -> None:
    options = ["--dataset-root", prepared, "--device", "cpu"]
    result = clearctl("train", features_config, "--work-dir", tmp_path, *options, "--deterministic")
    assert result.exit_code == 0, result.stderr
    assert "deterministic=True: no measurable slowdown on a CPU" in result.stderr
    run = only_run(tmp_path)
    assert "deterministic = True" in (run / "config.py").read_text()
    assert "deterministic=True:" in clearctl("eval", run, "--device", "cpu").stderr
    assert "deterministic=True:" in clearctl("train", features_config, *options, "--deterministic", "--dry-run").stderr
