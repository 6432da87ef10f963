"""`clearctl doctor`, on this machine and where libraries are missing or break as they are imported."""

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from clearctl.cli import app
from clearctl.cli.console import output
from clearctl.cli.streams import ResultConsole
from clearctl.doctor.checks import Section, ok, problem, warning
from clearctl.doctor.diagnose import Diagnosis
from clearctl.errors import CapabilityError

# Without these nothing that is large can be imported, so that a test takes a second.
BROKEN = {
    "torch": "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')",
    "wandb": "import sys; sys.exit(1)",
    "sklearn": "import os; os._exit(9)",
    "quadprog": "raise ImportError('libgfortran.so.5: cannot open shared object file')",
    "scipy": "raise ImportError",
    "matplotlib": "raise ImportError",
}


def clearctl(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


def by_name(result: Result) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in json.loads(result.stdout)["checks"]}


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A folder that comes first on the path, with packages whose code is given."""

    def make(**packages: str) -> Path:
        for name, text in packages.items():
            (tmp_path / "first" / name).mkdir(parents=True)
            (tmp_path / "first" / name / "__init__.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path / "first")
        return tmp_path / "first"

    monkeypatch.chdir(tmp_path)
    return make


@pytest.mark.slow
def test_a_machine_that_can_train(prepared: Path) -> None:
    """This one, or no other test would pass."""
    result = clearctl("doctor", "--json", "--dataset-root", prepared)
    assert result.exit_code == 0, result.stdout
    answer = json.loads(result.stdout)
    assert answer["can_train"]
    assert (answer["fixed"], answer["fix_failed"]) == ([], None)
    found = by_name(result)
    for name in ("torch", "mmcv", "avalanche-lib", "training", "dataset"):
        assert found[name]["state"] == "ok", found[name]
    assert {check["section"] for check in found.values()} >= {"Python and libraries", "Device", "Machine"}


def test_libraries_that_are_missing_or_break(broken: Callable[..., Path]) -> None:
    broken(**BROKEN)
    result = clearctl("doctor")
    assert result.exit_code == CapabilityError.exit_code
    lines = {line.split()[1]: line for line in result.stdout.splitlines() if line.startswith("  ")}
    assert lines["torch"].split()[0] == "problem"
    assert "pip install" in lines["torch"]
    assert "its import needs torch, see that line" in lines["torchvision"]
    assert lines["wandb"].split()[0] == lines["scikit-learn"].split()[0] == lines["quadprog"].split()[0] == "warning"
    assert "its import calls sys.exit(1) (needed for the logger WandBLogger)" in lines["wandb"]
    assert "its import ends Python (exit code 9)" in lines["scikit-learn"]
    assert "libgfortran.so.5: cannot open" in lines["quadprog"]
    assert lines["training"].split()[0] == "problem"
    assert lines["device"].split()[0] == "warning"
    assert result.stdout.splitlines()[-1].startswith("not ready: ")
    assert "Traceback" not in result.stdout + result.stderr


def test_a_dataset_folder_that_is_not_there(broken: Callable[..., Path]) -> None:
    broken(**BROKEN)
    result = clearctl("doctor", "--json", "--dataset-root", "nowhere")
    assert result.exit_code == CapabilityError.exit_code
    assert by_name(result)["dataset"]["state"] == "problem"
    assert "no dataset folder at nowhere" in by_name(result)["dataset"]["found"]


def test_fix_looks_again(broken: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of building a wheel, which tests/doctor/test_mmcv_wheel.py does, the broken mmcv is removed."""
    folder = broken(mmcv="raise ImportError('broken')", **BROKEN)
    before = by_name(clearctl("doctor", "--json"))["mmcv"]
    assert (before["state"], before["fix"]) == ("problem", "clearctl doctor --fix")
    assert "ImportError: broken" in before["found"]

    def repair(listener: Any) -> None:
        shutil.rmtree(folder / "mmcv")

    monkeypatch.setattr("clearctl.doctor.mmcv_wheel.install", repair)
    result = clearctl("doctor", "--fix", "--json")
    assert json.loads(result.stdout)["fixed"] == ["built and installed mmcv's wheel"]
    assert "ImportError: broken" not in by_name(result)["mmcv"]["found"]


def test_a_fix_that_fails(broken: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    broken(mmcv="raise ImportError('broken')", **BROKEN)

    def refuse(listener: Any) -> None:
        raise CapabilityError("pypi.org cannot be reached")

    monkeypatch.setattr("clearctl.doctor.mmcv_wheel.install", refuse)
    result = clearctl("doctor", "--fix")
    assert result.exit_code == CapabilityError.exit_code
    assert "not fixed: pypi.org cannot be reached" in result.stdout


def test_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further lines of a check begin under its first, and the fix has a line of its own."""
    file = io.StringIO()
    console = ResultConsole(
        file=file, force_terminal=True, width=80, color_system=None, soft_wrap=True, highlight=False
    )
    monkeypatch.setattr(output, "stdout", console)
    checks = (
        ok("python", "3.11"),
        problem("a longer name", "word " * 20, "pip install it"),
        ok("ray", "not installed", "pip install ray"),
        warning("disk", "full"),
    )
    sys.modules["clearctl.cli.doctor"]._print(Diagnosis((Section("Title", checks),)), [], None, False)
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80
    indent = " " * 26
    assert lines[:3] == [
        "Title",
        "  ok       python         3.11",
        f"  problem  a longer name  {'word ' * 10}word".rstrip(),
    ]
    assert lines[3].startswith(f"{indent}word")
    assert lines[4] == f"{indent}fix: pip install it"
    assert f"{indent}if needed: pip install ray" in lines
    assert lines[-1] == "not ready: 1 problem, 1 warning"
