"""mmcv 1.7.2 as a wheel: built once per user from the package index's own source archive, and cached.

The index has no wheel of it, and its setup.py fails today in two ways: it imports `pkg_resources`, which setuptools 82
removed, and from Python 3.13 on (PEP 667) it does not find what its `exec` defined. So it is built in a throw-away
virtual environment with an older setuptools, and with an `exec` that works as before. The wheel is pure Python and
serves every Python. Only the standard library is used: `make install` runs this before anything is installed, as
`python -m clearctl.doctor.mmcv_wheel`, which prints the wheel's path.
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clearctl.errors import CapabilityError

if TYPE_CHECKING:
    from clearctl.progress import Listener

VERSION = "1.7.2"
WHEEL = f"mmcv-{VERSION}-py2.py3-none-any.whl"
BUILD_TOOLS = ("setuptools<81", "wheel")
# Seconds for each call of pip; the build takes ten on an ordinary machine.
TIMEOUT_S = 600.0
# Python imports a module of this name at its start. Names that `exec` defines inside a function go to the function's
# `locals()`, as it did before Python 3.13; everywhere else `exec` is unchanged.
SITECUSTOMIZE = """\
import builtins
import sys

CO_OPTIMIZED = 1  # the code of a function, not of a module or a class
plain_exec = builtins.exec


def exec(source, globals=None, locals=None, /, **options):
    frame = sys._getframe(1)
    if globals is not None or locals is not None:
        return plain_exec(source, frame.f_globals if globals is None else globals, locals, **options)
    if not frame.f_code.co_flags & CO_OPTIMIZED:
        return plain_exec(source, frame.f_globals, frame.f_locals, **options)
    names = dict(frame.f_locals)
    plain_exec(source, frame.f_globals, names, **options)
    frame.f_locals.update(names)


builtins.exec = exec
"""


def cache_folder() -> Path:
    """The folder of the user's wheel: `$XDG_CACHE_HOME/clearctl`, else `~/.cache/clearctl`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clearctl"


def build_wheel(python: Path, cache: Path) -> Path:
    """mmcv's wheel in the folder `cache`: an existing intact one, else built with the interpreter `python`.

    Raises CapabilityError if it cannot be built, or if `cache` cannot be written.
    """
    wheel = cache / WHEEL
    if is_whole(wheel):
        return wheel
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".build-") as scratch:
            built = _build(python, Path(scratch))
            built.replace(wheel)  # a rename within one folder: whole, or not there
    except OSError as error:
        raise CapabilityError(
            f"{cache}: mmcv's wheel cannot be stored there: {error.strerror or error}\n"
            "set XDG_CACHE_HOME to a writable folder"
        ) from error
    return wheel


