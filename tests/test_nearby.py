"""Which file is meant by one that is not there."""

import os
from pathlib import Path

import pytest

from clearctl.nearby import closest, nearby_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "away/from/other/tests"  # whose folders have files of these names too
    for name in (
        "configs/_base_/naive.py",
        "configs/_base_/synaptic_intelligence.py",
        "configs/_base_/reservoir.md",
        "configs/clear10/moco/naive.py",
        "configs/clear10/moco/replay.py",
        "configs/demo.py",
        ".hidden/secret.py",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    monkeypatch.chdir(root)
    return root


@pytest.mark.parametrize(
    ("missing", "meant"),
    [
        ("configs/_base_/synaptic_inteligence.py", "configs/_base_/synaptic_intelligence.py"),
        ("configs/_base_/Naive.py", "configs/_base_/naive.py"),
        ("configs/_bass_/naive.py", "configs/_base_/naive.py"),  # the same name in a folder beside
        ("configs/clear10/_base_/naive.py", "configs/_base_/naive.py"),  # one level too few
        (
            "configs/clear10/moco/_base_/naive.py",
            "configs/_base_/naive.py",
        ),  # not moco/naive.py
        ("configs/replays.py", None),
        ("configs/naive.py", "configs/_base_/naive.py"),  # a folder left out
        ("configs/clear10/moco/demo.py", "configs/demo.py"),
        ("demo.py", "configs/demo.py"),
        ("configs/demos.json", None),  # another suffix
        ("configs/_base_/reservoir.py", None),
        ("secret.py", None),  # only a hidden folder has it
        ("configs/_base_/lwf.py", None),
    ],
)
def test_what_is_meant(missing: str, meant: str | None, folder: Path) -> None:
    expected = f"; did you mean {meant!r}?" if meant else ""
    if os.path.exists(missing):
        pytest.skip("this file system knows no case")
    assert nearby_file(Path(missing)) == expected
    absolute = f"; did you mean {str(folder / meant)!r}?" if meant else ""
    assert nearby_file(folder / missing) == absolute


def test_shown_as_the_file_that_names_it_would(folder: Path) -> None:
    missing = Path("configs/clear10/_base_/naive.py")
    assert nearby_file(missing, seen_from=Path("configs/clear10/moco")) == "; did you mean '../../_base_/naive.py'?"


def test_a_file_is_never_meant_by_itself(folder: Path) -> None:
    assert nearby_file(Path("configs/demos.py"), but=[folder / "configs/demo.py"]) == ""


def test_nothing_is_raised(tmp_path: Path) -> None:
    assert nearby_file(tmp_path / "no/such/folder/x.py") == ""
    assert nearby_file(Path("/x.py")) == ""
    assert nearby_file(tmp_path / "a\0b.py") == ""


def test_the_closest_name_whatever_its_case() -> None:
    assert closest("replai", ["Naive", "Replay"]) == "; did you mean 'Replay'?"
    assert closest("LinearHead", {"Naive", "Replay"}) == ""
