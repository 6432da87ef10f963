"""Checks Python, clearctl and its libraries: versions against pyproject's ranges, and whether each can be imported."""

import importlib.metadata
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from clearctl.doctor.checks import Check, ok, problem, warning
from clearctl.doctor.imports import Imported
from clearctl.mmcv_needed import OPENCV
from clearctl.version import __version__

# The packages that `clearctl train` needs, with the module whose import shows that each works.
TRAINING = {
    "numpy": "numpy",
    "pillow": "PIL",
    "torch": "torch",
    "torchvision": "torchvision",
    "mmcv": "mmcv",
    "mmcls": "mmcls.models",
    "avalanche-lib": "avalanche.training",
}
MODULES = {**TRAINING, "scikit-learn": "sklearn"}  # of the others it has the distribution's name
USES = {
    "wandb": "the logger WandBLogger",
    "scikit-learn": "`clearctl demo`",
    "torchmetrics": "the metrics of calibration",
    "scipy": "some of Avalanche's metrics",
    "quadprog": "the strategy GEM",
    "requests": "`clearctl download`",
    "urllib3": "`clearctl download`",
    "safetensors": "`clearctl export`, and weights in .safetensors files",
    "jinja2": "reports as HTML",
    "matplotlib": "figures of reports",
}
# The module that `clearctl train` imports: it shows that clearctl and the libraries are compatible.
ENTRY = "clearctl.engine.run.train"
MMCV = "mmcv"
FIX_MMCV = "clearctl doctor --fix"
SHARED_OBJECT = "cannot open shared object file"  # of the system, which OpenCV lacks


@dataclass(frozen=True)
class Library:
    """A distribution that clearctl depends on. `range` is that of pyproject, such as ">=2.11"; empty if unknown."""

    name: str
    range: str = ""

    @property
    def module(self) -> str:
        """The module whose import is tried."""
        return MODULES.get(self.name, self.name)

    @property
    def requirement(self) -> str:
        """As a shell hands it to pip."""
        return f"'{self.name}{self.range}'" if self.range else self.name


def libraries() -> list[Library]:
    """The libraries that the installed clearctl's metadata require, and at least those that training needs."""
    ranges = dict.fromkeys(TRAINING, "")
    with_extras = [*_requirements(extras=False), *_requirements(extras=True)]
    for name, accepted, is_extra in with_extras:
        if not is_extra or ranges.get(name) == "":
            ranges[name] = accepted
    # An import of one imports others: first what those stand on, so that a fault is named where it is.
    return [Library(name, accepted) for name, accepted in ranges.items()]


def range_of(name: str) -> str:
    """The range of an optional library in the installed clearctl's metadata; empty if that does not say."""
    return next((accepted for found, accepted, _ in _requirements(extras=True) if found == name), "")


def _requirements(*, extras: bool) -> Iterator[tuple[str, str, bool]]:
    """(name, range, whether only an extra wants it) of each requirement that holds here."""
    try:
        from packaging.requirements import InvalidRequirement, Requirement

        texts = importlib.metadata.requires("clearctl") or []
    except Exception:  # no `packaging`, or clearctl is not installed: `check_clearctl` says so
        return
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        is_extra = "extra" in str(requirement.marker or "")
        here = requirement.marker is None or is_extra or requirement.marker.evaluate()
        if here and extras == is_extra:
            yield requirement.name.lower(), _in_order(str(requirement.specifier)), is_extra


def _in_order(specifier: str) -> str:
    """`>=1.7.2,<2`: the lower bound first, as in pyproject."""
    return ",".join(sorted(specifier.split(","), key=lambda part: part.startswith("<")))


def check_python() -> Iterator[Check]:
    """The interpreter and the system."""
    version = platform.python_version()
    accepted = _metadata("Requires-Python")
    if accepted and not _is_in(version, accepted):
        yield warning("python", f"{version}, but clearctl is tested on {accepted}: {sys.executable}")
    else:
        yield ok("python", f"{version}, {sys.executable}")
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    if find_spec("fcntl") is None:
        yield problem("platform", f"{system}: clearctl needs the file locks of Linux or macOS", "use WSL on Windows")
    else:
        yield ok("platform", system)


def check_clearctl() -> Iterator[Check]:
    """clearctl's own version, and whether its metadata can be read."""
    installed = _metadata("Version")
    if installed is None:
        found = f"{__version__}, not installed: the version ranges of its libraries are unknown"
        yield warning("clearctl", found, f"{installer()} install .")
    elif installed != __version__:
        found = f"{__version__}, installed as {installed}: the version ranges are those of that version"
        yield warning("clearctl", found, f"{installer()} install .")
    elif find_spec("packaging") is None:
        found = f"{__version__}; versions are not compared: packaging is not installed"
        yield warning("clearctl", found, f"{installer()} install packaging")
    else:
        yield ok("clearctl", __version__)


def check_libraries(known: Iterable[Library], imported: Mapping[str, Imported]) -> Iterator[Check]:
    """A line for each library, and one for clearctl on top of them."""
    known = list(known)
    broken = {library.module.partition(".")[0] for library in known if imported[library.module].error}
    checks = [_check(library, imported[library.module], broken) for library in known]
    yield from checks
    entry = imported[ENTRY]
    if entry.error is None:
        yield ok("training", "everything that `clearctl train` needs can be imported")
    elif entry.missing in broken or any(check.state == "problem" for check in checks):
        yield problem("training", "`clearctl train` cannot start: see the lines above")
    else:
        yield problem("training", f"`clearctl train` cannot start: {entry.error}")


def _check(library: Library, imported: Imported, broken: set[str]) -> Check:
    installed = _version(library.name) or imported.version or ""
    use = USES.get(library.name)
    fails = warning if use else problem
    needs = f" (needed for {use})" if use else ""
    top = library.module.partition(".")[0]
    missing = (imported.missing or "").partition(".")[0]
    if imported.error is None:
        if installed and library.range and not _is_in(installed, library.range):
            found = f"{installed}: expected {library.range}"
            return fails(library.name, found + needs, _fix(library))
        return ok(library.name, installed or "can be imported")
    if missing == top and not _version(library.name):
        return fails(library.name, f"not installed{needs}", _fix(library))
    if missing in broken - {top}:
        return fails(library.name, f"{installed}: its import needs {missing}, see that line{needs}".lstrip(": "))
    fix = OPENCV if SHARED_OBJECT in imported.error and library.name == MMCV else _fix(library, again=True)
    return fails(library.name, f"{installed}: {imported.error}{needs}".lstrip(": "), fix)


def _fix(library: Library, *, again: bool = False) -> str:
    if library.name == MMCV:
        return FIX_MMCV
    return f"{installer()} install {_again(again)}{library.requirement}"


def _again(wanted: bool) -> str:
    if not wanted:
        return ""
    return "--force-reinstall " if find_spec("pip") else "--reinstall "


def installer() -> str:
    """`pip`, or `uv pip` in an environment that uv made without pip."""
    return "pip" if find_spec("pip") else "uv pip"


def _is_in(version: str, accepted: str) -> bool:
    """Whether `version` is in the range `accepted`; True if that cannot be found out."""
    try:
        from packaging.specifiers import SpecifierSet

        return SpecifierSet(accepted).contains(version, prereleases=True)
    except Exception:  # no `packaging`, or a version that is none
        return True


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except Exception:  # not installed, or its metadata are damaged
        return None


def _metadata(field: str) -> Any:
    try:
        return importlib.metadata.metadata("clearctl")[field]
    except Exception:  # not installed, or the metadata are damaged
        return None
