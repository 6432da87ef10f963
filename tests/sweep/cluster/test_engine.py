"""Sweeps on a real Ray, which the tests start."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from halting import PATIENCE_S, Halt, environ, until
from runs import require_same

from clearctl import rundir
from clearctl.engine.run.stopping import STOPPING, StopRequest
from clearctl.errors import CapabilityError, RunError, Stopped, UsageError
from clearctl.progress import BucketDone, Message
from clearctl.sweep.cluster.engine import Cluster, run_on_ray
from clearctl.sweep.outcome import RunEnded, RunProgress, RunStarted, SweepEvent
from clearctl.sweep.sweep import SweepPlan, plan_sweep, run_sweep

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]
LONG = ("cl_strategy.train_epochs", ["20"])
QUICK = ("cl_strategy.train_epochs", ["3"])


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def halting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what the runs on the cluster wait for."""
    return tmp_path_factory.mktemp("halting")


@pytest.fixture(scope="module")
def ray_address(halting: Path) -> Iterator[str]:
    """A Ray of two CPUs, in processes of its own as on a cluster."""
    port = free_port()
    folder = Path("/tmp") / f"ray-{os.getpid()}"  # its sockets need a short path
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *("--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=2", "--include-dashboard=false"),
        f"--temp-dir={folder}",
    ]
    # A cluster asks who is there for its token, as Ray's own does by default.
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="a" * 32)
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", **environ(halting)}
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in what a script starts in the background
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    signal.signal(signal.SIGINT, before)
    try:
        until(lambda: process.poll() is not None or listens(port))
        assert process.poll() is None, process.stdout and process.stdout.read().decode()
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def halt(folder: Path, runs: Path | str) -> Halt:
    """Those of the `runs`, a pattern, wait in their second bucket; there are 23 lines for one."""
    return Halt(folder, f"{runs}/metrics.jsonl", 23 + 5, until_signal=False)


def plan(config: Path, prepared: Path, work_dir: Path, epochs: tuple[str, list[str]], **given: object) -> SweepPlan:
    grid = {epochs[0]: epochs[1], "cl_strategy.optimizer.lr": ["0.1", "0.5"]}
    given = {"stack": False, **given}
    return plan_sweep([config], seeds=[0, 1], grid=grid, work_dir=work_dir, dataset_root=prepared, **given)


@pytest.fixture(scope="module")
def local(prepared: Path, features_config: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, SweepPlan]:
    """The same sweeps by the engine `local`, each run with one thread."""
    found = {}
    for name, epochs in {"quick": QUICK, "long": LONG}.items():
        work_dir = tmp_path_factory.mktemp(name)
        run_sweep(plan(features_config, prepared, work_dir, epochs, device="cpu", jobs=os.cpu_count()))
        found[name] = plan(features_config, prepared, work_dir, epochs, device="cpu")
        assert [run.state for run in found[name].runs] == ["finished"] * 4
    return found


def require_equal(ours: SweepPlan, theirs: SweepPlan) -> None:
    for one, other in zip(ours.runs, theirs.runs, strict=True):
        assert one.run is not None
        assert other.run is not None
        require_same(one.run, other.run)


def test_ray_and_local_leave_the_same_runs(
    ray_address: str, local: dict[str, SweepPlan], prepared: Path, features_config: Path, tmp_path: Path
) -> None:
    cluster = Cluster(ray_address)
    reported: list[SweepEvent] = []
    result = run_sweep(plan(features_config, prepared, tmp_path, QUICK, cluster=cluster), listener=reported.append)
    assert result.failed == []
    again = plan(features_config, prepared, tmp_path, QUICK, cluster=cluster)
    assert [run.state for run in again.runs] == ["finished"] * 4
    assert [run.run for run in again.runs] == [outcome.run for outcome in result.outcomes]
    require_equal(again, local["quick"])
    for one, other in zip(result.outcomes, local["quick"].runs, strict=True):
        assert one.matrix is not None
        assert other.run is not None
        assert one.matrix.tolist() == rundir.read_matrix(other.run)[0].tolist()
    assert sorted(event.index for event in reported if isinstance(event, RunStarted)) == [0, 1, 2, 3]
    assert sorted(event.index for event in reported if isinstance(event, RunEnded)) == [0, 1, 2, 3]
    buckets = [
        event.index for event in reported if isinstance(event, RunProgress) and isinstance(event.event, BucketDone)
    ]
    assert sorted(buckets) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert list(tmp_path.glob("*/.sweep-*")) == []


def test_ray_and_local_train_the_same_stacks(
    ray_address: str, prepared: Path, features_config: Path, tmp_path: Path
) -> None:
    planned = plan(features_config, prepared, tmp_path / "ray", QUICK, cluster=Cluster(ray_address), stack=True)
    found = run_sweep(planned)
    here = plan(features_config, prepared, tmp_path / "here", QUICK, device="cpu", jobs=2, stack=True)
    for one, other in zip(found.outcomes, run_sweep(here).outcomes, strict=True):
        assert one.run is not None
        assert other.run is not None
        assert rundir.read_environment(one.run)["stacked"] == 2  # the Ray has room for two
        require_same(one.run, other.run)


