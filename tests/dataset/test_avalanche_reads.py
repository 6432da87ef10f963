"""Avalanche's own CLEAR class reads a folder that was prepared here, and features that were extracted here."""

import json
from pathlib import Path

import pytest
import torch

from clearctl import extract_features, layout, prepare_avalanche
from clearctl.data.features import load_features

CONFIG = """
scenario = dict(eval_transform=[dict(type='Resize', size=32), dict(type='ToTensor')])
model = dict(backbone=dict(type='ResNet', depth=18, stem_channels=4, base_channels=4))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Class names without spaces, which Avalanche cannot read; features by one of the names that it knows."""
    from conftest import make_clear_folder

    folder = make_clear_folder(tmp_path_factory.mktemp("clear"), buckets=("1", "2"), classes=("a", "b"), images=10)
    prepare_avalanche(folder)
    config = folder / "config.py"
    config.write_text(CONFIG)
    extract_features(folder, config=config, weights="none", name="moco_b0", device="cpu")
    return folder


def clear(root: Path, **arguments):
    from avalanche.benchmarks.classic.clear import CLEAR

    return CLEAR(data_name="clear10_neurips2021", dataset_root=root, **arguments)


def listed(file: Path) -> list[tuple[str, int]]:
    return [(path, int(label)) for path, label in (line.rsplit(" ", 1) for line in file.read_text().split("\n"))]


def test_images_streaming(root):
    benchmark = clear(root, evaluation_protocol="streaming")
    for bucket, experience in zip(("1", "2"), benchmark.train_stream, strict=True):
        expected = listed(root / f"training_folder/filelists/{bucket}/all.txt")
        assert list(experience.dataset.targets) == [label for _, label in expected]
        image, label, *_ = experience.dataset[13]
        assert (image.size, label) == ((8, 8), expected[13][1])


@pytest.mark.parametrize("seed", [0, 4])
def test_images_iid(root, seed):
    benchmark = clear(root, evaluation_protocol="iid", seed=seed)
    for stream, side, count in ((benchmark.train_stream, "train", 14), (benchmark.test_stream, "test", 6)):
        for bucket, experience in zip(("1", "2"), stream, strict=True):
            expected = listed(root / f"training_folder/testset_ratio_0.3/split_{seed}/{bucket}/{side}.txt")
            assert list(experience.dataset.targets) == [label for _, label in expected]
            assert len(experience.dataset) == count


def test_features_streaming(root):
    benchmark = clear(root, evaluation_protocol="streaming", feature_type="moco_b0")
    for bucket, experience in zip(("1", "2"), benchmark.train_stream, strict=True):
        x, targets = load_features(layout.features_file(root, "moco_b0", bucket))
        assert list(experience.dataset.targets) == targets
        assert torch.equal(torch.stack([experience.dataset[i][0] for i in range(len(targets))]), x)


def test_bucket_indices_are_what_avalanche_counts_by(root):
    assert json.loads((root / "training_folder/bucket_indices.json").read_text()) == ["1", "2"]
