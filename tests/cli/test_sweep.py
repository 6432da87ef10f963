"""`clearctl sweep` as a user meets it: what is printed, with which exit code, and what is left when it ends early."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from halting import PATIENCE_S, Halt, lines_until, until
from runs import require_same
from typer.testing import CliRunner, Result
from warm import deliver_sigint, run_on_terminal

from clearctl import layout, rundir, train
from clearctl.cli import app
from clearctl.cli.console import Output
from clearctl.cli.sweep_rows import Row, time_left
from clearctl.cli.sweep_table import SweepDisplay, as_ranges, shortened
from clearctl.progress import BucketDone, Counted, EpochDone, Message, TrainStep
from clearctl.sweep.outcome import RunEnded, RunOutcome, RunProgress, RunStarted
from clearctl.sweep.plan import PlannedRun, make_plan

LR = "cl_strategy.optimizer.lr"
LONG = "cl_strategy.train_epochs=40"
STOPPING = "stopping after this step; a second signal stops immediately"
STACKED = "4 stacked as 2 models: equal except for the last digits (--no-stack: bit-identical)"


def clearctl(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "code", "reported"),
    [
        ([], 2, "missing argument 'CONFIG'"),
        (["{}", "--seeds", "x"], 2, "--seeds x: expected numbers such as 0-4"),
        (["{}", "--set", "cl_strategy.optimizer.lr"], 2, "expected KEY=VALUE,VALUE"),
        (["{}", "--jobs", "0"], 2, "--jobs"),
        (["{}", "--engine", "foo"], 2, "--engine foo: expected local, ray or optuna"),
        (["{}", "--jobs", "2", "--engine", "ray"], 2, "--jobs is not for --engine ray: see --cpus-per-run"),
        (["{}", "--engine", "ray", "--device", "cpu"], 2, "--device is not for --engine ray: see --gpus-per-run"),
        (["{}", "--address", "127.0.0.1:9"], 2, "--address is not for --engine local"),
        (["{}", "--seeds", "0,1,0"], 2, "features with seed 0 is in the sweep twice"),
        (["nowhere.py"], 3, "nowhere.py: no such config file"),
        (["{}", "--set", "cl_strategy.optimizer.type=SDG,SGD"], 3, "no optimizer is called 'SDG'"),
        (["{}", "--seeds", "0-1", "--dataset-root", "nowhere"], 4, "no dataset folder at"),
        (["{}", "--device", "cuda:99"], 6, "--device cuda:99"),
    ],
)
def test_wrong_arguments(
    arguments: list[str],
    code: int,
    reported: str,
    features_config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = clearctl("sweep", *(argument.format(features_config) for argument in arguments))
    assert result.exit_code == code, result.stderr
    assert result.stderr.count(reported) == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_the_faults_of_two_configs_at_once(features_config: Path, tmp_path: Path) -> None:
    files = [tmp_path / "one.py", tmp_path / "two.py"]
    text = features_config.read_text()
    files[0].write_text(text.replace("SGD", "SDG"))
    files[1].write_text(text.replace("train_epochs", "train_epoch"))
    result = clearctl("sweep", *files, "--seeds", "0-4")
    assert result.exit_code == 3
    lines = result.stderr.splitlines()
    assert len(lines) == 2, lines
    assert str(files[0]) in lines[0]
    assert str(files[1]) in lines[1]


def test_a_dry_run_shows_all_and_leaves_nothing(features_config: Path, prepared: Path, tmp_path: Path) -> None:
    arguments = [features_config, "--seeds", "0-1", "--set", f"{LR}=0.1,0.5", "--dataset-root", prepared]
    arguments += ["--work-dir", tmp_path / "runs", "--device", "cpu", "--jobs", "2", "--dry-run"]
    result = clearctl("sweep", *arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.splitlines() == [
        "4 runs: 4 new",
        "2 at a time on cpu, 1 thread each",
        STACKED,
        f"run folders in 2 folders of {tmp_path / 'runs'}",
    ]
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["run", "seeds", "state"]
    assert rows[1:3] == [[f"features,lr={lr}", "0-1", "new"] for lr in (0.1, 0.5)]
    last, following = result.stdout.splitlines()[-2:]
    assert re.fullmatch(r"estimate  .* s at most \(stacks take less\), plus what strategies do between buckets", last)
    assert following.startswith(f"next: clearctl sweep {features_config} --seeds 0-1 --set ")
    assert "--dry-run" not in following
    alone = clearctl("sweep", *arguments, "--no-stack").stdout.splitlines()[-2]
    assert re.fullmatch(r"estimate  .* s, plus what strategies do between buckets", alone)
    answer = json.loads(clearctl("sweep", *arguments, "--json").stdout)
    assert answer["engine"] == "local"
    assert (answer["jobs"], answer["threads"], answer["device"]) == (2, 1, "cpu")
    assert answer["seconds"] > 0
    assert answer["runs"][3] == {
        "label": "features,lr=0.5",
        "seed": 1,
        "state": "new",
        "folder": str(tmp_path / "runs/features,lr=0.5"),
    }
    assert list(tmp_path.iterdir()) == []


def test_off_a_terminal_it_says_what_begins_and_ends(features_config: Path, prepared: Path, tmp_path: Path) -> None:
    """Two of four have a split that is not as it should be; the others are there when they are asked for again."""
    root = tmp_path / "data set"
    shutil.copytree(prepared, root)
    file = layout.ratio_split_folder(root, 0.3, 1) / "2" / "train_indices.json"
    file.write_text("{}")
    work_dir = tmp_path / "my runs"
    arguments = [features_config, "--seeds", "0-1", "--dataset-root", root, "--work-dir", work_dir, "--device", "cpu"]
    weights = tmp_path / "weights.pth"
    torch.save({"head.fc.weight": torch.zeros(3, 5)}, weights)
    batches = ["--set", "cl_strategy.train_mb_size=8,16", "--set", f"load_from={weights}"]
    result = clearctl("sweep", *arguments, *batches, "--jobs", "2", "--json")
    assert result.exit_code == 4, result.stderr
    answer = json.loads(result.stdout)
    assert [(run["label"], run["seed"], run["status"]) for run in answer["runs"]] == [
        (f"features,train_mb_size={size}", seed, status)
        for size in (8, 16)
        for seed, status in ((0, "finished"), (1, "failed"))
    ]
    for run in answer["runs"]:
        if run["status"] == "finished":
            assert Path(run["folder"]).parent == work_dir / run["label"]
            assert run["clear_metrics"] == rundir.read_eval(Path(run["folder"]))["clear_metrics"]
            assert run["error"] is None
            assert run["seconds"] > 0
        else:
            assert str(file) in run["error"]
            assert run["clear_metrics"] is None
    lines = result.stderr.splitlines()
    assert lines[:4] == [
        "4 runs: 4 new",
        "2 at a time on cpu, 1 thread each",
        STACKED,
        f"run folders in 2 folders of {work_dir}",
    ]
    for run in answer["runs"]:
        name = f"{run['label']} seed {run['seed']}"
        assert f"{name}: started" in lines
        ended = [line for line in lines if line.startswith(f"{name}: {run['status']} after ")]
        assert len(ended) == 1, lines
        if run["status"] == "finished":
            assert ended[0].endswith(f": accuracy {100 * run['clear_metrics']['accuracy']:.1f} %")
    warnings = [line for line in lines if line.startswith("warning: ")]
    assert len(warnings) == 1, lines  # of all four runs
    assert "load_from has no matching head.fc.bias: these keep their initial weights" in warnings[0]
    at = lines.index("error: 2 runs failed")
    reported = f"features,train_mb_size=8 seed 1 and features,train_mb_size=16 seed 1: {file}: expected a list"
    assert lines[at + 1].startswith(reported)
    assert lines[-1] == "the same command runs only these again"
    assert sum(line.startswith("features,train_mb_size=8 seed 1 and") for line in lines) == 1

    arguments[2] = "0"
    again = clearctl("--quiet", "sweep", *arguments, *batches, "--json")
    assert (again.exit_code, again.stderr) == (0, "")
    second = json.loads(again.stdout)["runs"]
    assert second == [{**run, "seconds": None} for run in answer["runs"] if run["seed"] == 0]


# Ended early


class Sweep:
    """A user's own process, that sweeps long enough to be stopped in the middle."""

    def __init__(self, config: Path, prepared: Path, work_dir: Path) -> None:
        self.work_dir = work_dir
        self.arguments = ["sweep", config, "--seeds", "0-1", "--set", f"{LR}=0.1,0.5", "--set", LONG]
        self.arguments += ["--dataset-root", prepared, "--work-dir", work_dir, "--device", "cpu", "--jobs", "2"]
        self.arguments += ["--no-stack"]

    def halt(self, *, until_signal: bool) -> Halt:
        """Each run waits when it has learned for a while."""
        folder = self.work_dir.with_name("halt")
        return Halt(folder, f"{self.work_dir}/*/metrics.jsonl", 16, until_signal=until_signal)

    def start(self, halt: Halt) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "clearctl", *map(str, self.arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **halt.environ},
            preexec_fn=deliver_sigint,
        )

    def runs(self) -> list[Path]:
        return sorted(path for path in self.work_dir.glob("*/*-seed*") if rundir.is_run(path))

    def workers(self) -> list[int]:
        """The processes that hold a run."""
        return [int(text) for run in self.runs() for text in [held_by(run)] if text]


