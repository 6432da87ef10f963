"""What a command ends with: the next one, which works as it is printed."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from clearctl import layout
from clearctl.cli import app
from clearctl.config.load import load
from clearctl.dataset.prepare import prepare_avalanche

LR = "cl_strategy.optimizer.lr"


def clearctl(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.stderr
    return result


def following(result: Result) -> list[str]:
    """The words of the command in the last line, `clearctl` left out."""
    first, program, *words = shlex.split(result.stdout.splitlines()[-1])
    assert (first, program) == ("next:", "clearctl"), result.stdout
    return words


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no default dataset."""
    monkeypatch.delenv("CLEARCTL_DATASET_ROOT", raising=False)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def spaced(clear_folder: Callable[..., Path]) -> Path:
    return clear_folder("a folder's name")


def test_from_labelled_images_to_a_run(spaced: Path) -> None:
    """Each does what the one before it has named."""
    shown = clearctl("verify", "--dataset-root", spaced)
    words = following(shown)
    assert words == ["prepare-avalanche", "--dataset-root", str(spaced)]
    dry = clearctl(*words, "--dry-run", "--seeds", "0-1")
    assert following(dry) == [*words, "--seeds", "0-1"] or following(dry) == [words[0], "--seeds", "0-1", *words[1:]]
    words = following(clearctl(*following(dry)))
    assert words == ["train", "own_data", "--dataset-root", str(spaced)]
    assert following(clearctl("verify", "--dataset-root", spaced)) == words
    estimated = clearctl(*words, "--device", "cpu", "--dry-run")
    assert following(estimated) == ["train", "own_data", "--device", "cpu", "--dataset-root", str(spaced)]


def test_the_demos_stream_is_trained_with_its_own_config(prepared: Path) -> None:
    assert following(clearctl("verify", "--dataset-root", prepared))[1] == "own_data"
    layout.demo_stamp_file(prepared).touch()
    for words in (["verify"], ["prepare-avalanche"], ["make-fewshot", "--shot", "1"]):
        command = following(clearctl(*words, "--dataset-root", prepared))
        assert command[:4] == ["train", "quickstart", "--dataset-root", str(prepared)]


def test_a_folder_that_is_cut_again_trains(spaced: Path) -> None:
    words = ["rebuild-by-metadata", "--output", "new", "--dataset-root", spaced, "--num-buckets", 2]
    dry = following(clearctl(*words, "--sort-by", "DATE_TAKEN", "--dry-run"))
    assert not Path("new").exists()
    words = following(clearctl(*dry))
    assert words == ["train", "own_data", "--dataset-root", "new"]
    clearctl(*words, "--device", "cpu", "--dry-run")


def test_after_training_figures_are_drawn(prepared: Path, features_config: Path) -> None:
    words = ["train", features_config, "--dataset-root", prepared, "--work-dir", "my runs", "--device", "cpu"]
    trained = clearctl(*words, "--set", "cl_strategy.train_epochs=1")
    command = following(trained)
    (run,) = Path("my runs").iterdir()
    assert command == ["report", str(run), "--figures", "figures"]
    for again in (["resume", run], ["eval", run, "--device", "cpu"]):
        assert following(clearctl(*again)) == command
    assert "accuracy (%)" in clearctl(*command).stdout
    assert list(Path("figures").glob("matrix-*.png"))


def test_a_sweep_is_reported(prepared: Path, features_config: Path) -> None:
    words = ["sweep", features_config, "--seeds", "0", "--set", f"{LR}=0.1,0.2", "--set", "cl_strategy.train_epochs=1"]
    words += ["--dataset-root", prepared, "--work-dir", "my runs", "--device", "cpu", "--jobs", 1]
    dry = following(clearctl(*words, "--dry-run"))
    assert not Path("my runs").exists()
    command = following(clearctl(*dry))
    assert command == ["report", "my runs"]
    assert "lr=0.2" in clearctl(*command).stdout


def test_a_copied_config_is_checked() -> None:
    command = following(clearctl("config", "copy", "paper/ewc", "my configs"))
    assert command == ["config", "check", "my configs/paper/ewc.py"]
    assert following(clearctl(*command)) == ["train", command[-1], "--dry-run"]
    assert load(Path(command[-1])).values["cl_strategy"]


def test_the_folder_is_left_out_where_a_command_finds_it_itself(
    spaced: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_avalanche(spaced)
    default = folder / "dataset/CLEAR-10-PUBLIC"
    default.parent.mkdir()
    default.symlink_to(spaced)
    for root in (spaced, "dataset/CLEAR-10-PUBLIC"):
        assert following(clearctl("verify", "--dataset-root", root)) == ["train", "own_data"]
    assert following(clearctl("verify")) == ["train", "own_data"]
    monkeypatch.setenv("CLEARCTL_DATASET_ROOT", "elsewhere")
    assert following(clearctl("verify", "--dataset-root", default))[2:] == ["--dataset-root", "dataset/CLEAR-10-PUBLIC"]


@pytest.mark.parametrize("option", ["--json", "-q"])
@pytest.mark.parametrize("command", ["verify", "prepare-avalanche", "prepare-avalanche --dry-run", "make-fewshot"])
def test_none_with_json_and_none_where_it_is_quiet(command: str, option: str, spaced: Path) -> None:
    prepare_avalanche(spaced)
    words = [*command.split(), "--dataset-root", spaced]
    assert "next: clearctl" in clearctl(*words).stdout
    assert "next" not in clearctl(*words, option).stdout
