"""The lock file: one holder at a time, its pid named, nothing left behind."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clearctl import lock
from clearctl.errors import DatasetError

HOLD = """
import sys
from pathlib import Path
from clearctl import lock
from clearctl.errors import DatasetError
with lock.file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

TRY = """
import sys
from pathlib import Path
from clearctl import lock
from clearctl.errors import DatasetError
inside, rounds = Path(sys.argv[1]).with_name("inside"), 0
while rounds < 200:
    try:
        with lock.file_lock(Path(sys.argv[1])):
            inside.mkdir()  # fails where another process is inside too
            inside.rmdir()
            rounds += 1
    except lock.LockHeldError:
        pass
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_reported_who_holds_it(tmp_path):
    path = tmp_path / "folder" / "lock"
    with holder(path) as process:
        with pytest.raises(lock.LockHeldError) as error, lock.file_lock(path):
            raise AssertionError("held twice")
        assert error.value.pid == process.pid
        process.communicate("")
    assert not path.exists()


def test_a_killed_holder_holds_nobody_up(tmp_path):
    path = tmp_path / "lock"
    with holder(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert path.exists()
    with lock.file_lock(path):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()


def test_a_forked_worker_does_not_hold_it_on(tmp_path):
    """As a loader's workers, which live on for seconds after their parent was killed."""
    path = tmp_path / "lock"
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom clearctl import lock\n"
        "with lock.file_lock(Path(sys.argv[1])):\n"
        "    if os.fork() == 0: print(os.getpid(), flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        child = int(process.stdout.readline())
        with pytest.raises(lock.LockHeldError), lock.file_lock(path):
            pass
        process.kill()
        process.wait()
        try:
            with lock.file_lock(path):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


def test_it_is_let_go_of_when_the_body_fails(tmp_path):
    path = tmp_path / "lock"
    with pytest.raises(ZeroDivisionError), lock.file_lock(path):
        _ = 1 / 0
    with lock.file_lock(path):
        pass


def test_a_folder_that_cannot_hold_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), lock.file_lock(tmp_path / "file" / "lock"):
        pass


def test_two_processes_are_never_inside_together(tmp_path):
    """Removing the file at the end must not let a second process in beside a third."""
    processes = [
        subprocess.Popen([sys.executable, "-c", TRY, str(tmp_path / "lock")], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        _, reported = process.communicate(timeout=300)
        assert process.returncode == 0, reported


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_a_file_system_without_locks_is_written_without_one(tmp_path, monkeypatch, code):
    def refuse(*arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with lock.exclusive_lock(tmp_path / "lock", tmp_path, DatasetError):
        assert list(tmp_path.iterdir()) == []


def test_a_lock_that_fails_otherwise_is_an_error(tmp_path, monkeypatch):
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    held = lock.exclusive_lock(tmp_path / "lock", tmp_path, DatasetError)
    with pytest.raises(DatasetError, match="lock cannot be written: Input/output error"), held:
        pass
