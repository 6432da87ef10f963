"""Commands that several processes share, as a user starts them: by `--nproc`, and by torch's launcher itself."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from conftest import CONFIGS
from halting import PATIENCE_S, Halt, until
from runs import require_same
from sharing import environment, free_port
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from typer.testing import CliRunner
from warm import deliver_sigint, environ_of

from clearctl import layout, rundir
from clearctl.cli import app
from clearctl.cli.launch import _exit_like
from clearctl.distributed import world
from clearctl.errors import RunError

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="it finds processes as only Linux lists them"
)
slow = pytest.mark.slow

CLEARCTL = [sys.executable, "-m", "clearctl"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
LONG = ("--set", "cl_strategy.train_epochs=30")
MIR = ("type=MIR", "mem_size=12", "subsample=6", "batch_size_mem=4")


@dataclass
class Command:
    """A command in processes of its own, which are known by a word in their environment."""

    process: subprocess.Popen[bytes]
    mark: str
    folder: Path

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def processes(self) -> dict[int, dict[str, str]]:
        """The environments of all that run, by their ids."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                entries = environ_of(int(folder.name))
                is_over = (folder / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
            except OSError:
                continue
            if f"MARK={self.mark}" in entries and not is_over:
                found[int(folder.name)] = dict(entry.split("=", 1) for entry in entries if "=" in entry)
        return found

    def rank(self, number: int) -> int:
        """The id of a process of those that share the run."""
        found = [pid for pid, environ in self.processes().items() if environ.get("RANK") == str(number)]
        assert len(found) == 1, self.stderr
        return found[0]

    def until_waiting(self, halt: Halt) -> None:
        """Until one of its processes does."""
        until(lambda: self.process.poll() is not None or halt.there())
        assert self.process.poll() is None, self.stderr

    def end(self) -> int:
        """Its exit code; nothing of it is left."""
        code = self.process.wait(PATIENCE_S)
        until(lambda: not self.processes())
        return code


@contextmanager
def started(
    *arguments: object, folder: Path, ignoring: tuple[int, ...] = (), cwd: Path | None = None, **environ: object
) -> Iterator[Command]:
    """Start a command, and end it in any case with all that it has started."""
    folder = folder / uuid.uuid4().hex
    folder.mkdir()
    mark = uuid.uuid4().hex

    def settle() -> None:
        deliver_sigint()
        for number in ignoring:
            signal.signal(number, signal.SIG_IGN)

    alone = {name: value for name, value in os.environ.items() if name not in environment(0, 1, 0)}
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
            env={
                **alone,
                "OMP_NUM_THREADS": "1",
                "MARK": mark,
                **{name: str(value) for name, value in environ.items()},
            },
            preexec_fn=settle if ignoring else deliver_sigint,
        )
    command = Command(process, mark, folder)
    try:
        yield command
    finally:
        while left := command.processes():
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            process.poll()
            time.sleep(0.05)
        process.wait()


def ended(*arguments: object, folder: Path, **how: object) -> tuple[int, str, str]:
    """The exit code of a command, its stdout and its stderr."""
    with started(*arguments, folder=folder, **how) as command:
        return command.end(), command.stdout, command.stderr


def training(prepared: Path, work_dir: Path) -> list[object]:
    return ["train", CONFIGS / "features.py", "--dataset-root", prepared, "--work-dir", work_dir, "--device", "cpu"]


def the_run(work_dir: Path) -> Path:
    (run,) = work_dir.glob("*")
    return run


def epochs(run: Path) -> int:
    """How many epochs its metrics have."""
    file = rundir.metrics_file(run)
    return file.read_text().count('"event": "epoch"') if file.is_file() else 0


def under_way(folder: Path) -> Halt:
    """The first process waits when it has learned some epochs, for a signal, and so do all that share the run."""
    return Halt(folder / "halt", "*/metrics.jsonl", 9)


def require_reported_once(stderr: str, *texts: str) -> None:
    for text in texts:
        assert stderr.count(text) == 1, (text, stderr)
    assert "Traceback" not in stderr
    assert "torch/distributed" not in stderr


# A run from beginning to end


