"""Fixtures that several test modules use."""

import gc
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from warm import new_starts, warm_starts

CLASSES = ("BACKGROUND", "camera", "cup of tea")
UNSORTED = ("zebra", "apple", "cup of tea")
CONFIGS = Path(__file__).parent / "configs"


def pytest_configure() -> None:
    """Before torch is imported: tiny nets are slower on several threads, and pytest-xdist uses every core.

    And before any test is: Hypothesis would let one fail that takes long on a slow machine. A GPU machine may lack it:
    the tests that need a GPU do without. Python looks for garbage less often: with all libraries imported it would
    spend a tenth of the time on that.
    """
    gc.set_threshold(100_000, *gc.get_threshold()[1:])
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if find_spec("hypothesis") is None:
        return
    from hypothesis import HealthCheck, settings

    settings.register_profile("clearctl", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("clearctl")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is marked `longest` comes first."""
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)


@pytest.fixture(scope="session", autouse=True)
def warm() -> Iterator[None]:
    """What would be a new Python for clearctl is forked from one that has imported the libraries."""
    with warm_starts():
        yield


@pytest.fixture(autouse=True)
def process(request: pytest.FixtureRequest) -> Iterator[None]:
    """But in a test with the mark of that name."""
    with new_starts() if request.node.get_closest_marker("process") else nullcontext():
        yield


def make_clear_folder(
    root: Path,
    buckets: Sequence[str] = ("0", "1", "2"),
    classes: Sequence[str] = CLASSES,
    images: int | Mapping[str | tuple[str, str], int] = 7,
    *,
    size_px: int = 8,
    seed: int = 0,
    noise: float = 20.0,
    first_id: int = 0,
    metadata_order: Sequence[str] | None = None,
) -> Path:
    """Write a raw folder in CLEAR's public layout, with real JPEGs, and return it.

    The classes are in the order of `metadata_order` in labeled_metadata.json, by default that of class_names.txt.

    `images` is the number for each bucket and class, or a mapping by class or by (bucket, class);
    what it lacks has 7. A number of 0 leaves the class out of the bucket. Ids are above `first_id`.
    Each class has its own mean colour,
    and `noise` (in grey levels) about it, so that a small net can tell the classes apart. `seed` changes only
    the noise.
    """
    generator = np.random.default_rng(seed)
    # Evenly spread over the colour cube by an irrational step, so that any number of classes stays apart.
    colours = 40 + 175 * (np.outer(np.arange(1, len(classes) + 1), [0.6180, 0.7549, 0.5698]) % 1)
    index: dict[str, dict[str, str]] = {}
    for bucket in buckets:
        index[bucket] = {}
        for name in metadata_order or classes:
            number = classes.index(name)
            count = images
            if isinstance(images, Mapping):
                count = images.get((bucket, name), images.get(name, 7))
            if not count:
                continue
            index[bucket][name] = f"labeled_metadata/{bucket}/{name}.json"
            pictures = generator.normal(colours[number], noise, (count, size_px, size_px, 3)).clip(0, 255)
            _write_class(root, bucket, name, number, pictures.astype(np.uint8), first_id)
    (root / "class_names.txt").write_text("\n".join(classes))
    (root / "labeled_metadata.json").write_text(json.dumps(index))
    return root


def _write_class(root: Path, bucket: str, name: str, number: int, pictures: np.ndarray, first_id: int) -> None:
    """Write the JPEGs of `pictures` [N, H, W, 3] uint8 and the json that lists them."""
    records = {}
    (root / f"labeled_images/{bucket}/{name}").mkdir(parents=True)
    for position, picture in enumerate(pictures):
        # Descending, and of unequal length: neither the order of numbers nor that of strings is the file's.
        image_id = str(first_id + (len(pictures) - position) * 997 + number * 100_000 + int(bucket) * 10_000_000)
        path = f"labeled_images/{bucket}/{name}/{image_id}.jpg"
        Image.fromarray(picture).save(root / path, quality=90)
        day = position % 28 + 1
        records[image_id] = {
            "ID": image_id,
            "IMG_PATH": path,
            "DATE_TAKEN": f"{2004 + int(bucket)}-{number % 12 + 1:02d}-{day:02d} 12:00:00.0",
            "DATE_UPLOADED": str(1_072_915_200 + int(bucket) * 31_557_600 + position * 3600),
        }
    (root / f"labeled_metadata/{bucket}").mkdir(parents=True, exist_ok=True)
    (root / f"labeled_metadata/{bucket}/{name}.json").write_text(json.dumps(records))


@pytest.fixture
def clear_folder(tmp_path: Path) -> Callable[..., Path]:
    """A factory of raw folders: `clear_folder(name="clear", **arguments of make_clear_folder)`."""

    def make(name: str = "clear", **arguments: object) -> Path:
        return make_clear_folder(tmp_path / name, **arguments)

    return make


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., Path]:
    """A factory of raw folders that only their folders of images label: as `clear_folder`, less all metadata.

    With `named` class_names.txt is there. It does not have the classes in the order of their names.
    """

    def make(name: str = "images", named: bool = True, **arguments: object) -> Path:
        root = make_clear_folder(tmp_path / name, **{"classes": UNSORTED, **arguments})
        shutil.rmtree(root / "labeled_metadata")
        (root / "labeled_metadata.json").unlink()
        if not named:
            (root / "class_names.txt").unlink()
        return root

    return make


@pytest.fixture
def later_folder(tmp_path: Path) -> Callable[..., Path]:
    """A factory of raw folders in the later layout: train (or `train_name`), and test with 3 images a class."""

    def make(name: str = "later", train_name: str = "train", **arguments: object) -> Path:
        make_clear_folder(tmp_path / name / train_name, **arguments)
        make_clear_folder(tmp_path / name / "test", **{**arguments, "images": 3, "seed": 1, "first_id": 500_000_000})
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def tiny_config() -> Path:
    """A config that trains a very small mmcls net on 16 px images in a second."""
    return CONFIGS / "tiny.py"


@pytest.fixture(scope="session")
def features_config() -> Path:
    """A config that trains a linear head on the features `tiny`."""
    return CONFIGS / "features.py"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder of 3 buckets with 3 classes of 12 images of 16 px, not to be changed.

    It has the features `tiny`, 5 numbers per image, too.
    """
    import torch

    from clearctl import prepare_avalanche
    from clearctl.layout import features_file, filelist_file, read_filelist

    root = make_clear_folder(tmp_path_factory.mktemp("clear") / "with space", images=12, size_px=16, noise=110.0)
    prepare_avalanche(root, seeds=[0, 1])
    generator = torch.Generator().manual_seed(0)
    for bucket in ("0", "1", "2"):
        labels = [label for _, label in read_filelist(filelist_file(root, bucket))]
        x = torch.nn.functional.one_hot(torch.tensor(labels), 5) + torch.randn(len(labels), 5, generator=generator)
        file = features_file(root, "tiny", bucket)
        file.parent.mkdir(parents=True)
        torch.save((x, labels), file)
    return root


@pytest.fixture(scope="session")
def trained(prepared: Path, tiny_config: Path, tmp_path_factory: pytest.TempPathFactory):
    """The result of training `tiny_config` on `prepared`; its run folder is not to be changed."""
    from clearctl import train

    return train(tiny_config, device="cpu", work_dir=tmp_path_factory.mktemp("runs"), dataset_root=prepared)
