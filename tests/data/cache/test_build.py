"""Building: in parallel, resumed after a kill, two at once, and what stops it."""

import itertools
import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import write_photos
from torchvision import transforms as T

from clearctl.data.cache import segments
from clearctl.data.cache.build import fill
from clearctl.data.cache.files import ImageFiles
from clearctl.data.cache.store import ImageStore, to_planes
from clearctl.errors import DatasetError
from clearctl.progress import Counted

pytest_plugins = ("pictures",)

LEADING = [T.Resize(64)]
IMAGE_BYTES = 3 * 64 * 80
PROCESSES = multiprocessing.get_context("fork")  # a builder of its own, without importing torch again


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> ImageFiles:
    root = tmp_path_factory.mktemp("many")
    files = write_photos(root, 160)
    paths = tuple(sorted(files.paths))
    return ImageFiles(root, paths, ("0",) * len(paths))


class WatchedResize(T.Resize):
    """Its repr is that of Resize: what calls `watch` first is the same."""

    def __init__(self, size: int, watch: Callable[[], object]) -> None:
        super().__init__(size)
        self.watch = watch

    def forward(self, image):
        self.watch()
        return super().forward(image)

    def __repr__(self) -> str:
        return super().__repr__().replace("WatchedResize", "Resize")


def build_in_small_segments(files: ImageFiles, folder: Path, watch: Callable[[], object]) -> None:
    store = ImageStore(files, [WatchedResize(64, watch)], folder)
    fill(store, on_disk=True, image_bytes=IMAGE_BYTES, segment_bytes=IMAGE_BYTES * 4, threads=1)
    require_right(store)


def require_right(store: ImageStore) -> None:
    assert store.missing() == []
    for number in range(len(store)):
        expected = to_planes(LEADING[0](store.files.decode(number)))
        assert np.array_equal(store.pixels(number).numpy(), expected)


@pytest.mark.parametrize("on_disk", [True, False])
@pytest.mark.parametrize("threads", [1, 3])
def test_all_images_and_how_far_it_is(many, tmp_path, on_disk, threads):
    random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), torch.get_rng_state()
    heard: list[Counted] = []
    store = ImageStore(many, LEADING, tmp_path if on_disk else None)
    fill(
        store,
        on_disk=on_disk,
        image_bytes=IMAGE_BYTES,
        segment_bytes=IMAGE_BYTES * 50,
        threads=threads,
        listener=heard.append,
    )
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    require_right(store)
    assert len(list(tmp_path.iterdir())) == (4 if on_disk else 0)
    assert heard[-1] == Counted("decode the images", 160, 160, "images")
    assert [event.done for event in heard] == sorted({event.done for event in heard})
    fill(store, on_disk=on_disk, image_bytes=IMAGE_BYTES, listener=heard.append)
    assert heard[-1].done == 160
    assert len(list(tmp_path.iterdir())) == (4 if on_disk else 0)


def test_killed_then_resumed_with_what_was_finished(many, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    decoded, reached = itertools.count(1), PROCESSES.Event()

    def wait_in_the_sixth_segment() -> None:
        if next(decoded) > 21:
            reached.set()
            threading.Event().wait()

    process = PROCESSES.Process(target=build_in_small_segments, args=(many, folder, wait_in_the_sixth_segment))
    process.start()
    assert reached.wait(300)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    kept = {path: path.stat().st_ino for path in folder.glob("*.images")}
    store = ImageStore(many, LEADING, folder)
    assert len(store) - len(store.missing()) == 4 * len(kept) == 20
    heard: list[Counted] = []
    fill(store, on_disk=True, image_bytes=IMAGE_BYTES, segment_bytes=IMAGE_BYTES * 4, listener=heard.append)
    assert heard[0].done == 4 * len(kept) + 1
    require_right(store)
    assert {path: path.stat().st_ino for path in kept} == kept
    assert len(list(folder.glob("*.images"))) == 40


def test_two_builders_at_once(many, tmp_path):
    """Neither breaks the other, each ends with every image, and little is done twice. They decode in step."""
    folder = tmp_path / "store"
    folder.mkdir()
    step = PROCESSES.Barrier(2)

    def in_step() -> None:
        with suppress(threading.BrokenBarrierError):  # the other has ended
            step.wait(300)

    def build() -> None:
        try:
            build_in_small_segments(many, folder, in_step)
        finally:
            step.abort()

    processes = [PROCESSES.Process(target=build) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    require_right(ImageStore(many, LEADING, folder))
    built = sum(len(segments.read(path)[1]) for path in folder.glob("*.images"))
    assert 160 <= built <= 240
    assert not list(folder.glob(".*"))


def test_what_cannot_be_read_back_is_a_fault_and_leaves_nothing(photos, tmp_path, monkeypatch):
    """Without an error each run would decode all and write it beside the last."""
    monkeypatch.setattr(segments, "_MAGIC", b"\0")  # packed to 8 bytes, and so not found again
    with pytest.raises(OSError, match="written data cannot be read back: it is damaged"):
        fill(ImageStore(photos, LEADING, tmp_path), on_disk=True, image_bytes=IMAGE_BYTES)
    assert [path.name for path in tmp_path.iterdir()] == ["clear"]


def test_an_undecodable_image_is_named_and_nothing_half_is_left(photos, tmp_path):
    (photos.root / photos.paths[4]).write_bytes(b"no image")
    store = ImageStore(photos, LEADING, tmp_path)
    with pytest.raises(DatasetError, match=r"a class/4\.jpg \(bucket 0\) cannot be decoded: "):
        fill(store, on_disk=True, image_bytes=IMAGE_BYTES, segment_bytes=IMAGE_BYTES, threads=2)
    assert not list(tmp_path.glob(".*"))
    assert len(list(tmp_path.glob("*.images"))) == len(store) - len(store.missing()) < 9


def test_an_image_that_changes_while_it_is_read(photos, tmp_path):
    store = ImageStore(photos, LEADING, tmp_path)
    photos.first_identity(2)
    os.utime(photos.root / photos.paths[2], (0, 0))
    with pytest.raises(DatasetError, match=r"2\.jpg \(bucket 0\) changed while it was read"):
        fill(store, on_disk=True, image_bytes=IMAGE_BYTES)
    assert not list(tmp_path.glob("*.*"))
