"""What is not missed where it is not used is never a warning, and says how it is installed."""

import importlib.metadata
from pathlib import Path

import pytest

from clearctl.doctor.optional import check_packages, check_programs


def test_nothing_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    monkeypatch.setattr("sys.path", [])
    checks = [*check_packages(), *check_programs()]
    assert [check.name for check in checks] == [
        "ray",
        "optuna",
        "timm",
        "open_clip_torch",
        "mlflow-skinny",
        "playwright",
        "Chromium",
        "TeX",
    ]
    assert {check.state for check in checks} == {"ok"}
    assert all(check.fix for check in checks)


def test_what_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("chromium", "pdflatex"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {check.name: check for check in [*check_packages(), *check_programs()]}
    assert found["Chromium"].found == str(tmp_path / "chromium")
    assert found["TeX"].found == str(tmp_path / "pdflatex")
    assert found["ray"].found == importlib.metadata.version("ray")
    assert found["ray"].fix is None
