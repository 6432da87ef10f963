"""Pipelines over a store are bit for bit what they are over Pillow's images, given the same random numbers."""

import pickle
import random

import pytest
import torch
from pipelines import FLOATS, PIPELINES, plain, seeded, state
from torchvision import transforms as T

from clearctl.data.cache.build import fill
from clearctl.data.cache.files import ImageFiles
from clearctl.data.cache.store import ImageStore
from clearctl.data.cache.transform import CachedTransform
from clearctl.data.transforms import split_steps
from clearctl.errors import DatasetError

pytest_plugins = ("pictures",)


def stored(files: ImageFiles, steps: list, folder=None) -> CachedTransform:
    split = split_steps(steps)
    store = ImageStore(files, split.leading, folder)
    if folder:
        folder.mkdir(parents=True)
    fill(store, on_disk=folder is not None, image_bytes=5000, segment_bytes=20_000)
    assert store.missing() == []
    return CachedTransform(store, split)


@pytest.mark.parametrize("where", ["disk", "memory", "nowhere"])
@pytest.mark.parametrize("name", PIPELINES)
def test_bits_and_random_numbers_are_those_of_the_plain_pipeline(odd_photos, tmp_path, name, where):
    steps = PIPELINES[name]
    numbers = [3, 0, *range(len(odd_photos)), 3]
    seeded()
    expected = plain(odd_photos, steps, numbers)
    after = state()
    if where == "nowhere":
        transform = CachedTransform(ImageStore(odd_photos, split_steps(steps).leading), split_steps(steps))
    else:
        transform = stored(odd_photos, steps, tmp_path / "store" if where == "disk" else None)
    transform = pickle.loads(pickle.dumps(transform)) if name != "looks at more" else transform

    seeded()
    one_by_one = [transform(number) for number in numbers]
    assert state() == after
    for found, wanted in zip(one_by_one, expected, strict=True):
        assert found.dtype == wanted.dtype
        assert torch.equal(found, wanted)

    if len({x.shape for x in expected}) > 1:
        with pytest.raises(RuntimeError) as plain_error:
            torch.stack(expected)
        with pytest.raises(RuntimeError) as error:
            transform.pixels(numbers)
        assert type(error.value) is type(plain_error.value)
        assert "stack expects each tensor to be equal size" in str(error.value)
        return
    seeded()
    pixels = transform.pixels(numbers)
    assert state() == after
    assert pixels.is_contiguous()
    assert torch.equal(transform.finish(pixels), torch.stack(expected))


def test_stored_bytes_stay_bytes_until_the_batch_is_finished(photos):
    assert stored(photos, PIPELINES["published train"]).pixels([0, 1]).dtype == torch.uint8
    assert stored(photos, PIPELINES["colours"]).pixels([0, 1]).dtype == torch.uint8


def test_nobody_sees_a_batch_or_the_store_change(photos):
    """What was given out stays as it is, views of it too, whatever comes after and whatever is written into it."""
    transform = stored(photos, [T.Resize((300, 300)), *FLOATS])
    first = transform.batch([0, 1, 2])
    views = [transform.batch([number])[0, 1:, 10:] for number in range(3)]
    kept = [x.clone() for x in (first, *views)]
    for _ in range(10):
        transform.pixels([3, 4, 5]).fill_(7)
        transform.batch([3, 4, 5]).fill_(7)
        transform(4).fill_(7)
    assert all(torch.equal(x, y) for x, y in zip((first, *views), kept, strict=True))
    assert torch.equal(transform.batch([0, 1, 2]), first)
    assert torch.equal(transform.batch([3])[0], plain(photos, [T.Resize((300, 300)), *FLOATS], [3])[0])


def test_faults_are_those_of_the_pipeline(photos):
    steps = [T.Resize(20), T.RandomCrop(30), *FLOATS]
    with pytest.raises(ValueError, match="Required crop size") as expected:
        plain(photos, steps, [0])
    with pytest.raises(ValueError, match="Required crop size") as found:
        stored(photos, steps)(0)
    assert str(found.value) == str(expected.value)
    with pytest.raises(ValueError, match="division by zero"):
        stored(photos, [T.Resize(20), T.ToTensor(), T.Normalize([0.5] * 3, [0.5, 0.0, 0.5])])(0)


@pytest.mark.parametrize("on_disk", [True, False])
def test_worker_processes_read_the_same(photos, tmp_path, on_disk):
    """Through torch's own loader, two processes, number by number."""
    steps = PIPELINES["published test"]
    transform = stored(photos, steps, tmp_path / "store" if on_disk else None)

    class Transformed(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(photos)

        def __getitem__(self, index: int) -> torch.Tensor:
            return transform(index)

    loader = torch.utils.data.DataLoader(Transformed(), batch_size=4, num_workers=2)
    assert torch.equal(torch.cat(list(loader)), torch.stack(plain(photos, steps, list(range(len(photos))))))


def test_a_worker_names_the_image_it_cannot_decode(photos):
    steps = PIPELINES["published test"]
    (photos.root / photos.paths[3]).write_bytes(b"no image")
    transform = CachedTransform(ImageStore(photos, split_steps(steps).leading), split_steps(steps))
    with pytest.raises(DatasetError, match=r"3\.jpg \(bucket 1\) cannot be decoded"):
        transform(3)


@pytest.mark.parametrize("name", PIPELINES)
def test_an_image_itself_goes_the_whole_way(photos, name):
    """What looks at one sample of a dataset, such as a metric that draws some, hands over the image."""
    steps = PIPELINES[name]
    transform = stored(photos, steps)
    for number in range(len(photos)):
        torch.manual_seed(number)
        random.seed(number)
        expected = transform(number)
        torch.manual_seed(number)
        random.seed(number)
        assert torch.equal(transform(photos.decode(number)), expected)
