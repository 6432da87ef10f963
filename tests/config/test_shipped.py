"""Shipped configs are found by name; a file of that path wins; a wrong name gets the closest."""

from pathlib import Path

import pytest

from clearctl.config import shipped
from clearctl.config.load import load
from clearctl.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_names_are_those_of_the_repositorys_configs():
    expected = {file.relative_to(CONFIGS).with_suffix("").as_posix() for file in CONFIGS.rglob("*.py")}
    assert set(shipped.names()) == {name for name in expected if not name.startswith("_base_/")}
    assert shipped.names()[:2] == ["demo", "demo_feature"]


@pytest.mark.parametrize("name", ["demo", "demo_feature", "paper/ewc", "fewshot/clear100-5shot/cosine_lwf"])
def test_a_name_is_the_file_with_its_bases(name):
    assert load(name).values == load(CONFIGS / f"{name}.py").values
    assert Path(load(name).file).samefile(CONFIGS / f"{name}.py")


def test_a_file_of_that_path_wins(elsewhere):
    (elsewhere / "demo").write_text("a = 1\n")
    assert shipped.find("demo") == Path("demo")


def test_a_folder_of_that_name_does_not(elsewhere):
    (elsewhere / "demo").mkdir()
    assert shipped.find("demo") == shipped.FOLDER / "demo.py"


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("demoo", "; did you mean 'demo'?"),
        ("paper/ewk", "; did you mean 'paper/ewc', 'paper/lwf' or 'paper/agem'?"),
        ("configs/paper/ewc.py", "; did you mean 'paper/ewc'?"),  # of the README, outside of a checkout
        ("swin_tiny", "; did you mean 'models/swin_tiny'?"),
        ("_base_/ewc_online", ""),  # a part of a config, nothing to run
        ("../demo_feature/x", ""),
    ],
)
def test_a_wrong_name(wrong, hint):
    with pytest.raises(ConfigError) as raised:
        shipped.find(wrong)
    first, second = str(raised.value).splitlines()
    assert first.startswith(f"{Path(wrong)}: no such config file{hint}")
    assert "clearctl config list" in second


def test_a_folder_is_not_called_missing(tmp_path):
    (tmp_path / "labeled_images/1").mkdir(parents=True)
    for folder, what in ((tmp_path, "a dataset folder"), (tmp_path / "labeled_images", "a folder")):
        with pytest.raises(ConfigError, match=f"^{folder} is {what}, not a config file\n"):
            shipped.find(folder)


def test_each_says_in_a_line_what_it_is():
    lines = {name: shipped.describe(name) for name in shipped.names()}
    assert [
        name
        for name, line in lines.items()
        if not 8 < len(line) < 150 or "import" in line or "=" in line[:8] or not line.endswith(".")
    ] == []
    grids = [line for name, line in lines.items() if name.count("/") == 2]
    assert len(grids) == len(set(grids))
