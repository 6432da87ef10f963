"""A run on features whose network a file holds, and the accuracy of predictions on the test images of a bucket."""

from dataclasses import dataclass
from pathlib import Path

import torch
from conftest import make_clear_folder

from clearctl import extract_features, layout, prepare_avalanche, train
from clearctl.engine.predict.predict import PredictResult, predict
from clearctl.engine.run.train import TrainResult
from clearctl.models.zoo.build import build_extractor

BUCKETS = ("0", "1", "2")
ARGUMENTS = {"depth": 18, "stem_channels": 8, "base_channels": 8}
# On features whose network is random: the head is all that learns.
HEAD = """
dialect = "clearctl"
scenario = dict(dataset_type="CLEAR", evaluation_protocol="iid", seed=0, feature_type="small")
model = dict(head=dict(type="LinearClsHead", num_classes=3, in_channels="features"))
cl_strategy = dict(type="Naive", train_mb_size=8, eval_mb_size=16, train_epochs=8, optimizer=dict(type="SGD", lr=0.5))
metrics = []
loggers = []
"""
TRANSFORM = """
scenario = dict(eval_transform=[
    dict(type='Resize', size=40), dict(type='CenterCrop', size=32), dict(type='ToTensor'),
    dict(type='Normalize', mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4])])
model = dict(backbone=dict(type='ResNet', **{arguments}))
"""


@dataclass
class OnFeatures:
    """A dataset folder with the features `small`, the weights that made them, and a run on them."""

    root: Path
    weights: Path
    config: Path
    trained: TrainResult


def make_on_features(folder: Path) -> OnFeatures:
    """All of it in `folder`."""
    root = make_clear_folder(folder / "clear", images=12, size_px=16, noise=110.0)
    prepare_avalanche(root, seeds=[0])
    network = build_extractor("mmcls:ResNet", ARGUMENTS).backbone
    with torch.no_grad():  # other weights than those that the library draws: they are in the file alone
        for weight in network.parameters():
            weight.mul_(1.1)
    weights, recipe, config = folder / "weights.pth", folder / "small.py", folder / "head.py"
    torch.save(network.state_dict(), weights)
    recipe.write_text(TRANSFORM.format(arguments=ARGUMENTS))
    config.write_text(HEAD)
    extract_features(root, config=recipe, checkpoint=weights, name="small", device="cpu")
    trained = train(config, device="cpu", work_dir=folder / "runs", dataset_root=root)
    return OnFeatures(root, weights, config, trained)


def test_images(root: Path, bucket: str) -> list[tuple[Path, int]]:
    """(file, class index) of each test image of a bucket."""
    listed = layout.read_filelist(layout.ratio_split_folder(root, 0.3, 0) / bucket / "test.txt")
    return [(root / path, label) for path, label in listed]


def accuracy(result: PredictResult, labels: list[int], bucket: str) -> float:
    """How many of the images are right by the model after `bucket`."""
    found = result.top(1, bucket)[0][:, 0].tolist()
    return sum(a == b for a, b in zip(found, labels, strict=True)) / len(labels)


def matrix(run: Path, root: Path) -> list[list[float]]:
    """R [3, 3] of predictions: each test image, by the model after each bucket."""
    columns = []
    for bucket in BUCKETS:
        files, labels = zip(*test_images(root, bucket), strict=True)
        result = predict(run, files, all_buckets=True, device="cpu", batch_size=7)
        columns.append([accuracy(result, list(labels), name) for name in BUCKETS])
    return [list(row) for row in zip(*columns, strict=True)]
