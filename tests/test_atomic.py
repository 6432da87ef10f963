"""Files are whole or not there, whatever stops the writing."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from clearctl.atomic import remove_stale, remove_temporary, replacing, write_bytes, write_json, write_text, write_with

REPOSITORY = Path(__file__).parents[1]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_make_folders_and_leave_no_temporary_file(tmp_path):
    write_bytes(tmp_path / "a/b/bytes", b"\0\r\n")
    write_text(tmp_path / "text", "é\r\n")
    write_json(tmp_path / "json", {"a": [1]})
    write_with(tmp_path / "with", lambda path: path.write_bytes(b"x"))
    assert (tmp_path / "a/b/bytes").read_bytes() == b"\0\r\n"
    assert (tmp_path / "text").read_bytes() == "é\r\n".encode()
    assert json.loads((tmp_path / "json").read_text()) == {"a": [1]}
    assert (tmp_path / "with").read_bytes() == b"x"
    assert names(tmp_path) == ["a", "json", "text", "with"]
    assert names(tmp_path / "a/b") == ["bytes"]


def test_old_file_stays_until_the_end(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_exception_in_the_middle_leaves_the_old_content(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")

    def half(temporary: Path) -> None:
        temporary.write_text("ne")
        raise error

    with pytest.raises(error):
        write_with(path, half)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_exception_in_the_middle_of_a_new_file_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "file", object())
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "file") as temporary:
        temporary.write_text("x" * (1 // 0))
    assert names(tmp_path) == []


def test_target_that_is_a_folder(tmp_path):
    (tmp_path / "file/inside").mkdir(parents=True)
    with pytest.raises(OSError, match="file"):
        write_text(tmp_path / "file", "x")
    assert names(tmp_path) == ["file"]


def test_parent_that_is_a_file(tmp_path):
    (tmp_path / "parent").write_text("here")
    with pytest.raises(OSError, match="parent"):
        write_text(tmp_path / "parent/file", "x")
    assert (tmp_path / "parent").read_text() == "here"


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `program` in a Python of its own."""
    command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=300, check=False)


def test_disk_full_leaves_the_old_content(tmp_path):
    """A limit on the size of files stands in for a full disk: the write itself fails halfway."""
    path = tmp_path / "file"
    path.write_text("old")
    program = """
        import resource, sys
        from pathlib import Path
        from clearctl.atomic import write_bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        write_bytes(Path(sys.argv[1]), bytes(5000))
    """
    done = run(program, str(path))
    assert "File too large" in done.stderr
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_kill_in_the_middle_leaves_the_old_content(tmp_path):
    """Nothing can remove the temporary file then; the target is what counts, and the next write works."""
    path = tmp_path / "file"
    path.write_text("old")
    program = """
        import os, signal, sys
        from pathlib import Path
        from clearctl.atomic import replacing
        with replacing(Path(sys.argv[1])) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert run(program, str(path)).returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_permissions_follow_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "file", "x")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode


LEFT = [".0a1b.images.x1y2z3_4.tmp", ".0a1b.images.fresh_00.tmp", "0a1b.images", ".other.tmp", ".0a1b.images.tmp"]


def leave(folder: Path) -> None:
    """Two files of killed writers, the second written a moment ago, and three that are not."""
    for name in LEFT:
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (0, time.time() - (0 if "fresh" in name else 7200)))


def test_what_killed_processes_were_writing_is_removed(tmp_path):
    leave(tmp_path)
    (tmp_path / ".other.x1y2z3_4.tmp").write_bytes(b"half")
    remove_temporary(tmp_path, tmp_path / "missing", name="other")
    assert names(tmp_path) == sorted(LEFT)
    remove_temporary(tmp_path)
    assert names(tmp_path) == sorted(LEFT[2:])


def test_what_replacing_leaves_when_it_is_killed_is_known(tmp_path):
    with replacing(tmp_path / "file") as temporary:
        remove_temporary(tmp_path, name="file")
        assert not temporary.exists()
        temporary.write_text("new")


def test_where_nothing_is_locked_only_stale_files_are_removed(tmp_path):
    leave(tmp_path)
    (tmp_path / ".demo.x1y2z3_4.tmp/in").mkdir(parents=True)
    os.utime(tmp_path / ".demo.x1y2z3_4.tmp", (0, time.time() - 7200))
    remove_stale(tmp_path, "demo")
    assert names(tmp_path) == sorted(LEFT)
    remove_stale(tmp_path)
    assert names(tmp_path) == sorted(LEFT[1:])


def test_what_is_stale_goes_by_the_clock_of_the_files(tmp_path, monkeypatch):
    """A host whose own clock is ahead leaves alone what another builds at this moment."""
    leave(tmp_path)
    monkeypatch.setattr(time, "time", lambda: os.stat(tmp_path).st_mtime + 7200)
    remove_stale(tmp_path)
    assert names(tmp_path) == sorted(LEFT[1:])
