"""Runs that earlier versions stopped are resumed: their state files name classes by the modules they were in then.

The runs in old_runs were made before the packages `engine` and `strategies` were divided into folders, from the
fixtures of `blobs`, and killed in the second epoch of bucket 1.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from clearctl import resume, rundir, train
from clearctl.config.load import dump, load
from clearctl.engine.states import files
from clearctl.progress import Event, Message

pytest_plugins = ("blobs",)

OLD_RUNS = Path(__file__).parent / "old_runs"
NOW = ("clearctl", "python", "packages", "dataset")  # of environment.json: the test is of states, not of other versions


def moved(name: str, run: Path, now: Path) -> Path:
    """A copy of an old run whose config and states name the dataset folder of the run `now`."""
    shutil.copytree(OLD_RUNS / name, run)
    root = load(rundir.config_file(now)).values["scenario"]["dataset_root"]
    config = load(rundir.config_file(run)).values
    config["scenario"]["dataset_root"] = root
    rundir.config_file(run).write_text(dump(config))
    environment = rundir.read_environment(run)
    environment.update({key: rundir.read_environment(now)[key] for key in NOW})
    rundir.environment_file(run).write_text(json.dumps(environment))
    folder = rundir.state_folder(run)
    for key, state in [(key, files.read(folder, key)) for key in files.state_keys(folder)]:
        state["config"]["scenario"]["dataset_root"] = root
        files.write(folder, key, state)  # which removes later ones
    return run


@pytest.mark.parametrize("name", sorted(run.name for run in OLD_RUNS.iterdir()))
@pytest.mark.parametrize("changed", [False, True])
def test_a_run_of_an_earlier_version_is_resumed(
    name: str, changed: bool, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    config = load(OLD_RUNS / name / "config.py").values
    file = write_config(name, **config["cl_strategy"])
    whole = train(file, device="cpu", overrides=(f"loggers={config['loggers']}", f"metrics={config['metrics']}"))
    run = moved(name, tmp_path / "old", whole.run)
    if changed:  # the state is merged with the values of another config, class by class
        config_file = rundir.config_file(run)
        config_file.write_text(config_file.read_text().replace("'eval_mb_size': 16", "'eval_mb_size': 8"))
    said: list[Any] = []

    def listen(event: Event) -> None:
        if isinstance(event, Message):
            said.append(event.text)

    ended = resume(run, accept_changes=changed, listener=listen)

    assert any("in bucket 1, after 1 epoch and 1 step" in text for text in said) is not changed
    assert ended.matrix.tolist() == whole.matrix.tolist()
    resumed, straight = (torch.load(rundir.checkpoint_file(at, 3), weights_only=True) for at in (run, whole.run))
    for key, weights in straight.items():
        # The first bucket was learned on another machine, whose last bits may be others.
        torch.testing.assert_close(resumed[key], weights, rtol=1e-4, atol=1e-5)
