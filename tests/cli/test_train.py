"""`clearctl train`: what it says of a run that diverged."""

import json
from pathlib import Path

from typer.testing import CliRunner

from clearctl.cli import app


def test_a_run_that_diverged_is_reported_of_last(features_config: Path, prepared: Path, tmp_path: Path) -> None:
    options = ["--device", "cpu", "--dataset-root", prepared, "--work-dir", tmp_path, "--set"]
    words = ["train", *map(str, [features_config, *options]), "cl_strategy.optimizer.lr=1e38"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("warning: the run has diverged: its numbers are meaningless (bucket 0, epoch ")
    assert not [line for line in result.stderr.splitlines() if len(line) > 250]  # losses are short
    result = CliRunner().invoke(app, [*words, "--stop-on-divergence"])
    assert result.exit_code == 5
    assert "the run has diverged: bucket 0, epoch " in result.stderr
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert found["diverged"]["bucket"] == "0"
