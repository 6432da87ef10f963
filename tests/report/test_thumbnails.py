"""The few images of a page: the right ones, small, and none where there are none."""

import base64
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from report.folders import make_run

from clearctl import prepare_avalanche
from clearctl.layout import filelist_file, read_filelist
from clearctl.report.runs import Run, read_run
from clearctl.report.thumbnails import MOST_BYTES, SIZE_PX, SampleImages, sample_images

BUCKETS = ("0", "1", "2")


def run_on(root: Path, folder: Path, **values: Any) -> Run:
    return read_run(make_run(folder, **{"scenario.dataset_root": str(root), **values}))


def picture(url: str) -> Image.Image:
    kind, data = url.split(",")
    assert kind == "data:image/jpeg;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    image.load()
    assert image.format == "JPEG"
    return image


def urls(samples: list[SampleImages]) -> list[str]:
    return [url for sample in samples for row in sample.rows.values() for url in row if url]


def mean_colour(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), dtype=float).mean(axis=(0, 1))


def test_the_first_image_of_each_class_in_each_bucket(prepared: Path, tmp_path: Path) -> None:
    [samples] = sample_images([run_on(prepared, tmp_path / "run")])
    assert (samples.name, samples.buckets) == ("with space", list(BUCKETS))
    assert list(samples.rows) == ["BACKGROUND", "camera", "cup of tea"]
    for column, bucket in enumerate(BUCKETS):
        listed = read_filelist(filelist_file(prepared, bucket))
        for label, row in enumerate(samples.rows.values()):
            first = next(path for path, index in listed if index == label)
            shown = picture(row[column] or "")
            with Image.open(prepared / first) as image:
                assert shown.size == image.size == (16, 16)  # never made larger
                assert np.abs(mean_colour(shown) - mean_colour(image)).max() < 6


def test_a_dataset_is_shown_once_whatever_the_seed(prepared: Path, tmp_path: Path) -> None:
    runs = [run_on(prepared, tmp_path / str(seed), seed=seed) for seed in (0, 1)]
    other = run_on(prepared, tmp_path / "other", filelists="1" * 64)
    assert len(sample_images(runs)) == 1
    assert len(sample_images([*runs, other])) == 2


def test_large_images_of_many_classes_stay_small(clear_folder: Callable[..., Path], tmp_path: Path) -> None:
    classes = [f"class {i}" for i in range(20)]
    buckets = [str(i) for i in range(11)]
    root = clear_folder(buckets=buckets, classes=classes, images=1, size_px=200, noise=120.0)
    prepare_avalanche(root, seeds=[0], test_ratio=0)
    matrix = np.full((11, 11), 0.5).tolist()
    run = read_run(make_run(tmp_path / "run", matrix, class_names=classes, **{"scenario.dataset_root": str(root)}))
    [samples] = sample_images([run])
    found = urls([samples])
    assert len(found) == 6 * 11
    assert list(samples.rows) == [f"class {i}" for i in (0, 3, 6, 10, 13, 16)]
    assert sum(map(len, found)) <= MOST_BYTES
    assert {picture(url).size for url in found} == {(SIZE_PX, SIZE_PX)}


def test_none_where_the_dataset_is_not_there_or_not_prepared(clear_folder: Callable[..., Path], tmp_path: Path) -> None:
    assert sample_images([run_on(tmp_path / "nowhere", tmp_path / "1")]) == []
    assert sample_images([run_on(clear_folder(), tmp_path / "2")]) == []


def test_none_of_another_dataset_that_lies_there_now(prepared: Path, tmp_path: Path) -> None:
    run = run_on(prepared, tmp_path / "run", class_names=("BACKGROUND", "camera", "teapot"))
    assert sample_images([run]) == []


def test_none_of_features_without_images(prepared: Path, tmp_path: Path) -> None:
    root = shutil.copytree(prepared, tmp_path / "features")
    shutil.rmtree(root / "labeled_images")
    assert sample_images([run_on(root, tmp_path / "run")]) == []


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff\xe0 and no more"])
def test_an_image_that_cannot_be_read_leaves_its_place_empty(data: bytes, prepared: Path, tmp_path: Path) -> None:
    root = shutil.copytree(prepared, tmp_path / "broken")
    listed = read_filelist(filelist_file(root, "1"))
    (root / next(path for path, index in listed if index == 2)).write_bytes(data)
    [samples] = sample_images([run_on(root, tmp_path / "run")])
    assert [[url is not None for url in row] for row in samples.rows.values()] == [
        [True, True, True],
        [True, True, True],
        [True, False, True],
    ]
