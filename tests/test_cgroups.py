"""What control groups allow, as the kernel's files of version 2 and 1 say it."""

from pathlib import Path

import pytest

from clearctl import cgroups


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the groups, of which this process is in /job/task."""
    (tmp_path / "own").write_text("4:cpu,cpuacct:/job/task\n3:memory:/job/task\n0::/job/task\n")
    monkeypatch.setattr(cgroups, "_CGROUPS", tmp_path)
    monkeypatch.setattr(cgroups, "_OWN", tmp_path / "own")
    return tmp_path


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def test_no_group_has_a_limit(group: Path) -> None:
    write(group / "job" / "task", cpu__max="max 100000", memory__max="max")
    write(group / "cpu" / "job" / "task", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert cgroups.cpu_quota() is None
    assert cgroups.memory_limit_bytes() is None
    assert cgroups.memory_left_bytes() is None


def test_the_least_of_all_groups_counts(group: Path) -> None:
    write(group / "job" / "task", cpu__max="350000 100000", memory__max="4000")
    write(group / "job" / "task", memory__current="1500", memory__stat="anon 1\ninactive_file 500")
    write(group / "job", cpu__max="150000 100000", memory__max="5000")
    write(group / "job", memory__current="4500", memory__stat="inactive_file 0")
    assert cgroups.cpu_quota() == 1.5
    assert cgroups.memory_limit_bytes() == 4000
    assert cgroups.memory_left_bytes() == 500


def test_version_1(group: Path) -> None:
    write(group / "cpu" / "job", cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    write(group / "memory" / "job", memory__limit_in_bytes="3000", memory__usage_in_bytes="1000")
    write(group / "memory" / "job", memory__stat="total_inactive_file 100")
    write(group / "memory", memory__limit_in_bytes=str(2**63 - 4096), memory__usage_in_bytes="9", memory__stat="a 1")
    assert cgroups.cpu_quota() == 2.0
    assert cgroups.memory_limit_bytes() == 3000
    assert cgroups.memory_left_bytes() == 2100


def test_a_system_without_control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "_OWN", tmp_path / "nowhere")
    assert cgroups.cpu_quota() is cgroups.memory_limit_bytes() is cgroups.memory_left_bytes() is None
