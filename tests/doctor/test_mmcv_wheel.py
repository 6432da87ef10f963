"""mmcv's wheel: cached, checked, and a line that says why it cannot be built. `make install` builds it for real."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from clearctl.doctor import mmcv_wheel
from clearctl.doctor.mmcv_wheel import SITECUSTOMIZE, WHEEL, build_wheel, cache_folder, is_whole
from clearctl.errors import CapabilityError

PYTHON = Path(sys.executable)
ROOT = Path(__file__).parents[2]
PYTHONS = [str(PYTHON), *filter(None, map(shutil.which, ("python3.10", "python3.12", "python3.13", "python3.14")))]
# What mmcv's setup.py does in get_version(), and what must stay as it is.
SETUP = """
at_module = 1
exec("at_module = 2")
assert at_module == 2

def get_version():
    exec(compile("__version__ = '1.7.2'", "version.py", "exec"))
    return locals()["__version__"]

assert get_version() == "1.7.2"

def given():
    own = {}
    exec("x = 3", own)
    exec("y = 4", {}, own)
    return own["x"], own["y"], "x" in locals()

assert given() == (3, 4, False)

class Body:
    exec("z = 5")

assert Body.z == 5
print("fine")
"""


def write_wheel(cache: Path, version: str = "1.7.2") -> Path:
    cache.mkdir(exist_ok=True)
    with zipfile.ZipFile(cache / WHEEL, "w") as archive:
        archive.writestr("mmcv/__init__.py", "x = 1\n" * 100)
        archive.writestr("mmcv-1.7.2.dist-info/METADATA", f"Metadata-Version: 2.1\nName: mmcv\nVersion: {version}\n")
    return cache / WHEEL


@pytest.fixture
def no_index(monkeypatch):
    """A package index that refuses every connection: nothing listens on port 9 of this machine."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        if name != "PIP_CONFIG_FILE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).name)
def test_exec_in_a_function_defines_names_under_every_python(python):
    done = subprocess.run([python, "-S", "-c", SITECUSTOMIZE + SETUP], capture_output=True, text=True)
    if "pyenv" in done.stderr or done.returncode == 127:
        pytest.skip(f"{python} is a name without a Python behind it")
    assert done.stdout == "fine\n", done.stderr


def test_a_whole_wheel_is_taken_and_nothing_is_built(tmp_path):
    wheel = write_wheel(tmp_path)
    assert build_wheel(Path("/no/such/python"), tmp_path) == wheel
    assert is_whole(wheel)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "version", "missing"])
def test_a_broken_wheel_is_not_whole(tmp_path, damage):
    wheel = write_wheel(tmp_path, "1.7.1" if damage == "version" else "1.7.2")
    content = wheel.read_bytes()
    flipped = content.replace(b"x = 1\n", b"x = 2\n", 1)
    contents = {"cut": content[:-40], "flipped": flipped, "empty": b"", "text": b"<html>not found</html>"}
    wheel.write_bytes(contents.get(damage, content))
    if damage == "missing":
        wheel.unlink()
    assert not is_whole(wheel)


def test_a_broken_wheel_is_built_again(tmp_path, monkeypatch):
    (tmp_path / WHEEL).write_bytes(b"PK")
    monkeypatch.setattr(mmcv_wheel, "_build", lambda python, scratch: write_wheel(scratch))
    assert is_whole(build_wheel(PYTHON, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [WHEEL]


def test_without_a_network_it_says_so_and_leaves_nothing(tmp_path, no_index, monkeypatch):
    def make_environment(python: Path, environment: Path, what: str) -> None:  # with this one's pip, in no time
        (environment / "bin").mkdir(parents=True)
        (environment / "bin" / "python").write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
        (environment / "bin" / "python").chmod(0o755)

    monkeypatch.setattr(mmcv_wheel, "_make_environment", make_environment)
    with pytest.raises(CapabilityError) as raised:
        build_wheel(PYTHON, tmp_path)
    first, second = str(raised.value).splitlines()
    assert first.startswith("mmcv 1.7.2 could not be built: ")
    assert "no package index is reachable" in second
    assert "docs/install.md" in second
    assert list(tmp_path.iterdir()) == []


def test_without_the_venv_module(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{PYTHON}" -c "import no_such_module"\n')
    python.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CapabilityError, match=r"has no venv module\n.*apt install python3-venv"):
        build_wheel(python, tmp_path / "cache")


def test_without_a_python(tmp_path):
    with pytest.raises(CapabilityError, match=r"no-python: cannot be run: No such file"):
        build_wheel(tmp_path / "no-python", tmp_path / "cache")


def test_a_cache_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CapabilityError, match=r"file: .*\nset XDG_CACHE_HOME to a writable folder"):
        build_wheel(PYTHON, tmp_path / "file")


def test_an_environment_that_cannot_be_written(monkeypatch):
    monkeypatch.setattr(mmcv_wheel.sysconfig, "get_path", lambda name: "/no/such/site-packages")
    with pytest.raises(CapabilityError, match=r"no write access.*\n.*python3 -m venv DIR"):
        mmcv_wheel.install(print)


def test_an_environment_without_an_installer(monkeypatch):
    monkeypatch.setattr(mmcv_wheel.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CapabilityError, match=r"has no pip, and uv is not on the PATH.*\nrun .* -m ensurepip"):
        mmcv_wheel.install(print)


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("ERROR: a\nERROR: [Errno 28] No space left on device\n", "[Errno 28] No space left on device"),
        ("error: Failed to fetch\n  Caused by: dns error\n", "Failed to fetch\nno package index is reachable"),
        ("Killed\n", "Killed"),
        ("", "no error message"),
    ],
)
def test_what_is_said_of_a_failure(printed, said):
    assert mmcv_wheel._reason(printed).startswith(said)


def test_the_cache_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "clearctl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "clearctl"


def test_it_runs_before_anything_is_installed(tmp_path):
    """As the Makefile runs it; -S leaves out every installed package."""
    wheel = write_wheel(tmp_path)
    command = [PYTHON, "-S", "-m", "clearctl.doctor.mmcv_wheel", "--cache", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == (f"{wheel}\n", "", 0)
    (tmp_path / "file").write_text("")
    command[-1] = tmp_path / "file"
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 6
    assert done.stderr.splitlines()[-1] == "set XDG_CACHE_HOME to a writable folder"


INSTALL = "import sys; sys.path.insert(0, sys.argv[1]); from clearctl.doctor.mmcv_wheel import install; install(print)"


@pytest.mark.slow
def test_a_damaged_mmcv_is_replaced(tmp_path, no_index, monkeypatch):
    """By a real pip, in an environment of its own: of the same version, which pip alone would leave as it is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    wheel = write_wheel(cache_folder())
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("mmcv-1.7.2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("mmcv-1.7.2.dist-info/RECORD", "")
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    shutil.copytree(Path(find_spec("pip").origin).parent, packages / "pip")
    command = [environment / "bin" / "python", "-c", INSTALL, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    file = packages / "mmcv" / "__init__.py"
    whole = file.read_text()
    file.write_text("raise ImportError")
    subprocess.run(command, check=True, capture_output=True)
    assert file.read_text() == whole
