"""Avalanche's own CLEAR class reads a folder that was prepared here."""

import json
from pathlib import Path

import pytest
import torch

from clearctl import layout, prepare_avalanche
from clearctl.data.features import load_features, save_features


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Buckets "1" and "2", class names without spaces, which Avalanche cannot read; features `moco_b0`."""
    from conftest import make_clear_folder

    folder = make_clear_folder(tmp_path_factory.mktemp("clear"), buckets=("1", "2"), classes=("a", "b"), images=10)
    prepare_avalanche(folder)
    generator = torch.Generator().manual_seed(0)
    for bucket in ("1", "2"):
        listed = layout.read_filelist(layout.filelist_file(folder, bucket))
        x = torch.randn(len(listed), 6, generator=generator)
        save_features(layout.features_file(folder, "moco_b0", bucket), x, [label for _, label in listed])
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
