"""Cores, memory and disks: of this machine, and of one where there is less."""

import os
from pathlib import Path

import pytest

from clearctl.doctor import machine
from clearctl.doctor.machine import check_cores, check_disks, check_memory, check_shared_memory, write_fault


def test_less_time_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 64)
    monkeypatch.setattr(machine, "cpu_quota", lambda: 2.5)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (check,) = check_cores()
    assert (check.state, check.fix) == ("warning", "export OMP_NUM_THREADS=2")
    assert "limited to 2.5" in check.found
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert [check.state for check in check_cores()] == ["ok"]
    monkeypatch.setattr(machine, "cpu_quota", lambda: None)
    assert [check.state for check in check_cores()] == ["ok"]


def test_memory_and_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = check_memory()
    assert " available of " in check.found
    monkeypatch.setattr(machine, "memory_limit_bytes", lambda: 1_500_000_000)
    monkeypatch.setattr(machine, "available_bytes", lambda: 1_200_000_000)
    (check,) = check_memory()
    assert check.state == "warning"
    assert "limited to 1.5 GB by the control group" in check.found


def test_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "LEAST_DISK_BYTES", 0)
    assert [check.state for check in check_disks(tmp_path / "not" / "there")] == ["ok"] * 3
    monkeypatch.setattr(machine, "LEAST_DISK_BYTES", 1 << 60)  # more than any disk has
    assert [check.state for check in check_disks(tmp_path)] == ["warning"] * 3
    monkeypatch.setattr(machine, "LEAST_SHARED_BYTES", 1 << 60)
    monkeypatch.setattr(machine, "SHARED", tmp_path)
    assert [check.state for check in check_shared_memory()] == ["warning"]
    monkeypatch.setattr(machine, "SHARED", tmp_path / "none")  # as on macOS
    assert list(check_shared_memory()) == []


def test_writing_is_tried_and_leaves_nothing(tmp_path: Path) -> None:
    assert write_fault(tmp_path / "not" / "there") is None
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").write_text("")
    assert write_fault(tmp_path / "file" / "below") == f"{tmp_path}/file is a file"
    fault = write_fault(Path("/proc"))  # where not even root can
    assert fault is not None
    assert fault.startswith("/proc cannot be written: ")


def test_home_is_shown_as_a_shell_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert machine.shown(tmp_path) == "~"
    assert machine.shown(tmp_path / "a") == "~/a"
    assert machine.shown(Path("/usr")) == "/usr"
