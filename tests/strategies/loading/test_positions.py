"""An iterator continues from the position of another: the same batches and random numbers, at the same moments."""

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from avalanche.benchmarks.utils.data_loader import (
    GroupBalancedInfiniteDataLoader,
    MultiDatasetDataLoader,
    ReplayDataLoader,
    SingleDatasetDataLoader,
)
from avalanche.training.utils import cycle
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_gather import CPU, batches, datasets, stream
from torch.utils.data import DataLoader
from torchvision import transforms as T

from clearctl.data.cache.files import CachedImages, list_files
from clearctl.data.cache.store import ImageStore
from clearctl.data.cache.transform import CachedTransform
from clearctl.data.samples import ImageSamples
from clearctl.data.stream import Bucket, Stream
from clearctl.data.transforms import split_steps
from clearctl.strategies.loading.benchmark import build_benchmark
from clearctl.strategies.loading.gather import CollatingLoader, GatheringLoader, collating, gathering
from clearctl.strategies.loading.positions import Endless, LoaderPosition

pytest_plugins = ("blobs",)

Taken = list[tuple[list[torch.Tensor], torch.Tensor, object]]  # batches, and both generators' states after each


def states() -> tuple[torch.Tensor, Any]:
    return torch.get_rng_state(), random.getstate()


def set_states(found: tuple[torch.Tensor, Any]) -> None:
    torch.set_rng_state(found[0])
    random.setstate(found[1])


def take(iterator: Any, limit: int) -> Taken:
    """At most `limit` batches, with noise drawn after each, as dropout does."""
    taken: Taken = []
    while len(taken) < limit and (batch := next(iterator, None)) is not None:
        taken.append(([part.clone() for part in batch], *states()))
        torch.rand(1)
    return taken


def written_and_read(position: LoaderPosition) -> LoaderPosition:
    """What a file gives back, of which nothing but plain values and tensors is read."""
    file = io.BytesIO()
    torch.save(position, file)
    file.seek(0)
    found: LoaderPosition = torch.load(file, weights_only=True)
    return found


def assert_equal(found: Taken, expected: Taken) -> None:
    assert len(found) == len(expected)
    for (ours, *our_states), (theirs, *their_states) in zip(found, expected, strict=True):
        assert [part.dtype for part in ours] == [part.dtype for part in theirs]
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
        assert torch.equal(our_states[0], their_states[0])
        assert our_states[1] == their_states[1]


def assert_goes_on(make: Callable[[], Any], after: int, limit: int = 60) -> None:
    """What follows `after` batches of `make()` follows in another iterator that goes there, and past the end too."""
    torch.manual_seed(3)
    random.seed(3)
    iterator = make()
    take(iterator, after)
    position, there = written_and_read(iterator.position()), states()
    expected = take(iterator, limit)

    torch.manual_seed(99)
    random.seed(99)
    other = make()
    take(other, 1)  # wherever it stands
    other.seek(position)
    set_states(there)
    assert_equal(take(other, limit), expected)
    if len(expected) < limit:
        assert next(iterator, None) is None
        assert next(other, None) is None


def made(kind: str, loader: Any) -> Any:
    found = gathering(loader, CPU) if kind == "gathering" else collating(loader, CPU)
    assert type(found) is (GatheringLoader if kind == "gathering" else CollatingLoader)
    return found


kinds = st.sampled_from(["gathering", "collating"])


@settings(max_examples=60, deadline=None)
@given(
    kind=kinds,
    size=st.integers(1, 20),
    batch=st.integers(1, 8),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    after=st.integers(0, 8),
)
def test_one_dataset(kind: str, size: int, batch: int, shuffle: bool, drop_last: bool, after: int) -> None:
    [dataset] = datasets([size])
    loader = made(kind, SingleDatasetDataLoader(dataset, batch_size=batch, shuffle=shuffle, drop_last=drop_last))
    assert_goes_on(lambda: iter(loader), after)
    if size >= batch or not drop_last:
        assert_goes_on(lambda: Endless(loader), after, limit=20)


@settings(max_examples=60, deadline=None)
@given(
    kind=kinds,
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    batch=st.integers(1, 5),
    oversample=st.booleans(),
    longest=st.booleans(),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    after=st.integers(0, 10),
)
def test_several_datasets(
    kind: str,
    sizes: list[int],
    batch: int,
    oversample: bool,
    longest: bool,
    shuffle: bool,
    drop_last: bool,
    after: int,
) -> None:
    loader = MultiDatasetDataLoader(
        datasets(sizes),
        [batch + n % 2 for n in range(len(sizes))],
        termination_dataset=-1 if longest else 0,
        oversample_small_datasets=oversample,
        shuffle=shuffle,
        drop_last=drop_last,
    )
    assert_goes_on(lambda: iter(made(kind, loader)), after)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("kind", ["gathering", "collating"])
