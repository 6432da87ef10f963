"""extract-features where `train` has left decoded images: the same bytes, without decoding."""

import json
import os
import shutil
from pathlib import Path

import pytest

from clearctl import extract_features, layout, prepare_avalanche, train
from clearctl.errors import UsageError
from clearctl.progress import Event, Message

TRAINING = """
_base_ = [{base!r}]
floats = [dict(type='ToTensor'), dict(type='Normalize', mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4])]
scenario = dict(
    train_transform=[dict(type='Resize', size=20), dict(type='RandomCrop', size=16), *floats],
    eval_transform=[dict(type='Resize', size=20), dict(type='CenterCrop', size=16), *floats])
"""


@pytest.fixture(scope="module")
def config(tiny_config, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("config") / "small.py"
    file.write_text(TRAINING.format(base=str(tiny_config)))
    return file


@pytest.fixture(scope="module")
def trained_on(config, tmp_path_factory) -> Path:
    """A folder of 27 images that a run was trained and tested on; not to be changed."""
    from conftest import make_clear_folder

    root = make_clear_folder(tmp_path_factory.mktemp("cached") / "clear", images=3, size_px=24, noise=60.0)
    prepare_avalanche(root, seeds=[0])
    train(config, device="cpu", work_dir=root.parent / "runs", dataset_root=root)
    return root


@pytest.fixture
def root(trained_on, tmp_path) -> Path:
    return shutil.copytree(trained_on, tmp_path / "clear")  # with the times of the images


def extracted(root: Path, config: Path, name: str, **arguments):
    return extract_features(root, config=config, name=name, weights="none", device="cpu", batch_size=4, **arguments)


def rows(root: Path, name: str) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in layout.features_folder(root, name).glob("*/all.pth")}


def record(root: Path, name: str):
    return json.loads(layout.extraction_file(root, name).read_text())


def cache_files(root: Path) -> list[Path]:
    return sorted((root / "training_folder/image_cache").rglob("*.images"))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_bytes_are_those_of_decoded_images(root, config, workers):
    stored = cache_files(root)
    heard: list[Event] = []
    result = extracted(root, config, "read", workers=workers, listener=heard.append)
    assert (result.images, result.cached) == (27, 27)
    folder = root / "training_folder/image_cache"
    assert f"all 27 images are read from the cache {folder}" in [e.text for e in heard if isinstance(e, Message)]
    assert extracted(root, config, "decoded", cache="off").cached == 0
    assert rows(root, "read") == rows(root, "decoded")
    assert record(root, "read")["settings"] == record(root, "decoded")["settings"]
    counts = [[entry["cached"] for entry in record(root, name)["buckets"].values()] for name in ("read", "decoded")]
    assert counts == [[9, 9, 9], [0, 0, 0]]
    assert cache_files(root) == stored


def test_no_image_is_decoded_but_the_first(root, config):
    """They are replaced by what is no image, of the same size and time, which nothing notices."""
    extracted(root, config, "decoded", cache="off")
    first = root / layout.read_filelist(layout.filelist_file(root, "0"))[0][0]
    for path in root.rglob("*.jpg"):
        if path != first:
            stat = path.stat()
            path.write_bytes(bytes(stat.st_size))
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    extracted(root, config, "read")
    assert rows(root, "read") == rows(root, "decoded")


def test_an_extraction_may_continue_with_and_without_the_cache(root, config):
    extracted(root, config, "whole", cache="off")
    extracted(root, config, "mixed", cache="off", buckets=["0"])
    extracted(root, config, "mixed", buckets=["0", "1"])
    assert extracted(root, config, "mixed", cache="off").written == ("2",)
    assert rows(root, "mixed") == rows(root, "whole")
    assert [entry["cached"] for entry in record(root, "mixed")["buckets"].values()] == [0, 9, 0]


def test_images_that_came_since_are_decoded_and_none_is_stored(root, config):
    stored = cache_files(root)
    for path in list(root.rglob("*.jpg"))[:5]:
        os.utime(path, ns=(0, 0))
    heard: list[Event] = []
    assert extracted(root, config, "read", listener=heard.append).cached == 22
    assert any("22 of 27 images are read from the cache" in event.text for event in heard if isinstance(event, Message))
    extracted(root, config, "decoded", cache="off")
    assert rows(root, "read") == rows(root, "decoded")
    assert cache_files(root) == stored


def test_a_damaged_cache_is_removed_and_the_bytes_are_the_same(root, config):
    damaged, *others = cache_files(root)
    damaged.write_bytes(damaged.read_bytes()[:-5])
    heard: list[Event] = []
    assert 0 < extracted(root, config, "read", listener=heard.append).cached < 27
    assert any(f"{damaged} is damaged" in event.text for event in heard if isinstance(event, Message))
    extracted(root, config, "decoded", cache="off")
    assert rows(root, "read") == rows(root, "decoded")
    assert cache_files(root) == others


def test_of_another_transform_nothing_is_read_and_that_is_said(root, config, tmp_path):
    other = tmp_path / "other.py"
    other.write_text(config.read_text().replace("size=20", "size=22"))
    heard: list[Event] = []
    assert extracted(root, other, "other", listener=heard.append).cached == 0
    assert any("all images are decoded: these transforms" in e.text for e in heard if isinstance(e, Message))


def test_a_folder_of_its_own(trained_on, config, tmp_path):
    root = shutil.copytree(trained_on, tmp_path / "clear", ignore=shutil.ignore_patterns("image_cache"))
    kept = tmp_path / "scratch"
    given = dict(device="cpu", work_dir=tmp_path / "runs", dataset_root=root)
    train(config, overrides=[f"data.cache_dir={kept}"], **given)
    assert extracted(root, config, "decoded").cached == 0
    assert extracted(root, config, "read", cache_dir=kept).cached == 27
    assert rows(root, "read") == rows(root, "decoded")


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        ({"cache": "disk"}, "--cache disk: expected auto or off"),
        ({"cache_dir": "nowhere"}, "--cache-dir nowhere: no such folder"),
        ({"cache": "off", "cache_dir": "."}, "no effect with --cache off: leave it out"),
    ],
)
def test_arguments_that_make_no_sense(trained_on, config, arguments, reported):
    with pytest.raises(UsageError, match=reported):
        extracted(trained_on, config, "none", **arguments)
