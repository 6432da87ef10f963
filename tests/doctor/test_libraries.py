"""What is said of each library, by how its import went."""

import importlib.metadata
import re
from pathlib import Path

import pytest

from clearctl.doctor import libraries
from clearctl.doctor.checks import Check
from clearctl.doctor.imports import Imported
from clearctl.doctor.libraries import ENTRY, Library

ROOT = Path(__file__).parents[2]


def checks(*known: Library, **imported: Imported) -> dict[str, Check]:
    """By their names; of the modules that are not given, the import worked."""
    modules = {library.module: Imported(library.module) for library in known} | {ENTRY: Imported(ENTRY)}
    answers = modules | {one.module: one for one in imported.values()}
    return {check.name: check for check in libraries.check_libraries(known, answers)}


def test_the_ranges_are_those_of_the_project() -> None:
    """Those that pyproject names are all checked, with the range that it has."""
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.search(r"\ndependencies = \[(.*?)\]", text, re.DOTALL)[1]
    known = {f"{library.name}{library.range}" for library in libraries.libraries()}
    assert set(re.findall(r'"([^"]+)"', listed)) <= known
    assert {"torch", "mmcv", "mmcls", "avalanche-lib"} <= {library.name for library in libraries.libraries()}


def test_a_version_out_of_its_range() -> None:
    torch, wandb = Library("torch", ">=900"), Library("wandb", ">=900")
    found = checks(torch, wandb)
    assert found["torch"].state == "problem"
    assert found["torch"].found == f"{importlib.metadata.version('torch')}: expected >=900"
    assert found["torch"].fix == "pip install 'torch>=900'"
    assert found["wandb"].state == "warning"
    assert "needed for the logger WandBLogger" in found["wandb"].found


def test_mmcv_of_another_package_counts() -> None:
    """mmcv-full brings the same module."""
    library = Library("mmcv", ">=1.7.2,<2")
    assert checks(library, mmcv=Imported("mmcv", version="1.7.2"))["mmcv"].state == "ok"


def test_opencv_that_lacks_a_library_of_the_system() -> None:
    """Which no other mmcv would change."""
    error = "its import raises ImportError: libGL.so.1: cannot open shared object file: No such file or directory"
    assert "libgl1" in checks(Library("mmcv"), mmcv=Imported("mmcv", error=error))["mmcv"].fix


@pytest.mark.parametrize(
    "error", ["its import raises OSError: libc10.so: undefined symbol", "its import ends Python (9)"]
)
def test_a_broken_library(error: str) -> None:
    found = checks(Library("mmcv", "<2"), mmcv=Imported("mmcv", error=error), entry=Imported(ENTRY, error=error))
    assert found["mmcv"].state == "problem"
    assert error in found["mmcv"].found
    assert found["mmcv"].fix == "clearctl doctor --fix"
    assert found["training"].state == "problem"


def test_what_only_lacks_another_is_not_to_be_fixed_itself() -> None:
    lacks = {"error": "its import raises ModuleNotFoundError: No module named 'torch'", "missing": "torch"}
    found = checks(
        Library("torch"),
        Library("torchvision"),
        torch=Imported("torch", **lacks),
        torchvision=Imported("torchvision", **lacks),
        entry=Imported(ENTRY, **lacks),
    )
    assert found["torchvision"].found.endswith("its import needs torch, see that line")
    assert found["torchvision"].fix is None
    assert found["training"].found == "`clearctl train` cannot start: see the lines above"


def test_libraries_that_do_not_go_together() -> None:
    found = checks(Library("torch"), entry=Imported(ENTRY, error="its import raises ImportError: no such name"))
    assert found["torch"].state == "ok"
    assert found["training"].state == "problem"
    assert "no such name" in found["training"].found


def test_clearctl_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a copied folder: nothing is known of its libraries' versions, and all that training needs is tried."""

    def metadata(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "metadata", metadata)
    monkeypatch.setattr(importlib.metadata, "requires", metadata)
    assert [check.state for check in libraries.check_clearctl()] == ["warning"]
    assert {library.name for library in libraries.libraries()} == set(libraries.TRAINING)
    assert [check.state for check in libraries.check_python()] == ["ok", "ok"]
