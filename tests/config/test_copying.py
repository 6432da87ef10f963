"""A copy of a shipped config comes to the same, and can be edited with what it builds on."""

from pathlib import Path

import pytest

from clearctl.config.copying import copy_config
from clearctl.config.load import load
from clearctl.errors import ConfigError, UsageError


@pytest.mark.parametrize("name", ["quickstart", "paper/agem_iid", "fewshot/clear100-5shot/cosine_lwf"])
def test_a_copy_comes_to_the_same(name, tmp_path):
    config, *bases = copy_config(name, tmp_path / "mine")
    assert config == tmp_path / "mine" / f"{name}.py"
    assert load(config).values == load(name).values
    origins = {Path(origin) for origin in map(load(config).origin, load(config).values)}
    assert {Path(*file.parts[len(tmp_path.parts) :]).parts[0] for file in origins} == {"mine"}
    assert len(bases) == {"quickstart": 0}.get(name, len(bases))


def test_an_edited_base_counts(tmp_path):
    config = copy_config("paper/ewc", tmp_path)[0]
    base = tmp_path / "_base_" / "ewc_online.py"
    base.write_text(base.read_text().replace("0.9", "0.7") + "seed = 7\n")
    assert load(config).values["seed"] == 7


def test_again_it_changes_nothing_and_a_file_that_differs_is_kept(tmp_path):
    files = copy_config("demo", tmp_path)
    assert copy_config("demo", tmp_path) == files
    files[-1].write_text("mine = 1\n")
    files[0].unlink()
    with pytest.raises(ConfigError, match=r"already exists and differs from the shipped file\ngive another folder"):
        copy_config("demo", tmp_path)
    assert files[-1].read_text() == "mine = 1\n"
    assert not files[0].exists()


def test_a_file_of_the_users_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine").write_text("a = 1\n")
    with pytest.raises(ConfigError, match="mine: found a file, expected the name of a shipped config"):
        copy_config("mine", tmp_path / "copy")


@pytest.mark.parametrize("name", ["demoo", "_base_/ewc"])
def test_a_name_there_is_not(name, tmp_path):
    with pytest.raises(ConfigError, match="no such config file"):
        copy_config(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_as_the_place_is_refused(tmp_path):
    with pytest.raises(UsageError, match="own.py: expected a folder"):
        copy_config("own_data", tmp_path / "own.py")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["file", "file/below", "/proc/clearctl"])
def test_a_folder_that_cannot_be_written(tmp_path, where):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be read or written: .*\ngive another folder"):
        copy_config("demo", tmp_path / where)


def test_a_folder_in_place_of_a_file_and_bytes_that_are_no_text(tmp_path):
    (tmp_path / "demo.py").mkdir()
    with pytest.raises(UsageError, match="demo.py cannot be read or written"):
        copy_config("demo", tmp_path)
    (tmp_path / "demo.py").rmdir()
    (tmp_path / "demo.py").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="demo.py already exists and differs"):
        copy_config("demo", tmp_path)
