"""Classes of a user's own, in a file outside of the package: checked, trained, killed, resumed, swept and reported."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from clearctl import evaluate, make_report, resume, rundir, train
from clearctl.config.load import load
from clearctl.engine.build.preflight import check_config
from clearctl.errors import ConfigError, RunError, Stopped
from clearctl.progress import BucketDone, Event
from clearctl.sweep.plan import make_plan
from clearctl.sweep.sweep import SweepPlan, run_sweep

M = "user_code"
OPTIMIZER = "cl_strategy.optimizer={'type': 'SGD', 'lr': 0.1, 'momentum': 0.9}"
ON_FEATURES = {
    "plugin": [f"cl_strategy.plugins=[{{'type': '{M}:Anchor', 'strength': 0.5}}]", OPTIMIZER],
    "plugin with state_dict": [f"cl_strategy.plugins=[{{'type': '{M}:Fading'}}]", OPTIMIZER],
    "strategy": [f"cl_strategy.type={M}:Noisy", "cl_strategy.noise=0.1", OPTIMIZER],
    "buffer": ["cl_strategy.type=Replay", f"cl_strategy.buffer={{'type': '{M}:FirstBuffer', 'max_size': 12}}"],
    "loss": [f"cl_strategy.loss={{'type': '{M}:Focus', 'power': 2.0}}"],
    "optimizer": [f"cl_strategy.optimizer={{'type': '{M}:SignDescent', 'lr': 0.1}}"],
    "scheduler": [f"cl_strategy.scheduler={{'type': '{M}:Halving', 'floor': 0.01}}"],
    "metric": [f"metrics=[{{'type': '{M}:Largest'}}]"],
    "head on features": [
        f"model={{'head': {{'type': '{M}:TwoLayers', 'width': 5, 'classes': 3}}}}",
    ],
    "logger": ["metrics=[{'type': 'loss_metrics', 'epoch': True}]", f"loggers=[{{'type': '{M}:Lines'}}]"],
}
NET = "'head': {'type': 'LinearClsHead', 'num_classes': 3, 'in_channels': 8}"
ON_IMAGES = {
    "backbone": [f"model={{'backbone': {{'type': '{M}:Tiny', 'width': 8}}, {NET}}}"],
    "neck and head": [
        f"model={{'backbone': {{'type': '{M}:Tiny', 'width': 4}}, 'neck': {{'type': '{M}:Double'}},"
        f" 'head': {{'type': '{M}:TwoLayers', 'width': 8, 'classes': 3}}}}"
    ],
    "whole network": [f"model={{'torchmodel': {{'type': '{M}:Whole', 'classes': 3}}}}"],
    "function": [f"model={{'backbone': {{'type': '{M}:wider', 'width': 4}}, {NET}}}"],
    "registered backbone": [
        f"model={{'backbone': {{'type': 'RegisteredTiny', 'width': 8}}, {NET}}}",
        f"custom_imports={{'imports': ['{M}'], 'allow_failed_imports': False}}",
    ],
    "transform": [
        f"scenario.train_transform=[{{'type': '{M}:Invert', 'chance': 0.3}}, {{'type': 'ToTensor'}}]",
    ],
}
CASES = {**ON_FEATURES, **ON_IMAGES}

Files = dict[str, Path]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, features_config: Path, tiny_config: Path) -> Files:
    """Configs of features and of images, beside a module of the user's own."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(Path(__file__).parent / "user_code.py", folder / f"{M}.py")
    shutil.copy(features_config, folder / "features.py")
    shutil.copy(tiny_config, folder / "images.py")
    return {"features": folder / "features.py", "images": folder / "images.py", "module": folder / f"{M}.py"}


def config_of(files: Files, name: str) -> Path:
    return files["features" if name in ON_FEATURES else "images"]


