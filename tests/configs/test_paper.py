"""The grid of the papers, from `make paper-table` to the table."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import torch
from conftest import make_clear_folder
from warm import run_warm

from clearctl import prepare_avalanche
from clearctl.layout import features_file, filelist_file, read_filelist

ROOT = Path(__file__).parents[2]
STRATEGIES = ("A-GEM", "Biased reservoir", "Cumulative", "EWC", "LwF", "Naive", "Replay", "Reservoir", "SI")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three buckets with 11 classes of 4 images, and features of 2,048 numbers."""
    root = make_clear_folder(tmp_path / "with space", classes=[f"class {i}" for i in range(11)], images=4)
    prepare_avalanche(root, seeds=[0, 1])
    for bucket in ("0", "1", "2"):
        labels = [label for _, label in read_filelist(filelist_file(root, bucket))]
        file = features_file(root, "made", bucket)
        file.parent.mkdir(parents=True)
        torch.save((torch.randn(len(labels), 2048), labels), file)
    return root


@pytest.mark.slow
def test_the_grid_is_one_command(dataset: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper"
    variables = [f"DATASET={dataset}", f"PAPER={paper}", "FEATURES=made", "SEEDS=0-1"]
    variables.append("SWEEP=--set cl_strategy.train_epochs=1 --device cpu")
    recipe = subprocess.run(
        ["make", "-n", "-C", str(ROOT), "paper-table", *variables], capture_output=True, text=True, check=True
    ).stdout
    lines = re.sub(r"\\\n\s*", "", recipe).splitlines()
    commands = [line for line in lines if line.startswith(".venv/bin/clearctl ")]
    assert len(commands) == 4
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    for command in commands:  # without the installation, which these tests run in
        (result,) = run_warm(command.replace(".venv/bin/clearctl", "clearctl", 1), ROOT, environment)
        assert result.returncode == 0, (command, result.stderr)
    table = [line.split("&") for line in (paper / "table.tex").read_text().splitlines() if "&" in line]
    labels = {row[0].strip(): row[1].strip() for row in table if row[1].strip().isdecimal()}
    assert labels == {label: "2" for name in STRATEGIES for label in (name, f"{name} (iid)")}
    assert (paper / "report.html").stat().st_size > 10_000
    assert all(name in result.stdout for name in STRATEGIES)
