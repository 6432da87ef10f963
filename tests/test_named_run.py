"""What a path is that stands where a run folder or a config is expected."""

from collections.abc import Callable
from pathlib import Path

import pytest

from clearctl.errors import RunError
from clearctl.named_run import folder_as_config, require_run


def make_run(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("config.py", "environment.json"):
        (folder / name).touch()
    return folder


def refusal(path: Path) -> str:
    with pytest.raises(RunError) as refused:
        require_run(path)
    return str(refused.value)


def test_a_run_is_accepted_and_nothing_else(tmp_path: Path, clear_folder: Callable[..., Path]) -> None:
    require_run(make_run(tmp_path / "run"))
    assert refusal(tmp_path / "none") == f"no run folder at {tmp_path / 'none'}: found nothing"
    assert refusal(tmp_path / "run/config.py") == f"no run folder at {tmp_path / 'run/config.py'}: found a file"
    (tmp_path / "empty").mkdir()
    text = "is not a run folder: it has no config.py and environment.json"
    assert refusal(tmp_path / "empty") == f"{tmp_path / 'empty'} {text}"
    dataset = clear_folder()
    assert refusal(dataset) == f"{dataset} {text}\nit is a dataset folder, which commands take as --dataset-root DIR"


def test_runs_below_are_named(tmp_path: Path) -> None:
    make_run(tmp_path / "naive/seed0")
    make_run(tmp_path / "alone")
    make_run(tmp_path / "a/b/too-deep")
    assert refusal(tmp_path).splitlines()[1] == "give one of the runs in it: alone, naive/seed0"


def test_what_a_folder_is_that_was_given_as_a_config(tmp_path: Path, clear_folder: Callable[..., Path]) -> None:
    run, dataset = make_run(tmp_path / "run"), clear_folder()
    assert folder_as_config(run) == (
        f"{run} is a run folder, not a config file\nits config is {run}/config.py; `clearctl resume {run}` continues it"
    )
    assert folder_as_config(dataset) == (
        f"{dataset} is a dataset folder, not a config file\ngive it as --dataset-root {dataset}"
    )
    assert folder_as_config(tmp_path).splitlines()[0] == f"{tmp_path} is a folder, not a config file"
