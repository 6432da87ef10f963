"""Features that do not fit in memory: runs in processes that the kernel gives less memory than the features take."""

import sys
from pathlib import Path
from typing import Any

import pytest
from killing import KILLED, Ended, run_process
from runs import require_same

from clearctl import layout, rundir, train

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts what is mapped on Linux alone")

BUCKETS, CLASSES, PER_BUCKET, DIM = 3, 4, 400, 40_000
FEATURES_BYTES = BUCKETS * PER_BUCKET * DIM * 4  # 192 MB
OWN_BYTES = FEATURES_BYTES // 2
SAID = "the features do not fit in memory: batches are read from their files (data.loader='mapped')"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Replay on features that take 192 MB."""
    import torch

    root = tmp_path_factory.mktemp("large")
    (root / "class_names.txt").write_text("\n".join(map(str, range(CLASSES))))
    (root / "training_folder").mkdir()
    (root / "training_folder/bucket_indices.json").write_text('["0", "1", "2"]')
    labels = [row % CLASSES for row in range(PER_BUCKET)]
    for bucket in map(str, range(BUCKETS)):
        x = torch.randn(PER_BUCKET, DIM, generator=torch.Generator().manual_seed(int(bucket)))
        features, listed = layout.features_file(root, "large", bucket), layout.filelist_file(root, bucket)
        for file in (features, listed):
            file.parent.mkdir(parents=True)
        torch.save((x, labels), features)
        listed.write_text("\n".join(f"{bucket}/{row}.jpg {label}" for row, label in enumerate(labels)))
    file = root / "large.py"
    file.write_text(
        f"scenario = dict(dataset_root={str(root)!r}, feature_type='large')\n"
        f"model = dict(head=dict(type='LinearClsHead', num_classes={CLASSES}, in_channels={DIM}))\n"
        "cl_strategy = dict(type='Replay', mem_size=90, train_mb_size=30, eval_mb_size=50, train_epochs=1,\n"
        "    optimizer=dict(type='SGD', lr=0.001))\n"
        "metrics = [dict(type='accuracy_metrics', stream=True)]\nloggers = [dict(type='CSVLogger')]\nseed = 0\n"
    )
    return file


@pytest.fixture(scope="module")
def in_memory(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that holds the features."""
    return train(config, device="cpu", work_dir=tmp_path_factory.mktemp("runs"), overrides=["data.loader=resident"]).run


def limited(target: Path, **work: Any) -> Ended:
    return run_process(target, own_bytes=OWN_BYTES, **work)


def test_a_matrix_of_them_does_not_fit(config: Path, tmp_path: Path) -> None:
    arguments = {"device": "cpu", "work_dir": tmp_path, "overrides": ["data.loader=resident"]}
    ended = limited(config, arguments=arguments)
    assert (ended.error, ended.exit_code) == ("CapabilityError", 6)
    assert ended.text == (
        "out of memory: the features take 0.2 GB\nuse data.loader='mapped', which reads them from their files"
    )
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_killed_and_resumed_is_the_one_in_memory(config: Path, in_memory: Path, tmp_path: Path) -> None:
    arguments = {"device": "cpu", "work_dir": tmp_path, "overrides": ["data.loader=mapped"]}
    assert limited(config, arguments=arguments, at=("step", 1, 0, 5), saving="steps").exit_code == KILLED
    [run] = tmp_path.iterdir()
    ended = limited(run, arguments={"device": "cpu"}).require()
    assert SAID not in ended.said
    require_same(run, in_memory)


def test_auto_maps_them_and_says_so(config: Path, in_memory: Path, tmp_path: Path) -> None:
    ended = limited(config, arguments={"device": "cpu", "work_dir": tmp_path}).require()
    assert ended.said.count(SAID) == 1
    assert ended.run is not None
    require_same(ended.run, in_memory)
    roomy = run_process(config, arguments={"device": "cpu", "work_dir": tmp_path}).require()
    assert SAID not in roomy.said


def test_checkpoints_are_tested(in_memory: Path) -> None:
    matrix, _ = rundir.read_matrix(in_memory)
    overrides = ["data.loader=mapped"]
    ended = limited(in_memory, tests=True, arguments={"device": "cpu", "overrides": overrides}).require()
    assert ended.matrix == matrix.tolist()