def held_by(run: Path) -> str:
    try:
        return rundir.lock_file(run).read_text().strip()
    except OSError:
        return ""


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid: int) -> list[int]:
    """All processes below `pid`."""
    own = [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*own, *(below for child in own for below in children(child))]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="it finds processes as only Linux tells them")
def test_a_sweep_that_is_ended_in_every_way_continues(
    features_config: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with the bits of runs that nobody stopped. The last time it is on a terminal, with its live table."""
    sweep = Sweep(features_config, prepared, tmp_path / "swept")
    end(sweep, [signal.SIGINT], 130)
    end(sweep, [signal.SIGTERM], 143)
    end(sweep, [signal.SIGTERM], 143, all_processes=True)  # as a scheduler does
    end(sweep, [signal.SIGINT, signal.SIGINT], 130)
    end(sweep, [signal.SIGKILL], -9)
    text = on_a_terminal(sweep, monkeypatch)
    for part in ("to resume", *DRAWN, "4 of 4 runs finished"):
        assert part in text
    assert ": started" not in text
    assert len(sweep.runs()) == 4  # no run was begun twice
    for run in sweep.runs():
        values = rundir.read_config(run)
        alone = train(
            features_config,
            device="cpu",
            seed=values["seed"],
            overrides=[f"scenario.seed={values['seed']}", f"{LR}={values['cl_strategy']['optimizer']['lr']}", LONG],
            dataset_root=prepared,
            work_dir=tmp_path / "alone",
        )
        require_same(run, alone.run)


def end(sweep: Sweep, signals: Sequence[int], code: int, all_processes: bool = False) -> None:
    """Start a sweep, send it `signals` when two runs are under way, and look at what it leaves."""
    with sweep.halt(until_signal=len(signals) == 1 and not all_processes) as halt:
        process = sweep.start(halt)
        assert process.stderr is not None
        waiting = halt.reached(process, processes=2)
        below = children(process.pid)
        assert len(below) >= 3  # the process that runs are forked from, and two of those
        assert set(waiting) == {pid for pid in sweep.workers() if is_there(pid)} <= set(below)
        reported: list[str] = []
        if all_processes:
            for pid in below:
                os.kill(pid, signals[0])
            until(lambda: halt.signalled() == waiting)  # else the signals that are passed on would be the same to them
        for number in signals:
            process.send_signal(number)
            if not reported and number != signal.SIGKILL:  # a second signal that comes before that is none
                reported += lines_until(process.stderr, STOPPING)
        if all_processes:
            halt.release()
        reported += process.stderr.read().splitlines()
        assert process.wait() == code, reported
        if code == -signal.SIGKILL:
            until(lambda: not any(map(is_there, below)))
    assert [pid for pid in below if is_there(pid)] == []
    done = sum(rundir.is_finished(run) for run in sweep.runs())
    assert done < 4
    if code != -signal.SIGKILL:
        assert reported[-2:] == [f"stopped: {done} of 4 runs are finished", "run the same command to continue"]
        assert not any("Traceback" in line or "could not be saved" in line for line in reported)
    assert len(sweep.runs()) == 2  # no other began
    for run in sweep.runs():
        assert rundir.is_finished(run) or any((run / "state").glob("*.state"))


DRAWN = ("accuracy", "training", "left", " running")


def on_a_terminal(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> str:
    """All that is drawn; two runs wait until the table has been, while they are under way."""
    drawn = b""
    give_up = time.monotonic() + PATIENCE_S

    def read(more: bytes) -> None:
        nonlocal drawn
        drawn += more
        if time.monotonic() > give_up or all(part.encode() in drawn for part in DRAWN):
            halt.release()

    with sweep.halt(until_signal=False) as halt:
        for name, value in halt.environ.items():
            monkeypatch.setenv(name, value)
        code, text = run_on_terminal(sweep.arguments, read)
    assert code == 0, text
    assert "\x1b[1A" in text  # the cursor goes up, and the table is drawn again
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


# The table itself


@pytest.fixture
def planned(features_config: Path, tmp_path: Path) -> list[PlannedRun]:
    return make_plan([features_config], seeds=range(20), grid={LR: ["0.1", "0.2"]}, work_dir=tmp_path)


def step(bucket: int, epoch: int, step: int = 4) -> TrainStep:
    return TrainStep(str(bucket), bucket, 2, epoch, 5, step, 4, 32, 0.1, 0.5, 0.5)


def test_a_row_follows_its_run(planned: list[PlannedRun], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    row = Row(planned[0])
    assert (row.name, row.status, row.spent_s(), row.left_s()) == ("features,lr=0.1 seed 0", "waiting", None, None)
    row.update(RunStarted(0))
    assert (row.status, row.doing) == ("running", "starting")
    row.update(RunProgress(0, Counted("decode the images", 3, 12, "images")))
    assert row.doing == "decode the images 25%"
    now[0] = 1010.0
    row.update(RunProgress(0, step(1, 1, 2)))  # 2 of 40 steps
    assert (row.doing, row.bucket, row.epoch, row.left_s()) == ("training", "1/2", "1/5", None)
    now[0] = 1014.0
    row.update(RunProgress(0, EpochDone("1", 1, 2, 1, 5, 32, 0.1, 0.5, 0.5)))  # 4 of 40 in 4 s for 2
    assert row.spent_s() == pytest.approx(14)
    assert row.left_s() == pytest.approx(72)
    row.update(RunProgress(0, Counted("testing every bucket", 3, 12, "samples")))
    assert row.doing == "testing"
    row.update(RunProgress(0, BucketDone("1", 1, 2, (0.8, 0.1), 3.0)))
    assert row.headline == pytest.approx(0.8)
    row.update(RunProgress(0, BucketDone("2", 2, 2, (0.6, 0.4), 3.0)))
    assert row.headline == pytest.approx(0.6)  # CLEAR's: the diagonal and below
    row.update(RunEnded(0, RunOutcome("finished", numbers={"accuracy": 0.6}, seconds=50.0)))
    assert (row.status, row.left_s(), row.expected_s()) == ("finished", None, 50.0)


def test_the_time_left_counts_those_that_wait(planned: list[PlannedRun]) -> None:
    rows = [Row(run) for run in planned[:10]]
    assert time_left(rows) is None
    for row in rows[:3]:
        row.update(RunStarted(0))
    assert time_left(rows) is None
    rows[0].update(RunEnded(0, RunOutcome("finished", seconds=100.0)))
    # Two continue at a time, with 100 s each to come, and seven wait.
    assert time_left(rows) == pytest.approx((2 + 7) * 100 / 2)
    for row in rows[1:]:
        row.update(RunEnded(0, RunOutcome("failed", error="x")))
    assert time_left(rows) is None


def test_a_small_terminal_shows_what_matters(planned: list[PlannedRun]) -> None:
    import io

    from rich.console import Console

    text = io.StringIO()
    output = Output(stderr=Console(file=text, force_terminal=True, width=80, height=12, color_system=None))
    display = SweepDisplay(output, planned)
    for index in range(30):
        display.show(RunStarted(index))
        if index < 28:
            outcome = (
                RunOutcome("failed", error="x") if index == 5 else RunOutcome("finished", numbers={"accuracy": 0.5})
            )
            display.show(RunEnded(index, outcome))
    display.show(RunProgress(28, Message("something is odd", warning=True)))
    display.show(RunProgress(29, Message("something is odd", warning=True)))
    display.show(RunProgress(29, Message("run folder x")))
    assert text.getvalue() == "warning: something is odd (first in features,lr=0.2 seed 8)\n"
    text.truncate(text.seek(0))
    output.stderr.print(display._render())
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    assert len(lines) == 10
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["run", "seed", "state", "bucket", "epoch", "accuracy", "(%)", "time", "left"]
    assert [line.split()[:3] for line in lines[1:8]] == [
        ["features,lr=0.2", str(seed), "finished" if seed < 8 else "starting"] for seed in range(3, 10)
    ]
    assert lines[8] == "and 22 finished, 1 failed, 10 waiting"
    assert lines[9].startswith("27 of 40 runs finished, 1 failed, 2 running, ")
    assert [run.seed for run, _ in display.failed] == [5]


def test_words_for_seeds_and_labels() -> None:
    assert as_ranges([0, 1, 2, 3, 4]) == "0-4"
    assert as_ranges([7, 0, 1, 4]) == "0-1,4,7"
    assert as_ranges([3]) == "3"
    assert shortened("features,lr=0.1", 15) == "features,lr=0.1"
    assert shortened("features,lr=0.1", 10) == "featu…=0.1"