def is_whole(wheel: Path) -> bool:
    """Whether `wheel` exists with correct checksums and is of this version of mmcv."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            metadata = archive.read(f"mmcv-{VERSION}.dist-info/METADATA").decode()
            archive.getinfo("mmcv/__init__.py")
            return archive.testzip() is None and f"\nVersion: {VERSION}\n" in metadata
    except (OSError, EOFError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error):  # any damage
        return False


def install(listener: "Listener") -> None:
    """Install mmcv into the running environment, with pip, or with uv if there is no pip.

    Raises CapabilityError if the environment cannot be written, has no installer, or the wheel cannot be built.
    """
    from clearctl.progress import Message

    installer = _installer()
    listener(Message(f"mmcv {VERSION}: building its wheel, or using the one in {cache_folder()}"))
    wheel = build_wheel(Path(sys.executable), cache_folder())
    listener(Message(f"installing {wheel.name} into {sys.prefix}"))
    was_there = importlib.util.find_spec("mmcv") is not None
    what = f"mmcv {VERSION} could not be installed into {sys.prefix}"
    _run([*installer, str(wheel)], what)  # with what it depends on
    if was_there:  # pip leaves alone what is installed of the same version, also where its files are damaged
        _run([*installer, "--force-reinstall", "--no-deps", str(wheel)], what)
    importlib.invalidate_caches()


def _installer() -> list[str]:
    """The command that installs into the running environment what is named after it."""
    packages = Path(sysconfig.get_path("purelib"))
    if not os.access(packages, os.W_OK):
        raise CapabilityError(
            f"{packages}: no write access, so mmcv cannot be installed there\n"
            "install clearctl into your own virtual environment: python3 -m venv DIR"
        )
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    raise CapabilityError(
        f"{sys.prefix} has no pip, and uv is not on the PATH, so mmcv cannot be installed\n"
        f"run {sys.executable} -m ensurepip, or install uv, and try again"
    )


def _build(python: Path, scratch: Path) -> Path:
    """Build the wheel below the folder `scratch`, and return its path there."""
    what = f"mmcv {VERSION} could not be built"
    environment = scratch / "venv"
    _make_environment(python, environment, what)
    pip = [str(environment / "bin" / "python"), "-m", "pip"]
    quietly = ["--quiet", "--disable-pip-version-check", "--retries", "2"]
    _run([*pip, "install", *quietly, *BUILD_TOOLS], what)
    hook = scratch / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(SITECUSTOMIZE)
    options = ["--no-build-isolation", "--no-deps", "--no-cache-dir", "--wheel-dir", str(scratch)]
    # Another value of the second variable would make its setup.py compile CUDA code.
    variables = {"PYTHONPATH": str(hook), "MMCV_WITH_OPS": "0"}
    _run([*pip, "wheel", *quietly, *options, f"mmcv=={VERSION}"], what, variables)
    wheel = scratch / WHEEL
    if not is_whole(wheel):
        found = ", ".join(sorted(path.name for path in scratch.glob("*.whl"))) or "no wheel"
        raise CapabilityError(f"{what}: expected {WHEEL}, found {found}")
    return wheel


def _make_environment(python: Path, environment: Path, what: str) -> None:
    """A virtual environment with pip, by `venv`, or by uv where Python came without it (Debian's, say)."""
    if _has_venv(python):
        _run([str(python), "-m", "venv", str(environment)], what)
        return
    uv = shutil.which("uv")
    if uv is None:
        raise CapabilityError(
            f"{what}: {python} has no venv module\ninstall it (Debian, Ubuntu: apt install python3-venv), or uv"
        )
    _run([uv, "venv", "--quiet", "--seed", "--python", str(python), str(environment)], what)


def _has_venv(python: Path) -> bool:
    try:
        done = subprocess.run([python, "-c", "import ensurepip, venv"], capture_output=True)
    except OSError as error:
        raise CapabilityError(
            f"{python}: cannot be run: {error.strerror}\ngive the python of an environment"
        ) from error
    return not done.returncode


def _run(command: Sequence[str], what: str, variables: dict[str, str] | None = None) -> None:
    """Run `command`. Raises CapabilityError that starts with `what` and says in a line why, and what to do."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(
            command, env={**inherited, **(variables or {})}, capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise CapabilityError(f"{what}: no answer from the package index in {TIMEOUT_S:.0f} s") from error
    if done.returncode:
        raise CapabilityError(f"{what}: {_reason(done.stdout + done.stderr)}")


def _reason(printed: str) -> str:
    """The reason for a failure in the output of pip, uv or venv: its error line, and the remedy if it is known."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "fatal", "× "))]
    last = (errors or lines or ["no error message"])[-1]
    text = last.partition(": ")[2] if last.lower().startswith("error: ") else last
    if any(sign in printed for sign in _NO_INDEX):
        return (
            f"{text[:200]}\nno package index is reachable: use a wheelhouse, as docs/install.md says (PIP_FIND_LINKS)"
        )
    return text[:300]


_NO_INDEX = ("No matching distribution found", "Failed to establish", "dns error", "No solution found")


def main() -> None:
    """Print the path of the wheel; what is printed before it goes to stderr."""
    parser = argparse.ArgumentParser(prog="python -m clearctl.doctor.mmcv_wheel", description=main.__doc__)
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="the interpreter that builds it")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="the folder to store it in")
    arguments = parser.parse_args()
    if not is_whole(arguments.cache / WHEEL):
        print(f"building mmcv {VERSION}'s wheel in {arguments.cache}: half a minute, once", file=sys.stderr)
    try:
        print(build_wheel(arguments.python, arguments.cache))
    except CapabilityError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
