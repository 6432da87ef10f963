"""A run folder is data, which somebody else may have made: `eval` and `resume` run nothing that lies in it."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from clearctl import evaluate, resume, rundir
from clearctl.config.load import dump
from clearctl.errors import ConfigError, RunError

COMMANDS = (evaluate, resume)


@pytest.fixture
def run(trained: Any, tmp_path: Path) -> Path:
    """A copy of a run that is not finished, whose config a test may change."""
    folder = tmp_path / "runs" / "run"
    shutil.copytree(trained.run, folder)
    rundir.matrix_file(folder).unlink()
    return folder


CODE = [
    "import os\nos.mkdir({made!r})\n",
    "x = __import__('os').mkdir({made!r})\n",
    "x = [print(1) for os in [__import__('os')] for _ in [os.mkdir({made!r})]]\n",
    "_base_ = [{base!r}]\n",
]


@pytest.mark.parametrize("code", CODE)
@pytest.mark.parametrize("command", COMMANDS)
def test_code_in_the_config_of_a_run(command: Any, code: str, run: Path, tmp_path: Path) -> None:
    made, base = tmp_path / "made", tmp_path / "base.py"
    base.write_text(CODE[0].format(made=str(made)))
    config = rundir.config_file(run)
    config.write_text(config.read_text() + code.format(made=str(made), base=str(base)))
    with pytest.raises(RunError, match="config.py is damaged"):
        command(run)
    assert not made.exists()


@pytest.mark.parametrize("folders", [None, ["."], ["{run}"], ["{run}/code"], ["{run}/../run"]])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_module_in_a_run_folder(
    command: Any, folders: list[str] | None, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "lies_in_run"
    for place in (run, run / "code"):
        place.mkdir(exist_ok=True)
        (place / f"{module}.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'made')!r})\n")
    values = rundir.read_config(run)
    values["custom_imports"] = {"imports": [module]}
    if folders is not None:
        values["custom_imports"]["folders"] = [folder.format(run=run) for folder in folders]
    rundir.config_file(run).write_text(dump(values))
    monkeypatch.chdir(run)
    monkeypatch.syspath_prepend("")  # as `python -m clearctl` does: the current folder
    with pytest.raises(ConfigError, match=f"custom_imports.imports.0: .*{module}.* is in a run folder, from which no"):
        command(run)
    assert not (tmp_path / "made").exists()
    assert module not in sys.modules
    assert str(run) not in sys.path
    assert os.getcwd() == str(run)
