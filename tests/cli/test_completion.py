"""What shells complete, as they ask for it: by the environment for each shell, and by bash itself."""

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clearctl import rundir
from clearctl.cli import app, completion
from clearctl.cli.completion import join_at_equal_signs, plugin_names, run_folders, strategy_names, unfinished_runs
from clearctl.config import shipped
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.errors import CapabilityError

Asked = Callable[..., list[str]]


@pytest.fixture(params=["bash", "zsh", "fish"])
def asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What a shell is answered for the words of a command line, of which the last is being typed."""

    def answers(*words: str) -> list[str]:
        shell = request.param
        monkeypatch.setenv(completion.VARIABLE, f"complete_{shell}")
        if shell == "bash":  # which takes words apart at each =
            parts = [part for word in ("clearctl", *words) for part in _apart(word)]
            monkeypatch.setenv("COMP_WORDS", "\n".join(parts))
            monkeypatch.setenv("COMP_CWORD", str(len(parts) - 1))
        else:
            monkeypatch.setenv("_TYPER_COMPLETE_ARGS", " ".join(["clearctl", *words]))
            monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        with redirect_stdout(io.StringIO()) as written, pytest.raises(SystemExit):
            completion.answer(lambda: app(prog_name="clearctl"))
        before = words[-1].rpartition("=")[0] + "=" if shell == "bash" and "=" in words[-1] else ""
        lines = written.getvalue().removeprefix("_arguments '*: :((").removesuffix("))'\n").splitlines()
        values = [line.split("\t")[0].split('":"')[0].strip('"') for line in lines]
        return [] if values == ["_files"] else [f"{before}{value}" for value in values if value]

    return answers


def _apart(word: str) -> list[str]:
    parts = [part for piece in word.split("=") for part in ("=", piece)][1:]
    return parts[:-1] if len(parts) > 1 and not parts[-1] else parts


def test_commands_and_options(asked: Asked) -> None:
    assert asked("ex") == ["extract-features", "export"]
    assert asked("train", "--prec") == ["--precision"]
    assert asked("list", "st") == ["strategies"]
    assert asked("train", "--device", "cu") == ["cuda"]


def test_configs_that_are_shipped_and_files(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo_mine.py").write_text("")
    (tmp_path / "demo.txt").write_text("")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.py").write_text("")
    assert asked("train", "demo") == ["demo", "demo_feature", "demo_mine.py"]
    assert asked("sweep", "demo", "sub/") == ["sub/a.py"]
    assert asked("config", "copy", "demo_f") == ["demo_feature"]
    assert asked("train", "paper/ew") == [name for name in shipped.names() if name.startswith("paper/ew")]
    assert asked("config", "check", "nothing") == []  # and the shell completes file names


def test_values_of_set(asked: Asked) -> None:
    assert asked("train", "demo", "--set", "cl_strategy.type=Na") == ["cl_strategy.type=Naive"]
    assert asked("train", "demo", "--set", "precision=") == ["precision=fp32", "precision=bf16", "precision=fp16"]
    assert "cl_strategy.train_epochs=" in asked("train", "demo", "--set", "cl_strategy.train_")
    assert asked("sweep", "demo", "--set", "cl_strategy.plugins.0.type=EW") == ["cl_strategy.plugins.0.type=EWCPlugin"]
    assert asked("train", "demo", "--set", "model.head.type=L") == []


def test_names_are_those_that_a_config_may_have() -> None:
    """Of the table, since the classes would take seconds."""
    assert strategy_names() == sorted(CATALOGUE.strategies.classes)
    assert plugin_names() == sorted(CATALOGUE.plugins.classes)


def _run(folder: Path, finished: bool = True) -> str:
    folder.mkdir(parents=True)
    rundir.config_file(folder).write_text("")
    rundir.environment_file(folder).write_text("{}")
    if not finished:
        rundir.state_folder(folder).mkdir()
    return str(folder)


def test_run_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    old = _run(Path("work_dirs/a/20250101-000000-seed0"))
    new = _run(Path("work_dirs/sweep/b/20260101-000000-seed0"), finished=False)
    _run(Path("work_dirs/1/2/3/4/run"))  # too far below
    Path("work_dirs/a/empty").mkdir()
    assert run_folders("") == run_folders("work_d") == [new, old]
    assert run_folders("work_dirs/a") == [old]
    assert unfinished_runs("") == [new]
    elsewhere = _run(tmp_path / "exp" / "run")
    assert run_folders("exp/") == ["exp/run"]
    assert run_folders(f"{tmp_path}/exp/r") == [elsewhere]
    assert run_folders("nowhere/") == []


def test_commands_take_run_folders(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = _run(Path("work_dirs/a/20260101-000000-seed0"), finished=False)
    for command in ("resume", "eval", "report"):
        assert asked(command, "work") == [run]


@pytest.mark.parametrize(
    ("words", "current", "joined", "number"),
    [
        (["c", "--set", "a", "=", "b"], 4, ["c", "--set", "a=b"], 2),
        (["c", "--set", "a", "="], 3, ["c", "--set", "a="], 2),
        (["c", "--set", "=", "a", "=", "b", "x"], 6, ["c", "--set=a=b", "x"], 2),
        (["c", "train", ""], 2, ["c", "train", ""], 2),
    ],
)
def test_words_of_bash(words: list[str], current: int, joined: list[str], number: int) -> None:
    assert join_at_equal_signs(words, current) == (joined, number)


def test_bash_itself(tmp_path: Path) -> None:
    """The script, in the shell; it imports no large library, and answers at once."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    code = (
        "import sys, atexit\n"
        "from clearctl.__main__ import main\n"
        "atexit.register(lambda: open('modules', 'a').write(' '.join(sys.modules) + '\\n'))\n"
        "sys.argv[0] = 'clearctl'\n"
        "main()\n"
    )
    (tmp_path / "clearctl").write_text(f"#!{sys.executable}\n{code}")
    (tmp_path / "clearctl").chmod(0o755)
    script = (
        'eval "$(clearctl --show-completion)"\n'
        "COMP_WORDS=(clearctl train demo --set cl_strategy.type = Na); COMP_CWORD=6\n"
        "_clearctl_completion clearctl; echo ${COMPREPLY[@]}\n"
        "COMP_WORDS=(clearctl train quick); COMP_CWORD=2\n"
        "_clearctl_completion clearctl; echo ${COMPREPLY[@]}\n"
    )
    (tmp_path / "script.sh").write_text(script)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    ended = subprocess.run(
        [bash, "--norc", "script.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines() == ["Naive", "quickstart quickstart_feature quickstart_lite0 quickstart_online"], (
        ended.stderr
    )
    loaded = set((tmp_path / "modules").read_text().split())
    assert "clearctl" in loaded
    assert not loaded & {
        "torch",
        "torchvision",
        "avalanche",
        "mmcv",
        "mmcls",
        "sklearn",
        "matplotlib",
    }  # torch._dynamo is deferred


def test_installing_for_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(completion, "_shell", lambda: "bash")
    answer = CliRunner().invoke(app, ["--install-completion"])
    assert answer.exit_code == 0, answer.stderr
    file = tmp_path / ".bash_completions" / "clearctl.sh"
    assert file.read_text() == CliRunner().invoke(app, ["--show-completion"]).stdout.rstrip("\n")
    assert str(file) in (tmp_path / ".bashrc").read_text()
    assert f"bash completion is in {file}" in answer.stdout
    file.unlink()
    file.mkdir()
    answer = CliRunner().invoke(app, ["--install-completion"])
    assert answer.exit_code == CapabilityError.exit_code
    assert f"{file}: completion cannot be installed there" in answer.stderr


def test_a_shell_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("nu", "/usr/bin/nu"))
    answer = CliRunner().invoke(app, ["--show-completion"])
    assert answer.exit_code == CapabilityError.exit_code
    assert answer.stderr.startswith("error: the shell is nu: expected one of bash, zsh, fish")
