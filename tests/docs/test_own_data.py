"""The commands of docs/own-data.md, run as they are printed, on a small folder of photographs."""

import re
from datetime import datetime
from pathlib import Path

import pytest
import torch
from sources import dated_photos, photo
from typer.testing import CliRunner

from clearctl import layout, rebuild_by_metadata, train, verify
from clearctl.cli import app

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs" / "own-data.md"
COMMANDS = ["import", "import", "prepare-avalanche", "train", "extract-features", "train"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the photographs lie in photos/."""
    place = tmp_path_factory.mktemp("own data")
    dated_photos(place / "photos", classes=("cat", "dog", "cup of tea", "猫"), years=3, each=6)
    (place / "photos/cat/.DS_Store").touch()
    return place


@pytest.fixture(scope="module")
def runs(folder: Path) -> list[Path]:
    """The run folders of the page's commands, which have one epoch here, and features as torch makes them at random."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line.split()[1:] for block in blocks for line in block.splitlines()]
    assert [words[0] for words in lines] == COMMANDS
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        for words in lines:
            if words[0] == "extract-features":  # there are no weights of ImageNet here
                write_features(folder / words[2], words[-1])
                continue
            shorter = ["--set", "cl_strategy.train_epochs=1"] if words[0] == "train" else []
            answer = CliRunner().invoke(app, [*words, *shorter])
            assert answer.exit_code == 0, (words, answer.stderr)
    return [next((folder / "work_dirs" / name).iterdir()) for name in ("own_data", "own_data_feature")]


def write_features(root: Path, name: str) -> None:
    for bucket in layout.read_bucket_indices(root):
        labels = [label for _, label in layout.read_filelist(layout.filelist_file(root, bucket))]
        file = layout.features_file(root, name, bucket)
        file.parent.mkdir(parents=True)
        torch.save((torch.randn(len(labels), 512), labels), file)


def test_the_page_s_commands_make_runs(runs: list[Path]) -> None:
    for run in runs:
        assert len((run / "accuracy_matrix.csv").read_text().splitlines()) == 4
        assert "'num_classes': 4" in (run / "config.py").read_text()  # that of the dataset


def test_what_was_imported_is_as_any_dataset(runs: list[Path], folder: Path, tmp_path: Path) -> None:
    """Few-shot splits, re-cutting by date, and verifying, on the folder that was trained on."""
    root = folder / "dataset/own"
    assert verify(root, images=True).sound
    answer = CliRunner().invoke(app, ["make-fewshot", "--dataset-root", str(root), "--shot", "2"])
    assert answer.exit_code == 0, answer.stderr
    cut = rebuild_by_metadata(root, tmp_path / "cut", sort_by="date_taken", num_buckets=2)
    assert set(cut.images_per_bucket_and_class["1"].values()) == {9}
    dates = [date for bucket in ("1", "2") for date in taken(tmp_path / "cut", bucket, "cat")]
    assert dates == sorted(dates)
    assert verify(tmp_path / "cut", images=True).sound


def taken(root: Path, bucket: str, class_name: str) -> list[str]:
    file = root / layout.read_json(layout.labeled_metadata_file(root))[bucket][class_name]
    return [record["DATE_TAKEN"] for record in layout.read_json(file).values()]


def test_a_given_split_is_what_a_run_tests_on(tiny_config: Path, tmp_path: Path) -> None:
    """No test image of the source is ever trained on, from the folder to the run."""
    for part, each in (("train", 9), ("test", 3)):
        for year in (2004, 2005):
            for number in range(each):
                photo(tmp_path / f"in/{part}/{year}/{'ab'[number % 2]}/{part}{number}.jpg", datetime(year, 1, 1))
    for command in (
        ["import", tmp_path / "in", "--output", tmp_path / "own"],
        ["prepare-avalanche", "--dataset-root", tmp_path / "own"],
        ["config", "check", tiny_config, "--dataset-root", tmp_path / "own", "--set", "model.head.num_classes=dataset"],
    ):
        answer = CliRunner().invoke(app, [str(word) for word in command])
        assert answer.exit_code == 0, answer.stderr
    overrides = ["model.head.num_classes=dataset", "cl_strategy.train_epochs=1"]
    result = train(
        tiny_config, device="cpu", work_dir=tmp_path / "runs", dataset_root=tmp_path / "own", overrides=overrides
    )
    assert result.matrix.shape == (2, 2)
    # Of 3 images that are tested on an accuracy is a third, two thirds, or all or nothing.
    assert {round(3 * accuracy, 9) for row in result.matrix.tolist() for accuracy in row} <= {0.0, 1.0, 2.0, 3.0}
    wrong = CliRunner().invoke(app, ["train", str(tiny_config), "--dataset-root", str(tmp_path / "own")])
    assert wrong.exit_code == 3
    assert "model.head.num_classes: found 3, but the dataset has 2 classes: set it to 2 or 'dataset'" in wrong.stderr
