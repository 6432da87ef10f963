"""Images that earlier runs left decoded: whatever is read from where, the bits are those of the plain pipeline."""

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from pipelines import FLOATS, PIPELINES, plain, seeded, state
from torchvision import transforms as T

from clearctl.data.cache.build import fill
from clearctl.data.cache.existing import ExistingImages
from clearctl.data.cache.files import ImageFiles
from clearctl.data.cache.store import ImageStore, store_name
from clearctl.data.transforms import split_steps
from clearctl.progress import Event, Message

pytest_plugins = ("pictures",)

STEPS = PIPELINES["published test"]


def leave(files: ImageFiles, leading: tuple[Any, ...], folder: Path, wanted: Iterable[int] | None = None) -> None:
    """What a run that trains leaves in the cache folder."""
    store = ImageStore(files, leading, folder / store_name(leading), wanted=wanted)
    store.folder.mkdir(parents=True)
    fill(store, on_disk=True, image_bytes=5000, segment_bytes=20_000)


def everything(files: ImageFiles) -> list[int]:
    return list(range(len(files)))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def require_plain(images: ExistingImages, steps: list[Any]) -> None:
    """Bits and random numbers are those of the pipeline in one piece."""
    seeded()
    expected = plain(images.files, steps, everything(images.files))
    after = state()
    seeded()
    found = [images.finish(images.pixels(number)[None])[0] for number in everything(images.files)]
    assert state() == after
    for x, y in zip(found, expected, strict=True):
        assert x.dtype == y.dtype
        assert torch.equal(x, y)


@pytest.mark.parametrize("name", PIPELINES)
def test_after_any_of_the_leading_transforms_the_bits_are_those_of_the_pipeline(odd_photos, tmp_path, name):
    stages = split_steps(PIPELINES[name])
    for count in range(len(stages.leading) + 1):
        folder = tmp_path / str(count)
        leave(odd_photos, stages.leading[:count], folder)
        before = contents(folder)
        images = ExistingImages(odd_photos, stages, [folder])
        assert images.num_stored(everything(odd_photos)) == (0 if stages.refusal else len(odd_photos))
        images = images if stages.refusal else pickle.loads(pickle.dumps(images))  # for a loader's workers
        require_plain(images, PIPELINES[name])
        assert contents(folder) == before


def test_each_image_is_read_where_most_is_done_and_decoded_where_nothing_is(photos, tmp_path, monkeypatch):
    """As after a run with an iid split: train images after Resize alone, test images after both."""
    stages = split_steps(STEPS)
    first, second = tmp_path / "first", tmp_path / "second"
    leave(photos, stages.leading[:1], first, wanted=[0, 1, 2, 3, 4])
    leave(photos, stages.leading, second, wanted=[4, 5, 6])
    images = ExistingImages(photos, stages, [first, second])
    assert [images.num_stored([number]) for number in everything(photos)] == [1, 1, 1, 1, 1, 1, 1, 0, 0]
    require_plain(images, STEPS)
    decoded = []
    decode = ImageFiles.decode
    monkeypatch.setattr(ImageFiles, "decode", lambda self, number: decoded.append(number) or decode(self, number))
    assert images.pixels(4).shape == (3, 32, 32)
    for number in everything(photos):
        images.pixels(number)
    assert decoded == [7, 8]


@pytest.mark.parametrize("folders", [[], ["nothing here"]])
def test_without_a_cache_images_are_decoded(photos, tmp_path, folders):
    images = ExistingImages(photos, split_steps(STEPS), [tmp_path / folder for folder in folders])
    assert images.num_stored(everything(photos)) == 0
    require_plain(images, STEPS)


def test_of_other_transforms_nothing_is_read(photos, tmp_path):
    leave(photos, (T.Resize(36, T.InterpolationMode.BICUBIC),), tmp_path)
    leave(photos, (T.Resize(37),), tmp_path)
    images = ExistingImages(photos, split_steps([T.Resize(36), *FLOATS]), [tmp_path])
    assert images.num_stored(everything(photos)) == 0


def test_a_changed_image_is_decoded(photos, tmp_path):
    leave(photos, split_steps(STEPS).leading, tmp_path)
    (photos.root / photos.paths[3]).write_bytes((photos.root / photos.paths[4]).read_bytes())
    changed = ImageFiles(photos.root, photos.paths, photos.buckets)
    images = ExistingImages(changed, split_steps(STEPS), [tmp_path])
    assert images.num_stored(everything(photos)) == 8
    require_plain(images, STEPS)


@pytest.mark.parametrize("place", [100, -3])
def test_what_is_damaged_is_removed_and_decoded(photos, tmp_path, place):
    """In the pixels of an image it is found when that is read, at the end of the file at once."""
    cache = tmp_path / "cache"
    leave(photos, split_steps(STEPS).leading, cache)
    damaged = next(path for path in contents(cache))
    data = bytearray(damaged.read_bytes())
    data[place] ^= 255
    damaged.write_bytes(data)
    heard: list[Event] = []
    images = ExistingImages(photos, split_steps(STEPS), [cache], heard.append)
    require_plain(images, STEPS)
    assert not damaged.exists()
    assert [event.warning for event in heard if isinstance(event, Message)] == [True]
