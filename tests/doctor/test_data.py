"""What is said of dataset folders, of the folders that are written to, and of W&B's login."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from clearctl import layout
from clearctl.doctor import data
from clearctl.doctor.data import check_dataset, check_wandb, check_writing, likely_root
from clearctl.doctor.imports import Imported


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(layout.ROOT_VARIABLE, raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)


def test_a_prepared_folder(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = check_dataset(prepared)
    assert (check.state, check.fix) == ("ok", None)
    assert check.found == f"{prepared}: prepared, 3 buckets, features tiny"
    monkeypatch.setattr(data, "write_fault", lambda folder: f"{folder} cannot be written: Read-only file system")
    (check,) = check_dataset(prepared)
    assert check.state == "warning"
    assert "decoded images are kept in memory" in check.found


def test_a_raw_folder_by_option_and_variable(
    clear_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = clear_folder()
    (check,) = check_dataset(root)
    assert (check.state, check.fix) == ("warning", f"clearctl prepare-avalanche --dataset-root {root}")
    monkeypatch.setenv(layout.ROOT_VARIABLE, str(root))
    assert list(check_dataset(None)) == [check]


def test_a_named_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for named in (tmp_path / "nowhere", tmp_path / "empty"):
        (check,) = check_dataset(named)
        assert check.state == "problem"
        assert str(named) in check.found
        assert "\n" not in check.found


def test_the_default_folders(prepared: Path) -> None:
    (check,) = check_dataset(None)
    assert (check.state, check.fix) == ("warning", "clearctl download clear10")
    assert likely_root(None) == Path("dataset/CLEAR-10-PUBLIC")
    shutil.copytree(prepared, "dataset/CLEAR-100-PUBLIC")
    (check,) = check_dataset(None)
    assert check.found.startswith("dataset/CLEAR-100-PUBLIC: prepared")
    assert likely_root(None) == Path("dataset/CLEAR-100-PUBLIC")


def test_writing(tmp_path: Path) -> None:
    hub = Imported("torch", facts={"hub": str(tmp_path / "hub")})
    assert [check.state for check in check_writing(hub)] == ["ok", "ok"]
    (tmp_path / "work_dirs").write_text("")
    (tmp_path / "hub").write_text("")
    assert [check.state for check in check_writing(hub)] == ["warning", "warning"]
    assert [check.state for check in check_writing(Imported("torch", error="broken"))] == ["warning"]


@pytest.mark.parametrize(
    ("wandb", "state", "said"),
    [
        (Imported("wandb", facts={"logged_in": True}), "ok", "logged in"),
        (Imported("wandb", facts={"logged_in": False}), "ok", "kept offline"),
        (Imported("wandb", facts_error="OSError: x"), "warning", "OSError: x"),
        (Imported("wandb", error="broken"), "warning", "cannot be imported"),
    ],
)
def test_login(wandb: Imported, state: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = check_wandb(wandb)
    assert check.state == state
    assert said in check.found
    if wandb.error is None:
        monkeypatch.setenv("WANDB_MODE", "disabled")
        assert [check.found for check in check_wandb(wandb)] == ["$WANDB_MODE is 'disabled'"]