@pytest.fixture
def both(files: Files, prepared: Path, tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """(the run that never stopped, the one that was stopped after its first bucket and resumed)."""

    def go(name: str) -> tuple[Path, Path]:
        def stop(event: Event) -> None:
            if isinstance(event, BucketDone) and event.bucket_number == 1:
                os.kill(os.getpid(), signal.SIGTERM)

        arguments: dict[str, Any] = dict(device="cpu", dataset_root=prepared, overrides=CASES[name])
        straight = train(config_of(files, name), work_dir=tmp_path / "straight", **arguments).run
        with pytest.raises(Stopped):
            train(config_of(files, name), work_dir=tmp_path / "stopped", listener=stop, **arguments)
        (stopped,) = (tmp_path / "stopped").iterdir()
        assert resume(stopped).run == stopped.resolve()
        return straight, stopped

    return go


@pytest.mark.parametrize("name", CASES)
def test_it_is_checked_trained_stopped_and_resumed_exactly(name: str, files: Files, prepared: Path, both) -> None:
    assert check_config(config_of(files, name), overrides=CASES[name], dataset_root=prepared).faults == []
    straight, stopped = both(name)
    for file in rundir.checkpoints(straight).values():
        ours, theirs = (torch.load(run / "checkpoints" / file.name, weights_only=True) for run in (stopped, straight))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert rundir.read_matrix(straight)[0].tolist() == rundir.read_matrix(stopped)[0].tolist()
    found, expected = (json.loads(rundir.eval_file(run).read_text()) for run in (stopped, straight))
    assert found == expected
    assert list(rundir.read_environment(straight)["code"]) == [M]
    if name in ("backbone", "plugin"):
        assert evaluate(straight, device="cpu").rows == rundir.read_matrix(straight)[0].tolist()


def test_it_does_something(files: Files, prepared: Path, tmp_path: Path) -> None:
    def matrix(*overrides: str) -> Any:
        arguments: dict[str, Any] = dict(device="cpu", dataset_root=prepared, work_dir=tmp_path / "runs")
        result = train(files["features"], overrides=list(overrides), **arguments)
        return torch.load(rundir.checkpoint_file(result.run, 3), weights_only=True)["head.fc.weight"]

    plain = matrix(OPTIMIZER)
    for name in ("plugin", "plugin with state_dict", "strategy", "loss", "optimizer", "scheduler"):
        assert not torch.equal(matrix(*CASES[name]), plain), name


def test_it_works_in_sweeps_and_reports(files: Files, prepared: Path, tmp_path: Path) -> None:
    grid = {"cl_strategy.plugins": [f"[{{'type':'{M}:Anchor'}}]"]}
    plan = make_plan([files["features"]], seeds=[0, 1], grid=grid, work_dir=tmp_path, dataset_root=prepared)
    result = run_sweep(SweepPlan(plan, 2, "cpu"))
    assert [outcome.status for outcome in result.outcomes] == ["finished", "finished"], result.outcomes
    [group] = make_report(tmp_path)
    assert len(group.counted) == 2
    again = make_plan([files["features"]], seeds=[0, 1], grid=grid, work_dir=tmp_path, dataset_root=prepared)
    assert [run.state for run in again] == ["finished", "finished"]
    text = files["module"].read_text()
    try:
        files["module"].write_text(text + "\n# changed\n")
        again = make_plan([files["features"]], seeds=[0], grid=grid, work_dir=tmp_path, dataset_root=prepared)
        assert again[0].state == "new"
        assert f"module {M} changed since" in again[0].changed
    finally:
        files["module"].write_text(text)


def test_resume_says_that_the_users_file_has_changed(files: Files, prepared: Path, tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, BucketDone) and event.bucket_number == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    arguments: dict[str, Any] = dict(device="cpu", dataset_root=prepared, work_dir=tmp_path)
    with pytest.raises(Stopped):
        train(files["features"], overrides=CASES["plugin"], listener=stop, **arguments)
    [run] = tmp_path.iterdir()
    text = files["module"].read_text()
    try:
        files["module"].write_text(text + "\n# changed\n")
        with pytest.raises(RunError, match=f"code: module {M} has changed"):
            resume(run)
        resume(run, accept_changes=True)
    finally:
        files["module"].write_text(text)
    assert rundir.read_environment(run)["resumed"][0]["accepted"] == [f"code: module {M} has changed"]


WRONG = {
    "cl_strategy.plugins=[{'type': 'nowhere:Anchor'}]": (
        "cl_strategy.plugins.0.type: module 'nowhere' cannot be imported: it is not installed, and not"
    ),
    f"cl_strategy.plugins=[{{'type': '{M}:Anchr'}}]": f"module '{M}' has no 'Anchr'; did you mean 'Anchor'?",
    f"cl_strategy.plugins=[{{'type': '{M}:NOT_A_CLASS'}}]": f"'{M}:NOT_A_CLASS' is a int, expected a class",
    f"cl_strategy.plugins=[{{'type': '{M}:Noisy'}}]": (
        f"'{M}:Noisy' is not a plugin: expected a subclass of avalanche's BasePlugin"
    ),
    f"cl_strategy.type={M}:Anchor": f"'{M}:Anchor' is not a strategy: expected a subclass of avalanche's",
    f"cl_strategy.plugins=[{{'type': '{M}:Anchor', 'strenth': 1.0}}]": (
        f"cl_strategy.plugins.0.strenth: {M}:Anchor has no argument 'strenth'; did you mean 'strength'?"
    ),
    f"cl_strategy.plugins=[{{'type': '{M}:Anchor', 'strength': 'much'}}]": "found 'much', expected float or int",
    "cl_strategy.plugins=[{'type': 'a b:C'}]": "found 'a b', expected the name of a module",
    "cl_strategy.plugins=[{'type': 'broken:C'}]": "broken.py, line 2: ZeroDivisionError: division by zero",
    "cl_strategy.plugins=[{'type': 'unfinished:C'}]": "unfinished.py, line 1: SyntaxError",
    "custom_imports={'imports': ['nowhere']}": "custom_imports.imports.0: module 'nowhere' cannot be imported",
    "custom_imports={'import': ['nowhere']}": "custom_imports.import: custom_imports has no such key; did you mean",
    "custom_imports={'imports': ['json', 'needs_nowhere']}": "needs_nowhere.py, line 1: ModuleNotFoundError: No module",
    "custom_imports={'imports': ['calendar']}": "calendar.py is hidden by another module 'calendar'",
}


@pytest.mark.parametrize("override", WRONG)
def test_what_cannot_be_had_is_a_fault_of_the_config(override: str, files: Files, tmp_path: Path) -> None:
    folder = files["features"].parent
    (folder / "broken.py").write_text("x = 1\ny = x / 0\n")
    (folder / "unfinished.py").write_text("def f(:\n")
    (folder / "needs_nowhere.py").write_text("import nowhere_else\n")
    (folder / "calendar.py").write_text("")
    try:
        with pytest.raises(ConfigError) as caught:
            train(files["features"], overrides=[override], work_dir=tmp_path / "runs", dataset_root=tmp_path)
        assert WRONG[override] in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
    finally:
        (folder / "calendar.py").unlink()
    assert not (tmp_path / "runs").exists()


def test_what_no_state_can_hold_is_named_before_training(files: Files, prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        train(
            files["features"],
            overrides=[f"cl_strategy.plugins=[{{'type': '{M}:Unsaveable'}}]"],
            dataset_root=prepared,
            work_dir=tmp_path / "runs",
            device="cpu",
        )
    first, second = str(caught.value).splitlines()
    assert first.endswith(".handle is a builtins.memoryview")
    assert second == "name its module in custom_imports, or give it state_dict() and load_state_dict()"


def test_a_registry_that_a_config_imports_is_not_its_fault(files: Files, tmp_path: Path) -> None:
    config = files["images"].with_name("registering.py")
    config.write_text("_base_ = ['images.py']\nfrom mmcls.models import BACKBONES\n")
    assert "BACKBONES" not in load(config).values


def test_a_module_beside_a_base(files: Files, prepared: Path, tmp_path: Path) -> None:
    base = files["features"].with_name("base.py")
    base.write_text(f"_base_ = ['features.py']\ncl_strategy = dict(plugins=[dict(type='{M}:Anchor')])\n")
    (tmp_path / "config.py").write_text(f"_base_ = [{str(base)!r}]\n")
    result = train(tmp_path / "config.py", device="cpu", dataset_root=prepared, work_dir=tmp_path / "runs")
    found = rundir.read_config(result.run)["custom_imports"]
    assert found == {"imports": [M], "folders": [str(base.parent.resolve())]}
    assert resume(result.run).run == result.run


def test_a_folder_beside_the_config_never_hides_what_is_installed(files: Files) -> None:
    check_config(files["features"], overrides=CASES["plugin"])
    assert str(files["features"].parent.resolve()) in sys.path[1:]
