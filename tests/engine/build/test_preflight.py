"""Each file in faulty/ has one fault; its first line is what must be said of it, and no more than that."""

from pathlib import Path

import pytest

from clearctl import layout, prepare_avalanche
from clearctl.data.features import feature_dimension
from clearctl.engine.build.config import open_config
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


WIDTH = "model.head.in_channels='features'"


def test_a_head_takes_its_width_from_the_features(features_config, prepared):
    assert check_config(features_config, dataset_root=prepared, overrides=[WIDTH]).faults == []
    opened = open_config(features_config, overrides=(WIDTH,), dataset_root=prepared)
    assert opened.values["model"]["head"]["in_channels"] == 5
    missing = check_config(features_config, dataset_root=prepared, overrides=[WIDTH, "scenario.feature_type='other'"])
    (fault,) = missing.faults
    assert "scenario.feature_type: no features 'other'" in fault


def test_the_width_of_extracted_features_is_that_of_their_record(features_config, prepared, tmp_path):
    folder = layout.features_folder(tmp_path, "made")
    folder.mkdir(parents=True)
    assert feature_dimension(tmp_path, "made") is None
    layout.extraction_file(tmp_path, "made").write_text('{"dimension": 7}')
    assert feature_dimension(tmp_path, "made") == 7
    assert feature_dimension(prepared, "tiny") == 5


def test_images_have_no_width_of_features():
    file = Path(__file__).parents[2] / "configs" / "tiny.py"
    (fault,) = check_config(file, dataset_root="nowhere", overrides=[WIDTH]).faults
    assert "model.head.in_channels: found 'features', the dimension of scenario.feature_type, which is missing" in fault
