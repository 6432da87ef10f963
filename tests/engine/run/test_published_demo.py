"""`clearctl train configs/demo.py` as the README gives it, but on a CPU, for an epoch, on a few small images."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clearctl import prepare_avalanche, rundir
from clearctl.cli import app

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_the_published_demo_runs(clear_folder, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    names = ("BACKGROUND", *(f"class {number}" for number in range(10)))
    root = clear_folder(buckets=("0", "1"), classes=names, images=1, size_px=64)
    prepare_avalanche(root, test_ratio=0)
    overrides = [f"scenario.dataset_root={root}", "cl_strategy.train_epochs=1", "data.workers=0"]
    for transform in ("train_transform", "eval_transform"):  # Resize, and the crop
        overrides += [f"scenario.{transform}.{step}.size=64" for step in (0, 1)]
    arguments = ["train", ROOT / "configs" / "demo.py", "--device", "cpu", "--work-dir", tmp_path / "runs", "--json"]
    for override in overrides:
        arguments += ["--set", override]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.stderr
    run = Path(json.loads(result.stdout)["run"])
    assert result.stderr.count("kept offline") == 1  # W&B has no login here: said once
    assert "`wandb sync " in result.stderr
    assert list((run / "wandb").glob("offline-run-*/run-*.wandb"))
    assert "Top1_Acc_Exp/eval_phase" in rundir.log_file(run).read_text()
    assert sorted(rundir.checkpoints(run)) == [1, 2]
