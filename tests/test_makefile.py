"""`make install` refuses in one line what it cannot use, and does nothing where all is up to date."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def checkout(tmp_path):
    """A folder with the Makefile and a Python without the venv module."""
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("")
    python = tmp_path / "no-venv"
    python.write_text(f'#!/bin/sh\ncase "$2" in *venv*) exit 1;; esac\nexec "{sys.executable}" "$@"\n')
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\nexit 1\n")
    for script in (python, old):
        script.chmod(0o755)
    return tmp_path


def make(folder, *arguments):
    return subprocess.run(["make", "-C", folder, *arguments], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["PYTHON="], "no Python 3.10 to 3.13 is on the PATH: make PYTHON=/path/to/python3 install"),
        (["PYTHON=./old"], "./old: expected Python 3.10 to 3.13"),
        (["PYTHON=./no-venv"], "./no-venv has no venv module: install it (Debian, Ubuntu: apt install python3-venv)"),
        (["TORCH=cpu"], "TORCH=cpu: expected TORCH=cpu with TORCH_INDEX=URL, an index that has CPU wheels of torch"),
        (["TORCH=rocm", "TORCH_INDEX=x"], "TORCH=rocm: expected TORCH=cpu with TORCH_INDEX=URL"),
    ],
)
def test_what_it_cannot_use_is_refused_in_a_line(checkout, arguments, said):
    done = make(checkout, "install", *arguments)
    first, *rest = done.stderr.splitlines()
    assert first.startswith(said)
    assert [line for line in rest if not line.startswith("make")] == []
    assert done.returncode == 2
    assert not (checkout / ".venv").exists()


def test_the_quick_tests_are_those_of_folders_that_are_there():
    """A folder that is moved would be left out, and a test that trains for long would be in."""
    (line,) = (line for line in make(ROOT, "-n", "test-quick").stdout.splitlines() if "/pytest " in line)
    words = shlex.split(line)
    patterns = [word for word in words if word.startswith("tests/")]
    assert all(list(ROOT.glob(pattern)) for pattern in patterns)
    assert {"tests/config", "tests/dataset", "tests/docs", "tests/report"} <= set(patterns)
    assert words[words.index("-m") + 1] == "not slow and not process"


def test_a_broken_link_fails_the_site():
    """With --quiet mkdocs 1.6 counts no warnings, so that --strict passes whatever the pages say."""
    (line,) = (line for line in make(ROOT, "-n", "site").stdout.splitlines() if "mkdocs build" in line)
    assert "--strict" in line
    assert "--quiet" not in line
    assert "-q" not in shlex.split(line)


def test_nothing_is_installed_again(checkout):
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / ".installed").write_text("")
    (checkout / ".venv" / "bin" / "clearctl").write_text("#!/bin/sh\necho $1\n")
    (checkout / ".venv" / "bin" / "clearctl").chmod(0o755)
    assert "demo\n" in make(checkout, "demo", "PYTHON=").stdout
