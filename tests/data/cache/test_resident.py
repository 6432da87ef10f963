"""Images on a GPU: batches are those that this process reads from the store, bit for bit."""

import copy
import pickle
from pathlib import Path

import pytest
import torch
from pipelines import FLOATS, PIPELINES, seeded, state
from rehearsal.gpu import CUDA, RehearsalGpu
from torchvision import transforms as T

from clearctl.data.cache.build import fill
from clearctl.data.cache.files import ImageFiles
from clearctl.data.cache.resident import ResidentImages
from clearctl.data.cache.store import ImageStore
from clearctl.data.cache.transform import CachedTransform
from clearctl.data.transforms import split_steps
from clearctl.errors import DatasetError

pytest_plugins = ("pictures",)

GPU = torch.device(CUDA)
NOT_THERE = {
    "no normalize": None,
    "nothing but floats": None,
    "all that lead": None,
    "crop beyond the image": "some are smaller than the crop",
    "one channel": "Grayscale computes new pixels",
    "one mean for all": None,
    "padded crop": "RandomCrop computes new pixels",
    "crop, padded where small": "RandomCrop computes new pixels",
    "resized crop": "RandomResizedCrop computes new pixels",
    "colours": "ColorJitter computes new pixels",
    "python's generator": "RandomChoice computes new pixels",
    "floats in between": "ToTensor computes new pixels",
    "bytes": "PILToTensor computes new pixels",
    "looks at more": "not all of them are stored",
    "published train": None,
    "published test": None,
}


def stored(files: ImageFiles, steps: list, folder: Path | None = None) -> CachedTransform:
    split = split_steps(steps)
    store = ImageStore(files, split.leading, folder)
    if not split.refusal:
        fill(store, on_disk=folder is not None, image_bytes=5000)
    return CachedTransform(store, split)


@pytest.mark.parametrize("name", PIPELINES)
def test_which_images_a_gpu_can_gather(odd_photos: ImageFiles, name: str) -> None:
    assert stored(odd_photos, PIPELINES[name]).why_not_resident() == NOT_THERE[name]


def test_images_of_several_sizes_stay_away(odd_photos: ImageFiles) -> None:
    flipped = stored(odd_photos, [T.Resize(30), T.RandomHorizontalFlip(), *FLOATS])
    assert flipped.why_not_resident() == "they have different sizes"
    files = ImageStore(odd_photos, split_steps(PIPELINES["published train"]).leading)
    empty = CachedTransform(files, split_steps(PIPELINES["published train"]))
    assert empty.why_not_resident() == "not all of them are stored"


@pytest.mark.parametrize(
    "steps",
    [
        PIPELINES["published train"],
        PIPELINES["published test"],
        [
            T.Resize(40),
            T.RandomVerticalFlip(),
            T.RandomCrop((20, 32)),
            T.RandomHorizontalFlip(),
            T.CenterCrop(9),
            *FLOATS,
        ],
        [T.Resize((20, 24)), T.RandomHorizontalFlip(1.0), T.ToTensor()],
    ],
)
@pytest.mark.parametrize("pixels_at_once", [1 << 24, 3 * 20 * 24])
def test_batches_and_random_numbers_are_those_of_the_store(
    odd_photos: ImageFiles, steps: list, pixels_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clearctl.data.cache.resident._PIXELS_AT_ONCE", pixels_at_once)
    transform = stored(odd_photos, steps)
    batches = [[3, 0, 3], [0, 1, 2, 3, 4, 5, 6, 7], [7], [6, 2]]
    seeded()
    expected = [transform.pixels(numbers) for numbers in batches]
    after = state()
    with RehearsalGpu() as gpu:
        transform.resident = ResidentImages(transform.store, GPU)
        read: list[int] = []
        pixels = transform.store.pixels
        monkeypatch.setattr(transform.store, "pixels", lambda number: (read.append(number), pixels(number))[1])
        seeded()
        found = [transform.on_device(numbers) for numbers in batches]
        assert state() == after
        assert not gpu.waits
        assert all(batch.device == torch.device("cuda", 0) for batch in found)
        assert read == [3, 0, 1, 2, 4, 5, 6, 7]  # each is copied once
        assert [batch.cpu().tolist() for batch in found] == [batch.tolist() for batch in expected]
        floats, on_cpu = transform.finish(found[1]).cpu(), transform.finish(expected[1])
        assert torch.equal(floats, on_cpu)


def test_an_image_that_is_not_stored_is_read_and_copied(odd_photos: ImageFiles) -> None:
    split = split_steps(PIPELINES["published train"])
    store = ImageStore(odd_photos, split.leading, wanted=[0, 1, 2])
    fill(store, on_disk=False, image_bytes=5000)
    transform = CachedTransform(store, split)
    assert transform.why_not_resident() is None
    seeded()
    expected = [transform.pixels([2, 4]), transform.pixels([1, 2])]
    with RehearsalGpu():
        transform.resident = ResidentImages(store, GPU)
        seeded()
        assert [transform.on_device(numbers).cpu().tolist() for numbers in ([2, 4], [1, 2])] == [
            batch.tolist() for batch in expected
        ]


def test_a_damaged_image_is_decoded_again(photos: ImageFiles, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    transform = stored(photos, PIPELINES["published test"], tmp_path / "store")
    expected = transform.pixels([0, 1, 2])
    segment = next((tmp_path / "store").glob("*.images"))
    content = bytearray(segment.read_bytes())
    content[5] ^= 1  # of the first image
    segment.write_bytes(content)
    again = CachedTransform(ImageStore(photos, transform.store.leading, tmp_path / "store"), transform.split)
    with RehearsalGpu():
        again.resident = ResidentImages(again.store, GPU)
        assert again.on_device([0, 1, 2]).cpu().tolist() == expected.tolist()
        assert not again.store.has(0)
        assert again.on_device([2, 0]).cpu().tolist() == expected[[2, 0]].tolist()


def test_an_image_that_comes_out_in_another_size_is_refused(
    photos: ImageFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    transform = stored(photos, PIPELINES["published test"])
    with RehearsalGpu():
        transform.resident = ResidentImages(transform.store, GPU)
        other = torch.zeros(3, 60, 70, dtype=torch.uint8)
        monkeypatch.setattr(transform.store, "pixels", lambda number: other)
        with pytest.raises(DatasetError, match=r"1\.jpg \(bucket 1\) changed while the run used it"):
            transform.on_device([1])


def test_copies_read_from_the_store(photos: ImageFiles) -> None:
    """Worker processes, which may not use the GPU of their parent, and whoever copies a dataset."""
    transform = stored(photos, PIPELINES["published test"])
    with RehearsalGpu():
        transform.resident = ResidentImages(transform.store, GPU)
        for other in (pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)):
            assert other.resident is None
            assert torch.equal(other.pixels([1, 2]), transform.pixels([1, 2]))
