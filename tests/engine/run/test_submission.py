"""A folder of checkpoints, one for each bucket: the order of its files, and what is refused with which names."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from clearctl.cli import app
from clearctl.engine.run.evaluate import evaluate
from clearctl.engine.run.submission import checkpoint_files, require_one_each
from clearctl.engine.run.train import TrainResult
from clearctl.errors import RunError, UsageError


@pytest.fixture
def folder(tmp_path: Path):
    def make(*names: str) -> Path:
        for name in names:
            (tmp_path / name).touch()
        return tmp_path

    return make


@pytest.mark.parametrize(
    "names",
    [
        [f"exp_{k}.pth" for k in range(1, 12)],
        [f"{k}.pth" for k in range(12)],
        [f"bucket{k}_resnet50.pt" for k in range(2004, 2015)],
        ["1.pth.tar", "02.pth.tar", "3.pth.tar"],
        ["epoch_70_bucket_9.pth", "epoch_70_bucket_10.pth"],
        ["weights.ckpt"],
    ],
)
def test_files_are_in_the_order_of_their_number(names: list[str], folder) -> None:
    made = folder(*reversed(names), ".DS_Store", "._exp_1.pth")
    assert checkpoint_files(made) == [made / name for name in names]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], " has no checkpoints: expected one for each bucket, such as exp_1.pth, exp_2.pth"),
        (["model.py"], " has no checkpoints: expected"),
        (["1.pth", "2.pth", "log.txt", "readme.md"], " contains other files than checkpoints: log.txt, readme.md\n"),
        (["1.pth", "2.pth", "4.pth"], " has 1.pth to 4.pth but lacks number 3"),
        (["a_1.pth", "a_3.pth", "a_9.pth"], " has a_1.pth to a_9.pth but lacks number 2 and 5 more"),
        (["1.pth", "99999999999999999999.pth"], " has 1.pth to 99999999999999999999.pth but lacks number 2 and"),
        (["1.pth", "01.pth", "2.pth"], " has 01.pth, 1.pth with the same number"),
        (
            ["exp_1.pth", "model_2.pth"],
            ": exp_1.pth and model_2.pth must differ in one number only",
        ),
        (["a.pth", "b.pth"], ": a.pth and b.pth must differ in one number only"),
        (["1.pth", "2.pt"], ": 1.pth and 2.pt must differ in one number only"),
        (["e1_1.pth", "e2_2.pth"], ": e1_1.pth and e2_2.pth must differ in one number only"),
    ],
)
def test_other_folders_are_refused_with_names(names: list[str], message: str, folder) -> None:
    made = folder(*names)
    with pytest.raises(RunError) as caught:
        checkpoint_files(made)
    assert str(caught.value).startswith(f"{made}{message}")
    assert caught.value.exit_code == 5


def test_folders_below_and_places_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "1.pth").touch()
    (tmp_path / "2.pth").mkdir()
    with pytest.raises(RunError, match="contains other files than checkpoints: 2.pth"):
        checkpoint_files(tmp_path)
    with pytest.raises(RunError, match="no folder of checkpoints at .*nowhere"):
        checkpoint_files(tmp_path / "nowhere")
    with pytest.raises(RunError, match="1.pth cannot be read as a folder of checkpoints: Not a directory"):
        checkpoint_files(tmp_path / "1.pth")


def test_as_many_as_buckets(tmp_path: Path) -> None:
    files = [tmp_path / f"exp_{k}.pth" for k in (1, 2, 3)]
    require_one_each(files, ["1", "2", "3"])
    with pytest.raises(RunError) as caught:
        require_one_each(files, ["1", "2"])
    assert str(caught.value).split("\n") == [
        f"{tmp_path} has 3 checkpoints, exp_1.pth to exp_3.pth, but the stream has 2 buckets: 1, 2",
        "expected one per bucket; choose the buckets to test with scenario.buckets",
    ]


@pytest.fixture
def submission(trained: TrainResult, tmp_path: Path) -> Path:
    """The weights of a run under the names of a submission, as DataParallel writes them."""
    made = tmp_path / "submission"
    made.mkdir()
    for k in (1, 2, 3):
        weights = torch.load(trained.run / f"checkpoints/exp_{k}.pth", weights_only=True)
        torch.save({"state_dict": {f"module.{name}": value for name, value in weights.items()}}, made / f"{k + 8}.pth")
    return made


@pytest.mark.parametrize("of", ["run", "config"])
def test_the_matrix_of_a_submission(
    of: str, submission: Path, trained: TrainResult, tiny_config: Path, prepared: Path
) -> None:
    target = trained.run if of == "run" else tiny_config
    found = evaluate(target, checkpoints=submission, device="cpu", dataset_root=prepared)
    assert np.array_equal(found.matrix, trained.matrix)
    assert found.clear_metrics == trained.clear_metrics
    assert found.checkpoints == [submission / f"{k}.pth" for k in (9, 10, 11)]


def test_the_checkpoints_of_a_run_are_one_with_their_sums_beside_them(trained: TrainResult) -> None:
    found = evaluate(trained.run, checkpoints=trained.run / "checkpoints", device="cpu")
    assert np.array_equal(found.matrix, trained.matrix)


def test_weights_that_do_not_fit_are_named_before_any_is_tested(submission: Path, trained: TrainResult) -> None:
    reported = []
    torch.save({"head.fc.bias": torch.zeros(3)}, submission / "11.pth")
    with pytest.raises(RunError, match=r"submission/11.pth does not match this model: missing: backbone\.conv1"):
        evaluate(trained.run, checkpoints=submission, device="cpu", listener=reported.append)
    assert not [message for message in reported if "testing" in getattr(message, "text", "")]


def test_too_few_for_the_stream(submission: Path, trained: TrainResult) -> None:
    (submission / "11.pth").unlink()
    with pytest.raises(RunError, match="has 2 checkpoints, 9.pth to 10.pth, but the stream has 3 buckets: 0, 1, 2"):
        evaluate(trained.run, checkpoints=submission, device="cpu")
    found = evaluate(trained.run, checkpoints=submission, device="cpu", overrides=["scenario.buckets=['0', '1']"])
    assert np.array_equal(found.matrix, trained.matrix[:2, :2])


def test_one_option_or_the_other(submission: Path, trained: TrainResult, tiny_config: Path) -> None:
    with pytest.raises(UsageError, match="--checkpoint is one file, --checkpoints a folder of files"):
        evaluate(trained.run, checkpoint=submission / "9.pth", checkpoints=submission)
    with pytest.raises(UsageError, match="with --checkpoint FILE, or --checkpoints DIR"):
        evaluate(tiny_config)
    with pytest.raises(RunError, match="submission is a folder: use --checkpoints DIR to test its checkpoints"):
        evaluate(trained.run, checkpoint=submission)
    with pytest.raises(RunError, match=r"environment.json\nto test the checkpoints in it: clearctl eval CONFIG --ch"):
        evaluate(submission)


def test_on_the_command_line(submission: Path, trained: TrainResult, tmp_path: Path) -> None:
    command = ["eval", str(trained.run), "--checkpoints", str(submission), "--device", "cpu"]
    result = CliRunner().invoke(app, [*command, "--json"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["accuracy_matrix"] == trained.matrix.tolist()
    shutil.copy(submission / "9.pth", submission / "notes.txt")
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 5
    assert "contains other files than checkpoints: notes.txt" in result.stderr
