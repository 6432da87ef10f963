"""Resume where something is wrong: damaged states, a full disk, changes, another process; and runs that are stopped."""

import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from halting import PATIENCE_S
from killing import KILLED, ChildProcess, Ended, Label, Work, run_process
from runs import WATCHED, contents, newest, require_same, sentence, straight
from small import SMALL

from clearctl.layout import features_file, filelist_file

pytest_plugins = ("blobs",)

RUN_ERROR = 5
SCHEDULER = dict(type="ExponentialLR", gamma=0.9, by="step", _delete_=True)


@pytest.fixture
def config(write_config: Callable[..., Path]) -> Path:
    return write_config("replay", mem_size=12, scheduler=SCHEDULER)


@pytest.fixture(scope="module")
def finished(features_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`finished(config, **arguments)`: a run of it that never stopped; the same one for the same text of a config."""
    runs: dict[str, Path] = {}

    def of(config: Path, **arguments: Any) -> Path:
        key = re.sub("work_dir = .*", "", config.read_text()) + repr(arguments)
        if key not in runs:
            runs[key] = straight(config, tmp_path_factory.mktemp("straight"), saving="nothing", **arguments).run
        return runs[key]

    return of


def killed(
    config: Path, work_dir: Path, at: Label = ("step", 1, 1, 3), saving: str = "steps", **arguments: Any
) -> Path:
    """A run folder whose process was killed."""
    given = {"device": "cpu", "work_dir": work_dir, "overrides": WATCHED, **arguments}
    ended = run_process(config, arguments=given, at=at, saving=saving)
    assert ended.exit_code == KILLED, ended
    [run] = work_dir.iterdir()
    return run


def refused(run: Path, **arguments: Any) -> str:
    """What is said by a resume that is refused, and that changes nothing."""
    before = files(run)
    ended = run_process(run, arguments=arguments)
    assert (ended.exit_code, ended.error) == (RUN_ERROR, "RunError"), ended
    assert files(run) == before
    return ended.text


def files(run: Path) -> dict[Path, tuple[bytes, int]]:
    """What is in the files of a run and when they were written; the lock that a killed process leaves aside."""
    there = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in there}


# Damaged states


def truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "truncated": truncate,
    "a bit flipped": flip,
    "empty": lambda data: b"",
    "garbage": lambda data: os.urandom(len(data)),
    "without its first line": lambda data: data.partition(b"\n")[2],
    "a pickle": lambda data: b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x09touch bad\x85R.",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_state_is_reported_and_the_one_before_used(
    damage: str, config: Path, finished: Callable[..., Path], tmp_path: Path
) -> None:
    run = killed(config, tmp_path / "killed")
    assert sorted(path.name for path in (run / "state").iterdir()) == [
        "bucket_0000.state",
        "bucket_0001.state",
        "bucket_0001_epoch_0001_step_000001.state",
        "bucket_0001_epoch_0001_step_000002.state",
    ]
    file = run / "state/bucket_0001_epoch_0001_step_000002.state"
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    ended = run_process(run).require()
    assert len(ended.warnings) == 1
    assert re.fullmatch(rf"{file.name} .*: using the previous state", ended.warnings[0])
    assert sentence(run, (1, 1, 1)) in ended.said
    require_same(run, finished(config, overrides=WATCHED))


@pytest.mark.parametrize(
    ("bad", "used"),
    [
        (["bucket_0001_epoch_0001_step_000001.state", "bucket_0001_epoch_0001_step_000002.state"], (1, -1, 0)),
        (["bucket_0001.state"], (0, -1, 0)),
    ],
)
def test_several_damaged_states(
    bad: list[str], used: tuple[int, int, int], config: Path, finished: Callable[..., Path], tmp_path: Path
) -> None:
    run = killed(config, tmp_path / "killed")
    for name in bad:
        (run / "state" / name).write_bytes(flip((run / "state" / name).read_bytes()))
    ended = run_process(run, saving="steps").require()
    assert sorted(re.findall(r"bucket_\w+\.state", " ".join(ended.warnings))) == bad
    assert sentence(run, used) in ended.said
    require_same(run, finished(config, overrides=WATCHED))


def test_all_states_damaged(config: Path, tmp_path: Path) -> None:
    run = killed(config, tmp_path / "killed")
    for path in (run / "state").iterdir():
        path.write_bytes(b"")
    text = refused(run)
    assert str(run / "checkpoints/exp_1.pth") in text
    assert "bucket_0001.state" in text
    assert len(text.splitlines()) <= 2

    early = killed(config, tmp_path / "early", at=("step", 0, 0, 2))
    for path in (early / "state").iterdir():
        path.write_bytes(truncate(path.read_bytes()))
    assert "it has no weights yet" in refused(early)


def test_what_a_killed_save_left_is_removed(config: Path, finished: Callable[..., Path], tmp_path: Path) -> None:
    run = killed(config, tmp_path / "killed", at=("half", "bucket_0001_epoch_0001.state"), saving="epochs")
    [left] = (run / "state").glob(".*.tmp")
    assert left.stat().st_size > 1000
    again = run_process(run, at=("step", 1, 0, 2))
    assert again.exit_code == KILLED
    assert not left.exists()
    assert newest(run) == (1, -1, 0)
    run_process(run).require()
    require_same(run, finished(config, overrides=WATCHED))


# A disk that fills


def test_full_disk_is_reported_once_and_the_older_state_stays_good(
    config: Path, finished: Callable[..., Path], tmp_path: Path
) -> None:
    run = killed(config, tmp_path / "killed", at=("step", 1, 0, 3))
    before = {path.name: path.read_bytes() for path in (run / "state").iterdir()}
    others = [path.stat().st_size for path in run.rglob("*") if path.is_file() and path.suffix != ".state"]
    smallest = min(len(data) for data in before.values())
    assert 3 * max(others) < smallest  # so that only states do not fit
    for saving in ("steps", "epochs"):
        full = run_process(run, at=("step", 2, 1, 2), saving=saving, most_bytes=smallest // 2)
        assert full.exit_code == KILLED
        assert full.warnings == [
            f"the state cannot be saved in {run / 'state'}: File too large; the run continues, and the states"
            " saved before stay valid"
        ]
        assert {path.name: path.read_bytes() for path in (run / "state").iterdir()} == before
    assert run_process(run).require().warnings == []
    require_same(run, finished(config, overrides=WATCHED))


def test_run_on_a_full_disk_ends(config: Path, finished: Callable[..., Path], tmp_path: Path) -> None:
    limited = {"saving": "steps", "most_bytes": 20_000}
    ended = run_process(config, arguments={"device": "cpu", "work_dir": tmp_path / "full"}, **limited).require()
    assert [text.partition(":")[0] for text in ended.warnings] == [
        f"the state cannot be saved in {ended.run / 'state'}",
        f"{ended.run / 'report.html'} could not be written",
    ]
    assert run_process(ended.run).require().warnings == []  # it is finished, but for its report
    require_same(ended.run, finished(config))


# What has changed


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, text
    file.write_text(text.replace(old, new))


def test_each_change_is_listed_and_may_be_accepted(
    write_config: Callable[..., Path], features_root: Path, tmp_path: Path
) -> None:
    root = tmp_path / "dataset"
    shutil.copytree(features_root, root)
    config = write_config("naive", optimizer=dict(lr=0.125))
    run = killed(config, tmp_path / "killed", dataset_root=root)
    kept = (run / "config.py").read_text(), (run / "environment.json").read_text()

    edit(run / "config.py", "'lr': 0.125", "'lr': 0.25")
    assert "config: cl_strategy.optimizer.lr was 0.125, is now 0.25" in refused(run).splitlines()
    (run / "config.py").write_text(kept[0])

    version = torch.__version__.partition("+")[0]
    edit(run / "environment.json", f'"torch": "{version}"', '"torch": "1.0.0"')
    assert f"version: torch was 1.0.0, is now {version}" in refused(run).splitlines()
    (run / "environment.json").write_text(kept[1])

    x, labels = torch.load(features_file(root, "blobs", "2"), weights_only=True)
    x[3, 2] += 1e-3
    torch.save((x, labels), features_file(root, "blobs", "2"))
    assert f"dataset: {root} has changed since the run started" in refused(run).splitlines()

    edit(run / "config.py", "'lr': 0.125", "'lr': 0.25")
    edit(run / "environment.json", f'"torch": "{version}"', '"torch": "1.0.0"')
    found = [line for line in refused(run).splitlines() if line.startswith(("config:", "version:", "dataset:"))]
    assert len(found) == 3

    ended = run_process(run, arguments={"accept_changes": True}).require()
    assert sorted(ended.warnings) == sorted(f"accepted: {line}" for line in found)
    resumed = json.loads((run / "environment.json").read_text())["resumed"]
    assert [entry["accepted"] for entry in resumed] == [found]
    rates = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [record["lr"] for record in rates if record["event"] == "epoch"][:2] == [0.125] * 2
    assert [record["lr"] for record in rates if record["event"] == "epoch"][-2:] == [0.25] * 2


def test_a_label_that_changed_is_a_change(config: Path, features_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    shutil.copytree(features_root, root)
    run = killed(config, tmp_path / "killed", dataset_root=root)
    x, labels = torch.load(features_file(root, "blobs", "0"), weights_only=True)
    torch.save((x, [1, *labels[1:]]), features_file(root, "blobs", "0"))
    edit(filelist_file(root, "0"), "x/0/0.jpg 0", "x/0/0.jpg 1")
    assert f"dataset: {root} has changed since the run started" in refused(run)


# Run folders


def test_run_that_another_process_holds(config: Path, finished: Callable[..., Path], tmp_path: Path) -> None:
    given = {"device": "cpu", "work_dir": tmp_path / "held", "overrides": WATCHED}
    child = ChildProcess(Work(config, given, at=("step", 1, 0, 2), signals=(), saving="epochs"))
    child.wait_for("at")
    [run] = (tmp_path / "held").iterdir()
    assert f"process {child.pid}" in refused(run)
    assert f"process {child.pid}" in refused(run, accept_changes=True)
    os.kill(child.pid, signal.SIGKILL)
    assert child.end().exit_code == KILLED
    run_process(run).require()
    require_same(run, finished(config, overrides=WATCHED))


def test_finished_run_says_so_and_stays_as_it_is(config: Path, tmp_path: Path) -> None:
    first = straight(config, tmp_path / "straight", overrides=WATCHED)
    before = files(first.run)
    again = run_process(first.run).require()
    assert again.said == [f"{first.run} is already finished: nothing to resume"]
    assert (again.run, again.matrix) == (first.run, first.matrix)
    assert files(first.run) == before


def test_folder_that_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "some folder").mkdir()
    assert refused(tmp_path / "some folder") == (
        f"{tmp_path / 'some folder'} is not a run folder: it has no config.py and environment.json"
    )
    assert list((tmp_path / "some folder").iterdir()) == []


def test_moved_run_continues(config: Path, finished: Callable[..., Path], tmp_path: Path) -> None:
    run = killed(config, tmp_path / "killed")
    moved = tmp_path / "else where" / "renamed"
    moved.parent.mkdir()
    run.rename(moved)
    ended = run_process(moved).require()
    assert (ended.run, ended.warnings) == (moved, [])
    assert sentence(moved, (1, 1, 2)) in ended.said
    assert list((tmp_path / "killed").iterdir()) == []
    require_same(moved, finished(config, overrides=WATCHED))


@pytest.mark.parametrize("at", [("step", 1, 1, 2), ("results", 1), ("results", 2), ("bucket", 1), ("bucket", 2)])
def test_run_without_states_starts_over_in_its_folder(
    at: Label, config: Path, finished: Callable[..., Path], tmp_path: Path
) -> None:
    run = killed(config, tmp_path / "killed", at=at, saving="nothing")
    assert not (run / "state").exists()
    ended = run_process(run).require()
    if at == ("bucket", 2):  # everything is on disk
        assert ended.said == [f"{run} is already finished: nothing to resume"]
    else:
        assert sentence(run, None) in ended.said
    require_same(run, finished(config, overrides=WATCHED))


# Signals


@pytest.mark.parametrize(
    ("signum", "exit_code", "at"),
    [
        (signal.SIGINT, 130, ("step", 0, 0, 1)),
        (signal.SIGTERM, 143, ("step", 1, 0, 2)),
        (signal.SIGINT, 130, ("step", 1, 1, 3)),
        (signal.SIGTERM, 143, ("test", 1, 2, 3)),
    ],
)
def test_signal_ends_a_run_at_the_next_step(
    signum: int, exit_code: int, at: Label, config: Path, finished: Callable[..., Path], tmp_path: Path
) -> None:
    given = {"device": "cpu", "work_dir": tmp_path / "stopped", "overrides": WATCHED}
    ended = run_process(config, arguments=given, at=at, signals=(signum,), saving="epochs")
    [run] = (tmp_path / "stopped").iterdir()
    assert (ended.exit_code, ended.error, ended.warnings) == (exit_code, "Stopped", [])
    assert ended.said[-1] == "stopping after this step; a second signal stops immediately"
    kept = "steps after its last saved state will be repeated" if at[0] == "test" else "its state is saved"
    assert ended.text == f"stopped, {kept}\nresume with `clearctl resume {run}`"
    bucket, epochs, steps = at[1:]
    there = (bucket, epochs, 0 if at[0] == "test" else steps)
    assert newest(run) == there
    assert sentence(run, there) in run_process(run).require().said
    require_same(run, finished(config, overrides=WATCHED))


def test_second_ctrl_c_ends_at_once(config: Path, finished: Callable[..., Path], tmp_path: Path) -> None:
    given = {"device": "cpu", "work_dir": tmp_path / "stopped", "overrides": WATCHED}
    child = ChildProcess(Work(config, given, at=("step", 1, 1, 2), signals=(), saving="epochs"))
    child.wait_for("at")  # a step that takes minutes
    os.kill(child.pid, signal.SIGINT)
    while child.wait_for("said")[0] != "stopping after this step; a second signal stops immediately":
        pass
    os.kill(child.pid, signal.SIGINT)
    ended = child.end()  # before the step, which waits longer than this
    [run] = (tmp_path / "stopped").iterdir()
    assert (ended.exit_code, ended.error) == (130, "Stopped")
    assert ended.text == f"stopped immediately\nresume with `clearctl resume {run}`"
    assert newest(run) == (1, 1, 0)
    run_process(run).require()
    require_same(run, finished(config, overrides=WATCHED))


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_ctrl_c_with_worker_processes_leaves_none(
    number: int, tiny_config: Path, prepared: Path, finished: Callable[..., Path], tmp_path: Path
) -> None:
    """Ctrl-C reaches all processes of a terminal, the workers too."""
    given = dict(dataset_root=prepared, overrides=(*WATCHED, "data.workers=2", "data.cache=off"))
    arguments = {"device": "cpu", "work_dir": tmp_path / "stopped", **given}
    child = ChildProcess(
        Work(tiny_config, arguments, at=("step", 1, 1, 2), signals=(), own_group=True, saving="epochs")
    )
    child.wait_for("at")
    workers = psutil.Process(child.pid).children(recursive=True)
    assert len(workers) == 2
    os.killpg(child.pid, signal.SIGINT)
    while child.wait_for("said")[0] != "stopping after this step; a second signal stops immediately":
        pass
    if number == 2:
        os.killpg(child.pid, signal.SIGINT)
    else:
        os.kill(child.pid, signal.SIGUSR1)  # which ends the long step
    ended = child.end()
    gone, alive = psutil.wait_procs(workers, timeout=PATIENCE_S)
    assert (alive, ended.error, ended.exit_code) == ([], "Stopped", 130)
    [run] = (tmp_path / "stopped").iterdir()
    assert newest(run) == (1, 1, 0)  # workers read ahead, so that no state can be taken in the middle
    run_process(run).require()
    require_same(run, finished(tiny_config, **given))


# Saving itself


@pytest.mark.parametrize("name", ["agem", "der", "icarl"])
def test_saving_after_every_step_changes_nothing(name: str, write_config: Callable[..., Path], tmp_path: Path) -> None:
    config = write_config(name, **SMALL[name])
    runs: list[Ended] = [
        straight(config, tmp_path / how, saving=how, overrides=WATCHED) for how in ("nothing", "steps")
    ]
    assert not any(place[0] == "renamed" for place in runs[0].places)
    assert sum(place[0] == "renamed" for place in runs[1].places) > 15
    assert contents(runs[0].run) == contents(runs[1].run)


def test_saving_after_every_step_changes_nothing_with_images(tiny_config: Path, prepared: Path, tmp_path: Path) -> None:
    given = dict(dataset_root=prepared, overrides=(*WATCHED, "data.workers=0"))
    first, second = (straight(tiny_config, tmp_path / how, saving=how, **given) for how in ("nothing", "steps"))
    require_same(second.run, first.run)
