"""Stores: shared between lists of images, never read where damaged, never stale."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as T

from clearctl.data.cache.build import fill
from clearctl.data.cache.files import ImageFiles
from clearctl.data.cache.store import ImageStore, store_name, to_image, to_planes
from clearctl.progress import Message

pytest_plugins = ("pictures",)

LEADING = [T.Resize(24)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def built(files: ImageFiles, folder: Path | None, **arguments: object) -> ImageStore:
    store = ImageStore(files, LEADING, folder)
    fill(store, on_disk=folder is not None, image_bytes=2500, segment_bytes=8000, **arguments)
    return store


def right(store: ImageStore) -> bool:
    """Whether every image, stored or not, is what decoding its file gives."""
    return all(
        np.array_equal(store.pixels(n).numpy(), to_planes(LEADING[0](store.files.decode(n)))) for n in range(len(store))
    )


def segment_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.images"))


def test_planes_and_image_are_one_another():
    for width, height in ((7, 5), (1, 1), (300, 2)):
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        planes = torch.from_numpy(to_planes(Image.fromarray(pixels)))
        assert planes.shape == (3, height, width)
        assert np.array_equal(np.asarray(to_image(planes)), pixels)
        assert np.array_equal(np.asarray(to_image(planes.flip(-1)[:, :, :1])), pixels[:, ::-1][:, :1])


def test_other_lists_find_the_images_they_share(photos, folder):
    """Another split, another order, other buckets: what is there by path, size and time is not decoded again."""
    built(photos, folder)
    order = [5, 2, 8, 0]
    others = ImageFiles(photos.root, tuple(photos.paths[i] for i in order), ("7",) * 4)
    for path in others.paths:  # the files can be looked at, but no more decoded
        file = photos.root / path
        stat = file.stat()
        file.write_bytes(b"x" * stat.st_size)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    store = ImageStore(others, LEADING, folder)
    assert store.missing() == []
    whole = ImageStore(photos, LEADING, folder)
    assert all(torch.equal(store.pixels(place), whole.pixels(number)) for place, number in enumerate(order))


def test_folder_is_of_the_transforms():
    pipelines = [
        [T.Resize(24)],
        [T.Resize(25)],
        [T.Resize(24, T.InterpolationMode.BICUBIC)],
        [T.Resize(24, max_size=40)],
        [T.Resize(24), T.CenterCrop(20)],
        [T.CenterCrop(20), T.Resize(24)],
        [T.Pad(2)],
        [T.Pad(2, fill=1)],
        [T.Pad(2, padding_mode="edge")],
        [],
    ]
    assert len({store_name(steps) for steps in pipelines}) == len(pipelines)
    assert store_name([T.Resize(24)]) == store_name((T.Resize(24),))


def test_a_changed_image_is_decoded_again_and_only_it(photos, folder):
    built(photos, folder)
    before = ImageStore(photos, LEADING, folder).pixels(4).clone()
    Image.fromarray(np.full((50, 60, 3), 90, np.uint8)).save(photos.root / photos.paths[4])
    photos = ImageFiles(photos.root, photos.paths, photos.buckets)
    store = ImageStore(photos, LEADING, folder)
    assert store.missing() == [4]
    fill(store, on_disk=True, image_bytes=2500)
    assert store.missing() == []
    assert not torch.equal(store.pixels(4), before)
    assert right(store)


@pytest.mark.parametrize("place", ["first byte", "middle", "last byte of the last image"])
def test_a_damaged_image_is_noticed_decoded_and_built_again(photos, folder, place):
    built(photos, folder)
    victim = segment_files(folder)[0]
    sizes = [3 * h * w for _, _, h, w, _ in _records(victim)]
    offset = {"first byte": 0, "middle": sizes[0] + 11, "last byte of the last image": sum(sizes) - 1}[place]
    data = bytearray(victim.read_bytes())
    data[offset] ^= 1
    victim.write_bytes(data)
    heard: list[Message] = []
    store = ImageStore(photos, LEADING, folder, heard.append)
    assert store.missing() == []
    assert right(store)
    assert [message.warning for message in heard] == [True]
    assert f"{victim} contains a damaged image, which is decoded again: removed, to be built again" == heard[0].text
    assert not victim.exists()
    assert right(store)
    assert len(store.missing()) == 1
    again = built(photos, folder)
    assert again.missing() == []
    assert right(again)


def _records(file: Path) -> list[tuple]:
    from clearctl.data.cache import segments

    found = segments.read(file)
    assert found is not None
    return found[1].tolist()


@pytest.mark.parametrize("damage", ["a record", "cut", "emptied", "shorter images", "other end", "garbage"])
def test_a_damaged_segment_is_not_used_and_built_again(photos, folder, damage):
    built(photos, folder)
    victim = segment_files(folder)[1]
    data = victim.read_bytes()
    records = len(_records(victim)) * 36
    at = len(data) - 20 - records + 17
    victim.write_bytes(
        {
            "a record": data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :],
            "cut": data[:-1],
            "emptied": b"",
            "shorter images": data[:100] + data[1000:],
            "other end": data[:-20] + b"x" * 20,
            "garbage": os.urandom(5000),
        }[damage]
    )
    heard: list[Message] = []
    store = ImageStore(photos, LEADING, folder, heard.append)
    assert [message.text for message in heard] == [f"{victim} is damaged: removed, to be built again"]
    assert not victim.exists()
    assert 0 < len(store.missing()) < len(photos)
    assert right(store)
    fill(store, on_disk=True, image_bytes=2500)
    assert right(store)
    assert ImageStore(photos, LEADING, folder).missing() == []


def test_pickled_stores_map_their_files_again(photos, folder):
    store = built(photos, folder)
    pickled = pickle.dumps(store)
    assert len(pickled) < 5000
    assert right(pickle.loads(pickled))
    segment_files(folder)[0].unlink()
    short = pickle.loads(pickled)
    assert 0 < len(short.missing()) < len(photos)
    assert right(short)
    assert right(store)  # its mapping outlives the file's name
    shutil.rmtree(folder)
    assert right(pickle.loads(pickled))
    in_memory = pickle.loads(pickle.dumps(built(photos, None)))
    assert in_memory.missing() == []
    assert right(in_memory)


def test_stored_images_keep_no_file_open(photos, folder):
    built(photos, folder)
    before = len(os.listdir("/proc/self/fd"))
    store = ImageStore(photos, LEADING, folder)
    assert len(segment_files(folder)) > 2
    assert len(os.listdir("/proc/self/fd")) == before
    assert store.missing() == []
    assert right(store)


def test_segments_that_cannot_be_read_are_said_once_and_left(photos, folder):
    built(photos, folder)
    present = segment_files(folder)
    for path in present:
        path.unlink()
        path.mkdir()  # what cannot be opened as a file, for any user
    heard: list[Message] = []
    store = ImageStore(photos, LEADING, folder, heard.append)
    others = f"(and {len(present) - 1} others)"
    assert [message.text for message in heard] == [
        f"{present[0]} cannot be read: Is a directory {others}; the images there are decoded again"
    ]
    assert len(store.missing()) == 9
    store.refresh()
    assert len(heard) == 1
    assert segment_files(folder) == present


def test_images_that_are_not_wanted_are_not_looked_at(photos, folder):
    built(photos, folder)
    (photos.root / photos.paths[3]).unlink()
    files = ImageFiles(photos.root, photos.paths, photos.buckets)
    store = ImageStore(files, LEADING, folder, wanted=[1, 2])
    assert (store.num_wanted, store.missing()) == (2, [])
    assert [store.has(number) for number in range(4)] == [False, True, True, False]


def test_several_folders_are_read_and_one_is_written(photos, tmp_path):
    here, there = tmp_path / "here/key", tmp_path / "there/key"
    some = ImageFiles(photos.root, photos.paths[:5], photos.buckets[:5])
    here.mkdir(parents=True)
    built(some, here)
    before = segment_files(here)
    store = ImageStore(photos, LEADING, there, also=[here])
    assert (store.missing(), store.cache_folders) == ([5, 6, 7, 8], [here.parent])
    fill(store, on_disk=True, image_bytes=2500)
    assert (segment_files(here), len(segment_files(there))) == (before, 1)
    again = pickle.loads(pickle.dumps(ImageStore(photos, LEADING, there, also=[here])))
    assert (again.missing(), again.cache_folders) == ([], [here.parent, there.parent])
    assert right(again)


def test_without_images(tmp_path):
    store = ImageStore(ImageFiles(tmp_path, (), ()), LEADING, tmp_path)
    fill(store, on_disk=True, image_bytes=1)
    assert (len(store), store.missing(), list(tmp_path.iterdir())) == (0, [], [])