def test_one_that_is_killed_fails_alone_and_continues(
    ray_address: str, halting: Path, local: dict[str, SweepPlan], prepared: Path, features_config: Path, tmp_path: Path
) -> None:
    cluster = Cluster(ray_address)
    killed: list[int] = []

    def kill(event: SweepEvent) -> None:
        if isinstance(event, RunProgress) and isinstance(event.event, BucketDone) and event.index == 0:
            (folder,) = {lock.parent for lock in tmp_path.glob("*lr=0.1/*-seed0/.lock")}
            killed.append(int((folder / ".lock").read_text()))
            assert waiting.reached() == killed
            os.kill(killed[0], signal.SIGKILL)

    with halt(halting, tmp_path / "*lr=0.1/*-seed0") as waiting:
        result = run_sweep(plan(features_config, prepared, tmp_path, LONG, cluster=cluster), listener=kill)
    assert killed
    assert [outcome.status for outcome in result.outcomes] == ["failed", "finished", "finished", "finished"]
    (failed,) = result.failed
    assert failed[1].exit_code == 5
    assert failed[1].error.startswith("lost on the cluster")
    again = plan(features_config, prepared, tmp_path, LONG, cluster=cluster)
    assert [run.state for run in again.runs] == ["resume", "finished", "finished", "finished"]
    assert run_sweep(again).failed == []
    require_equal(plan(features_config, prepared, tmp_path, LONG, cluster=cluster), local["long"])


def test_a_wish_to_stop_saves_what_is_under_way_and_begins_nothing(
    ray_address: str, halting: Path, local: dict[str, SweepPlan], prepared: Path, features_config: Path, tmp_path: Path
) -> None:
    """Two runs wait, until each has heard of it; which two is Ray's choice."""
    cluster = Cluster(ray_address)
    begun: list[int] = []
    reported: list[int] = []
    asked = False

    def ask(event: SweepEvent) -> None:
        nonlocal asked
        if isinstance(event, RunStarted):
            begun.append(event.index)
        if not asked and isinstance(event, RunProgress) and isinstance(event.event, BucketDone):
            asked = True
            waiting.reached(processes=2)
            signal.raise_signal(signal.SIGINT)
        if isinstance(event, RunProgress) and event.event == STOPPING:
            reported.append(event.index)
            if len(reported) == 2:
                waiting.release()

    planned = plan(features_config, prepared, tmp_path, LONG, cluster=cluster)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
    try:
        with (
            halt(halting, f"{tmp_path}/*") as waiting,
            pytest.raises(Stopped, match="0 of 4 runs are finished\nrun the same command to continue") as caught,
        ):
            run_sweep(planned, listener=ask)
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught.value.exit_code == 130
    assert len(begun) == 2
    assert sorted(reported) == sorted(begun)
    there = sorted(tmp_path.glob("*/*-seed*"))
    assert len(there) == 2
    assert all(list(rundir.state_folder(run).glob("*.state")) for run in there)
    again = plan(features_config, prepared, tmp_path, LONG, cluster=cluster)
    assert {run.state for run in again.runs} == {"resume", "new"}
    assert run_sweep(again).failed == []
    require_equal(plan(features_config, prepared, tmp_path, LONG, cluster=cluster), local["long"])


def test_more_than_any_machine_has_is_reported_and_can_be_stopped(
    ray_address: str, prepared: Path, features_config: Path, tmp_path: Path
) -> None:
    reported: list[str] = []

    def stop(event: SweepEvent) -> None:
        if isinstance(event, Message) and event.warning:
            reported.append(event.text)
            signal.raise_signal(signal.SIGINT)
        assert not isinstance(event, RunEnded)  # none began

    planned = plan(features_config, prepared, tmp_path, QUICK, cluster=Cluster(ray_address, cpus_per_run=64))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
    try:
        with pytest.raises(Stopped):
            run_sweep(planned, listener=stop)
    finally:
        signal.signal(signal.SIGINT, before)
    assert reported == [
        "a run takes 64 CPUs, but no machine of the Ray cluster has more than 2: runs wait until one joins"
    ]


@pytest.mark.parametrize("amounts", [(1.5, 0), (1, 2.5), (0.00001, 0), (-1, 0), (float("inf"), 0), (1, float("nan"))])
def test_amounts_that_ray_does_not_know(amounts: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="Ray allows a whole number, or a fraction"):
        Cluster(None, *amounts)


def test_a_folder_that_cannot_be_written(
    ray_address: str, prepared: Path, features_config: Path, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(RunError, match=f"{file}/.* cannot be written: Not a directory"):
        run_sweep(plan(features_config, prepared, file, QUICK, cluster=Cluster(ray_address)))


@pytest.mark.parametrize("how", ["option", "environment"])
def test_where_no_ray_is(
    how: str, prepared: Path, features_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"127.0.0.1:{free_port()}"
    if how == "environment":
        monkeypatch.setenv("RAY_ADDRESS", address)
    cluster = Cluster(address if how == "option" else None)
    unreachable = plan(features_config, prepared, tmp_path, QUICK, cluster=cluster)
    tries: list[object] = []
    monkeypatch.setattr("ray.init", lambda **how: tries.append(how))
    with pytest.raises(CapabilityError, match=f"the Ray at {address} cannot be reached: .*refused") as caught:
        run_sweep(unreachable)
    assert tries == []  # it would continue for a minute
    assert "--engine local" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as Python has it for a module that cannot be imported
    with pytest.raises(CapabilityError, match=r"pip install 'clearctl\[ray\]'"):
        run_on_ray([], Cluster(), stack=True, listener=lambda event: None, stop_request=StopRequest())
