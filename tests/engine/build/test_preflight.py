"""Each file in faulty/ has one fault; its first line is what must be said of it, and no more than that."""

from pathlib import Path

import pytest

from clearctl import prepare_avalanche
from clearctl.engine.build.preflight import check_config

FAULTY = sorted((Path(__file__).parent / "faulty").glob("*.py"))
UNREADABLE = {"raises", "syntax", "no_base"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    from conftest import make_clear_folder

    root = make_clear_folder(tmp_path_factory.mktemp("preflight") / "clear")
    prepare_avalanche(root, seeds=(0, 1))
    return root


@pytest.mark.parametrize("file", FAULTY, ids=lambda file: file.stem)
def test_the_one_fault_is_named(file, root, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])
    expected = file.read_text().splitlines()[0].removeprefix("# ").replace("{root}", str(root))
    faults = check_config(file, dataset_root=root).faults
    separator = ", " if expected.startswith("line ") else ": "
    name = file.relative_to(Path.cwd()) if file.stem in UNREADABLE - {"no_base"} else file
    assert faults == [f"{name}{separator}{expected}"]


def test_a_right_config_has_no_fault(root):
    result = check_config(Path(__file__).parents[2] / "configs" / "tiny.py", dataset_root=root)
    assert (result.faults, result.dataset_found) == ([], True)


def test_without_a_dataset_only_the_config_is_checked(tmp_path):
    file = Path(__file__).parent / "faulty" / "no_such_split.py"
    result = check_config(file, dataset_root=tmp_path / "nowhere")
    assert (result.faults, result.dataset_found) == ([], False)


def test_a_folder_that_is_not_prepared_is_a_fault(clear_folder):
    file = Path(__file__).parents[2] / "configs" / "tiny.py"
    (fault,) = check_config(file, dataset_root=clear_folder()).faults
    assert "is not prepared" in fault
    assert "prepare-avalanche" in fault