@pytest.fixture(scope="module")
def shared(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A run of 2 processes by `clearctl train --nproc 2`, not to be changed; and what it printed.

    It starts in a folder with modules that are not meant, and with SIGHUP ignored, as under `nohup`.
    """
    folder = tmp_path_factory.mktemp("shared")
    for name in ("clearctl", "queue", "torch"):
        (folder / f"{name}.py").write_text("raise SystemExit('not this one')")
    script = Path(sys.executable).parent / "clearctl"
    arguments = training(prepared, folder / "runs")
    arguments += ["--nproc", 2]
    with (
        Halt(folder / "halt", "*/metrics.jsonl") as halt,
        started(script, *arguments, folder=folder, cwd=folder, ignoring=(signal.SIGHUP,), **halt.environ) as command,
    ):
        command.until_waiting(halt)
        assert len(command.processes()) == 3
        for pid in command.processes():
            os.kill(pid, signal.SIGHUP)
        halt.release()
        code = command.end()
    assert code == 0, command.stderr
    return the_run(folder / "runs"), command.stdout, command.stderr


@slow
def test_a_run_by_nproc_prints_and_writes_once(shared: tuple[Path, str, str]) -> None:
    run, stdout, stderr = shared
    for text in ("accuracy (%) on each bucket", "CLEAR's metrics", "GEM's metrics", "in_domain"):
        assert stdout.count(text) == 1, stdout
    require_reported_once(stderr, f"run folder {run}\n", "bucket 2 (3/3): accuracy ", f"everything is in {run}\n")
    assert "warning" not in stderr
    assert rundir.read_environment(run)["processes"] == 2
    assert rundir.is_finished(run)
    assert epochs(run) == 6


@slow
def test_two_machines(shared: tuple[Path, str, str], prepared: Path, tmp_path: Path) -> None:
    """Two of torch's launchers on this host, each with one process."""
    machine = [
        *(*TORCHRUN, "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", "--rdzv-id=two"),
        *(f"--rdzv-endpoint=127.0.0.1:{free_port()}", "-m", "clearctl"),
        *(*training(prepared, tmp_path / "runs"), "--json"),
    ]
    with ExitStack() as stack:
        machines = [stack.enter_context(started(*machine, folder=tmp_path)) for _ in range(2)]
        assert [command.end() for command in machines] == [0, 0], [command.stderr for command in machines]
    (said,) = filter(None, (command.stdout for command in machines))
    reported = "".join(command.stderr for command in machines)
    # What torch's launcher itself may say: the one that holds the meeting place can end before the other has left it.
    reported = re.sub(r"(?m)^.*has failed to shutdown the rendezvous.*\n?", "", reported)
    require_reported_once(reported, "run folder ")
    run = the_run(tmp_path / "runs")
    answer = json.loads(said)
    assert answer["run"] == str(run)
    assert answer["accuracy_matrix"] == rundir.read_matrix(shared[0])[0].tolist()
    require_same(run, shared[0])


@slow
def test_eval_by_two_processes(shared: tuple[Path, str, str], tmp_path: Path) -> None:
    code, stdout, stderr = ended(
        *CLEARCTL, "eval", shared[0], "--nproc", 2, "--device", "cpu", "--json", folder=tmp_path
    )
    assert code == 0, stderr
    alone = CliRunner().invoke(app, ["eval", str(shared[0]), "--device", "cpu", "--json"])
    assert json.loads(stdout) == json.loads(alone.stdout)
    assert json.loads(stdout)["accuracy_matrix"] == rundir.read_matrix(shared[0])[0].tolist()


@slow
def test_features_by_two_processes(prepared: Path, tmp_path: Path) -> None:
    roots = [shutil.copytree(prepared, tmp_path / name) for name in ("one", "two")]
    arguments = ["extract-features", "--config", CONFIGS / "tiny.py", "--name", "net", "--weights", "none"]
    arguments += ["--device", "cpu", "--batch-size", "4", "--json", "--dataset-root"]
    alone = CliRunner().invoke(app, [str(argument) for argument in (*arguments, roots[0])])
    assert alone.exit_code == 0, alone.stderr
    code, stdout, stderr = ended(*CLEARCTL, *arguments, roots[1], "--nproc", 2, folder=tmp_path)
    assert code == 0, stderr
    assert "Traceback" not in stderr
    one, two = json.loads(alone.stdout), json.loads(stdout)
    assert [two[key] for key in ("written", "images", "dimension")] == [
        one[key] for key in ("written", "images", "dimension")
    ]
    for bucket in one["buckets"]:
        files = [layout.features_file(root, "net", bucket) for root in roots]
        assert files[1].read_bytes() == files[0].read_bytes()


# Ended early


@slow
def test_a_run_that_is_ended_in_every_way_continues(prepared: Path, tmp_path: Path) -> None:
    """Each time by the command that it printed; it ends as one that torch's launcher has started again by itself."""
    work_dir = tmp_path / "runs"
    arguments = [*training(prepared, work_dir), *LONG, "--nproc", 2]
    beginning = "run folder "
    for victim, number in ((0, signal.SIGKILL), (1, signal.SIGKILL), (None, signal.SIGTERM), (None, signal.SIGINT)):
        with (
            under_way(tmp_path) as halt,
            started(*CLEARCTL, *arguments, folder=tmp_path, **halt.environ) as command,
        ):
            command.until_waiting(halt)
            os.kill(command.process.pid if victim is None else command.rank(victim), number)
            if victim == 1:
                halt.release()
            code, reported = command.end(), command.stderr
        assert command.stdout == ""
        require_reported_once(reported, beginning, "resume with ")
        if victim is None:
            assert code == 128 + number, reported
            require_reported_once(reported, "stopping after this step", "stopped, its state is saved\n")
            assert "error: " not in reported
        else:
            assert code == 5, reported
            # Which comes first is left to the machine: the other process and the launcher say them.
            killed = f"process {victim} of 2 was ended by SIGKILL\n"
            require_reported_once(reported, "error: another process of this run has ended\n", killed)
        (hint,) = re.findall("resume with `clearctl (.*)`", reported)
        arguments = shlex.split(hint)
        assert arguments == ["resume", str(the_run(work_dir)), "--nproc", "2"]
        beginning = "resuming "
    code, stdout, stderr = ended(*CLEARCTL, *arguments, "--json", folder=tmp_path)
    assert code == 0, stderr
    run = the_run(work_dir)
    assert json.loads(stdout)["run"] == str(run)
    assert len(rundir.read_environment(run)["resumed"]) == 4
    require_same(run, started_again(prepared, tmp_path / "again"))


def started_again(prepared: Path, folder: Path) -> Path:
    """The run folder of a run whose processes torch's launcher has started a second time."""
    folder.mkdir()
    launcher = [*TORCHRUN, "--standalone", "--nproc-per-node=2", "--max-restarts=1", "-m", "clearctl"]
    arguments = [*launcher, *training(prepared, folder / "runs"), *LONG]
    with under_way(folder) as halt, started(*arguments, folder=folder, **halt.environ) as command:
        command.until_waiting(halt)
        os.kill(command.rank(1), signal.SIGKILL)
        halt.release()
        assert command.end() == 0, command.stderr
    for text in ("resuming ", "everything is in "):
        assert command.stderr.count(text) == 1, command.stderr
    # On a slow machine torchrun ends the other process before that has noticed anything.
    assert command.stderr.count("torchrun restarts all processes\n") <= 1, command.stderr
    assert "resume with `clearctl" not in command.stderr
    assert "Traceback" not in command.stderr
    assert command.stdout.count("CLEAR's metrics") == 1
    run = the_run(folder / "runs")
    assert len(rundir.read_environment(run)["resumed"]) == 1
    return run


def hindering(folder: Path, code: str) -> dict[str, object]:
    """An environment in which `code` is run in every Python process as it starts."""
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": folder}


def test_processes_that_end_before_they_can_report_of_it(prepared: Path, tmp_path: Path) -> None:
    environ = hindering(tmp_path, "import os\nif os.environ.get('RANK') == '1': os.kill(os.getpid(), 9)\n")
    arguments = [*training(prepared, tmp_path / "runs"), "--nproc", 2]
    code, stdout, stderr = ended(*CLEARCTL, *arguments, folder=tmp_path, **environ)
    assert (code, stdout) == (5, ""), stderr
    require_reported_once(stderr, "error: process 1 of 2 was ended by SIGKILL, and so were the others\n")
    assert "`clearctl resume RUN_DIR --nproc 2`" in stderr
    assert len(stderr.splitlines()) == 2
    assert not (tmp_path / "runs").exists()


# A library that takes Ctrl-C for something else, and continues: NumPy's C code does so while Matplotlib is imported.
DEAF = f"""
import os, signal, sys, time
PATIENCE_S = {PATIENCE_S}

class Deaf:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["DEAF"] and os.environ.get("RANK") == os.environ.get("WHERE"):
            sys.meta_path.remove(self)
            try:
                os.kill(os.getppid() if "WHERE" in os.environ else os.getpid(), signal.SIGINT)
                time.sleep(PATIENCE_S)
            except KeyboardInterrupt:
                pass

sys.meta_path.insert(0, Deaf())
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "code", "reported"), [("typer", -signal.SIGINT, ""), ("avalanche", 130, "interrupted: finished parts")]
)
def test_ctrl_c_while_the_libraries_are_imported(
    name: str, code: int, reported: str, prepared: Path, tmp_path: Path
) -> None:
    environ = {**hindering(tmp_path, DEAF), "DEAF": name}
    found = ended(*CLEARCTL, *training(prepared, tmp_path / "runs"), folder=tmp_path, **environ)
    assert found[:2] == (code, "")
    assert found[2].startswith(reported)
    assert len(found[2].splitlines()) == bool(reported)
    assert not (tmp_path / "runs").exists()


@pytest.mark.process
@pytest.mark.parametrize("rank", [0, 1])
def test_ctrl_c_while_the_processes_start(rank: int, prepared: Path, tmp_path: Path) -> None:
    environ = {**hindering(tmp_path, DEAF), "DEAF": "torch", "WHERE": rank}
    arguments = [*training(prepared, tmp_path / "runs"), "--nproc", 2]
    code, stdout, stderr = ended(*CLEARCTL, *arguments, folder=tmp_path, **environ)
    assert (code, stdout) == (130, ""), stderr
    assert stderr in ("", "interrupted: finished parts are on disk; run the same command again\n")
    assert not (tmp_path / "runs").exists()


# Refused


@pytest.mark.parametrize(
    ("arguments", "code", "reported"),
    [
        (["--dataset-root", "nowhere"], 4, "nowhere: found nothing"),
        ([part for value in MIR for part in ("--set", f"cl_strategy.{value}")], 3, "MIR is not tested with several"),
    ],
)
def test_an_error_that_all_processes_have_is_reported_once(
    arguments: list[str], code: int, reported: str, prepared: Path, tmp_path: Path
) -> None:
    arguments = [*training(prepared, tmp_path / "runs"), *arguments, "--nproc", 2]
    found = ended(*CLEARCTL, *arguments, folder=tmp_path)
    assert found[:2] == (code, ""), found[2]
    require_reported_once(found[2], "error: ", reported)
    assert len(found[2].splitlines()) <= 2
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("exit_codes", "code", "named"),
    [
        ([4, 4], 4, ""),
        ([4, -15], 4, ""),  # torch has ended the other one, which was about to report the same
        ([-15, 4], 4, ""),
        ([4, -9], 4, "process 1 of 2 was ended by SIGKILL"),
        ([-9, 4], 4, "process 0 of 2 was ended by SIGKILL"),
        ([-15, -15], 5, "process 0 of 2 was ended by SIGTERM, and so were the others"),
        ([-9, -15], 5, "process 0 of 2 was ended by SIGKILL, and so were the others"),
    ],
)
def test_the_exit_code_is_that_of_the_one_that_reported(
    exit_codes: list[int], code: int, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = {rank: ProcessFailure(rank, 1, exit_code, "") for rank, exit_code in enumerate(exit_codes)}
    for rank, failure in failures.items():
        failure.timestamp = rank
    with pytest.raises((typer.Exit, RunError)) as ended:
        _exit_like(ChildFailedError("clearctl", failures), 2)
    assert ended.value.exit_code == code
    printed = capsys.readouterr().err + str(ended.value)
    assert named in printed if named else "process" not in printed


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["--bogus"], "error: no such option '--bogus'"),
        (["--dry-run"], "--dry-run is for one process: leave --nproc out"),
        (["--nproc", "0"], "--nproc"),
    ],
)
def test_what_is_refused_before_any_process_starts(
    arguments: list[str], reported: str, prepared: Path, tmp_path: Path
) -> None:
    arguments = [*map(str, training(prepared, tmp_path / "runs")), "--nproc", "2", *arguments]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert reported in result.stderr
    assert not (tmp_path / "runs").exists()


def test_another_number_than_that_of_the_launcher(prepared: Path, tmp_path: Path) -> None:
    arguments = [*map(str, training(prepared, tmp_path / "runs")), "--nproc", "3"]
    result = CliRunner().invoke(app, arguments, env=environment(0, 2, 0))
    assert result.exit_code == 2
    expected = "error: --nproc 3: torchrun has started 2 processes: leave --nproc out\ntry `clearctl train --help`\n"
    assert result.stderr == expected
    assert world.size() == 1


LAST = """
import os, pathlib, time
waits, sleep = pathlib.Path({waits!r}), time.sleep

def told(seconds):
    if seconds > 10:
        waits.touch()
    sleep(seconds)

if os.environ.get("RANK") == "1":
    time.sleep = told
while os.environ.get("RANK") == "0" and not waits.exists():
    sleep(0.01)
"""


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["verify"], "error: verify is done by one process: start it without torchrun"),
        (["train", "--bogus"], "error: no such option '--bogus'"),
    ],
)
def test_torchs_launcher_lets_an_error_be_reported_once(arguments: list[str], reported: str, tmp_path: Path) -> None:
    """The first process comes last, when the other already waits for it, and is the only one that prints."""
    environ = hindering(tmp_path, LAST.format(waits=str(tmp_path / "waits")))
    launcher = [*TORCHRUN, "--standalone", "--nproc-per-node=2", "-m", "clearctl"]
    code, stdout, stderr = ended(*launcher, *arguments, folder=tmp_path, **environ)
    assert (code, stdout) == (1, "")  # the launcher's own
    assert stderr.count(reported) == 1, stderr
    assert "exitcode  : 2 " in stderr  # in the launcher's report, which has the only stack
    assert stderr.count("Traceback") == 1