def test_replay_and_endless_loaders(kind: str, shuffle: bool) -> None:
    new, old, older = datasets([20, 7, 5])
    replay = ReplayDataLoader(
        new, old.concat(older), oversample_small_tasks=True, batch_size=6, batch_size_mem=4, shuffle=shuffle
    )
    endless = GroupBalancedInfiniteDataLoader([new, old, older], batch_size=4, shuffle=shuffle)
    for after in range(9):
        assert_goes_on(lambda: iter(made(kind, replay)), after)
        assert_goes_on(lambda: iter(made(kind, endless)), after, limit=12)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    batch=st.integers(1, 5),
    oversample=st.booleans(),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
)
def test_samples_are_collated_as_avalanches_loader_does(
    sizes: list[int], batch: int, oversample: bool, shuffle: bool, drop_last: bool
) -> None:
    noisy = build_benchmark(stream(sizes), lambda x: x + torch.rand(()), None).train_stream
    loader = MultiDatasetDataLoader(
        [experience.dataset for experience in noisy],
        [batch] * len(sizes),
        oversample_small_datasets=oversample,
        shuffle=shuffle,
        drop_last=drop_last,
    )
    ours = collating(loader, CPU)
    assert len(ours) == len(loader)
    for _ in range(2):
        (found, state), (expected, expected_state) = batches(ours), batches(loader)
        assert len(found) == len(expected)
        assert all(torch.equal(a, b) for f, e in zip(found, expected, strict=True) for a, b in zip(f, e, strict=True))
        assert torch.equal(state, expected_state)
    assert_goes_on(lambda: iter(ours), 2)


def test_loaders_with_workers_or_unknown_arguments_are_left_alone() -> None:
    [dataset] = datasets([4])
    for arguments in ({"num_workers": 1}, {"timeout": 3}):
        loader = SingleDatasetDataLoader(dataset, batch_size=2, **arguments)
        assert collating(loader, CPU) is loader
    assert collating([1], CPU) == [1]


@pytest.mark.parametrize(("size", "batch", "drop_last"), [(7, 3, True), (7, 3, False), (6, 3, True), (3, 3, True)])
def test_passes_without_end_are_those_of_cycle(size: int, batch: int, drop_last: bool) -> None:
    [dataset] = datasets([size])
    loader = SingleDatasetDataLoader(dataset, batch_size=batch, shuffle=True, drop_last=drop_last)
    found = []
    for iterator in (
        cycle(DataLoader(dataset, batch_size=batch, shuffle=True, drop_last=drop_last)),
        Endless(gathering(loader, CPU)),
        Endless(collating(loader, CPU)),
    ):
        torch.manual_seed(3)
        found.append(take(iterator, 12))
    assert_equal(found[1], found[0])
    assert_equal(found[2], found[0])


@pytest.mark.parametrize("left_at", [0, 2, 3])
def test_an_earlier_pass_comes_first(left_at: int) -> None:
    old, new = (
        gathering(SingleDatasetDataLoader(dataset, batch_size=3, shuffle=True), CPU) for dataset in datasets([8, 7])
    )
    torch.manual_seed(3)
    earlier = iter(old)
    take(earlier, left_at)
    position, there = written_and_read(earlier.position()), states()
    expected = [*take(earlier, 9), *take(Endless(new), 6)]
    set_states(there)
    assert_equal(take(Endless(new, old, position), len(expected)), expected)
    for after in range(6):
        assert_goes_on(lambda: Endless(new, old, position), after, limit=8)


@pytest.mark.parametrize("stored", [True, False])
def test_images_with_random_transforms(tmp_path: Path, stored: bool) -> None:
    noise = torch.randint(0, 256, (9, 12, 12, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    listed = [(f"{number}.png", number % 3) for number in range(len(noise))]
    for (name, _), pixels in zip(listed, noise, strict=True):
        Image.fromarray(pixels.numpy()).save(tmp_path / name)
    images: Any = ImageSamples(tmp_path, "0", listed)
    steps = [T.RandomCrop(8), T.RandomHorizontalFlip(), T.RandomChoice([T.RandomGrayscale(0.5), T.ColorJitter(0.5)])]
    steps = [*steps, T.ToTensor()]
    transform: Any = T.Compose(steps)
    if stored:
        files = list_files([images])
        images = CachedImages.of(images, files.numbers())
        split = split_steps(steps)
        transform = CachedTransform(ImageStore(files, split.leading), split)
    [experience] = build_benchmark(
        Stream((Bucket("0", images, images),), ("a", "b", "c")), transform, transform
    ).train_stream
    plain = SingleDatasetDataLoader(experience.dataset, batch_size=2, shuffle=True)
    loader = made("gathering" if stored else "collating", plain)
    torch.manual_seed(3)
    random.seed(3)
    expected = take(iter(plain), 9)
    torch.manual_seed(3)
    random.seed(3)
    assert_equal(take(iter(loader), 9), expected)
    for after in range(6):
        assert_goes_on(lambda: iter(loader), after)


def test_views_end_where_a_batch_is_written_into() -> None:
    [dataset] = [e.dataset for e in build_benchmark(stream([64], 16), None, None).train_stream]
    loader = gathering(SingleDatasetDataLoader(dataset, batch_size=16), CPU)
    storage = loader.source.untyped_storage().data_ptr()
    for writes in (True, False):
        iterator = iter(loader)
        [x, *_] = next(iterator)
        if writes:
            x.relu_()
        position = written_and_read(iterator.position())
        for one in (iterator, iter(loader)):
            one.seek(position)
            views = [x.untyped_storage().data_ptr() == storage for x, *_ in one]
            assert views == [not writes] * 3


def test_a_batch_needs_samples() -> None:
    [dataset] = datasets([4])
    with pytest.raises(ValueError, match="a batch of 0 samples"):
        iter(gathering(GroupBalancedInfiniteDataLoader([dataset], batch_size=0), CPU))
