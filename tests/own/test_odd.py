"""User-defined classes with unusual signatures, of the wrong kind, or with an error of their own."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clearctl.cli import app
from clearctl.engine.build.preflight import check_config

CODE = Path(__file__).parent / "odd_code.py"
PLUGINS = {
    "'type': 'odd_code:Typed', 'strength': 1, 'layers': [1], 'size': None, 'mode': 'sum', 'other': 1": "",
    "'type': 'odd_code:Typed', 'strength': '1'": "plugins.0.strength: found '1', expected float or int",
    "'type': 'odd_code:Typed', 'strength': True": "plugins.0.strength: found True, expected float or int",
    "'type': 'odd_code:Typed', 'mode': 'max'": "plugins.0.mode: found 'max', expected 'mean' or 'sum'",
    "'type': 'odd_code:Typed', 'layers': 3": "plugins.0.layers: found 3, expected list",
    "'type': 'odd_code:Typed', 'size': 1.5": "plugins.0.size: found 1.5, expected int",
    "'type': 'odd_code:TakesAny', 'x': 1": "",
    "'type': 'odd_code:PassesOn', 'x': 1": "plugins.0: odd_code:PassesOn rejects its arguments",
    "'type': 'odd_code:nothing'": "plugins.0: odd_code:nothing makes a NoneType, expected a plugin",
    "'type': 'odd_code.Typed'": "no plugin is called 'odd_code.Typed'; write 'odd_code:Typed' for a class of your own",
    "'type': 'odd_code.py:Typed'": "module 'odd_code.py' cannot be imported: give the name of the module, 'odd_code'",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a user, which has nothing but the module: it stays on Python's path."""
    folder = tmp_path_factory.mktemp("odd")
    shutil.copy(CODE, folder)
    return folder


@pytest.fixture
def config(tmp_path: Path, features_config: Path, folder: Path) -> Path:
    file = tmp_path / "config.py"
    file.write_text(
        f"_base_ = {str(features_config)!r}\ncustom_imports = dict(imports=[], folders=[{str(folder)!r}])\n"
    )
    return file


@pytest.mark.parametrize("entry", PLUGINS)
def test_plugins(entry: str, config: Path, prepared: Path) -> None:
    faults = check_config(config, dataset_root=prepared, overrides=[f"cl_strategy.plugins=[{{{entry}}}]"]).faults
    assert len(faults) == bool(PLUGINS[entry]), faults
    assert PLUGINS[entry] in "".join(faults)


def test_a_loss_without_a_gradient_is_refused(config: Path, prepared: Path) -> None:
    loss = "cl_strategy.loss={'type': 'odd_code:Detached'}"
    (fault,) = check_config(config, dataset_root=prepared, overrides=[loss]).faults
    assert "no gradient with respect to the scores" in fault


@pytest.mark.parametrize(
    ("plugin", "line", "text"),
    [
        ("Fails", '        raise KeyError("gone")', "KeyError: 'gone'"),
        (
            "TakesNoMore",
            "    def before_training(self, strategy: Any) -> None:",
            "TypeError: TakesNoMore.before_training() got an unexpected keyword argument",
        ),
    ],
)
def test_an_error_of_the_users_own_code_names_its_line_and_is_no_fault_of_clearctl(
    plugin: str, line: str, text: str, config: Path, folder: Path, prepared: Path, tmp_path: Path
) -> None:
    override = f"cl_strategy.plugins=[{{'type': 'odd_code:{plugin}'}}]"
    command = ["train", str(config), "--dataset-root", str(prepared), "--device", "cpu", "--set", override]
    result = CliRunner().invoke(app, [*command, "--set", f"work_dir={tmp_path}"])
    assert result.exit_code == 3
    number = 1 + CODE.read_text().splitlines().index(line)
    assert f"your own code failed: {folder / CODE.name}, line {number}: {text}" in result.stderr
    assert "fault in clearctl" not in result.stderr
