"""Resident images come in the batches that worker processes would make, with their random numbers."""

from typing import Any

import pytest
import torch
from avalanche.benchmarks.utils.data_loader import ReplayDataLoader, SingleDatasetDataLoader
from pictures import write_photos
from pipelines import PIPELINES
from rehearsal.gpu import CUDA, RehearsalGpu

from clearctl.data.cache.build import fill
from clearctl.data.cache.files import CachedImages, ImageFiles
from clearctl.data.cache.resident import ResidentImages
from clearctl.data.cache.store import ImageStore
from clearctl.data.cache.transform import CachedTransform
from clearctl.data.samples import ImageSamples
from clearctl.data.stream import Bucket, Stream
from clearctl.data.transforms import split_steps
from clearctl.distributed import world
from clearctl.strategies.loading.benchmark import build_benchmark
from clearctl.strategies.loading.gather import gathering
from clearctl.strategies.patches import applied
from clearctl.strategies.strategy import Loader

IMAGES = 23


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> ImageFiles:
    return write_photos(tmp_path_factory.mktemp("photos"), IMAGES)


def transform_of(photos: ImageFiles, *, shares_reading: bool = False) -> CachedTransform:
    split = split_steps(PIPELINES["published train"])
    store = ImageStore(photos, split.leading)
    fill(store, on_disk=False, image_bytes=5000)
    return CachedTransform(store, split, shares_reading)


def loader_of(photos: ImageFiles, transform: CachedTransform, kind: str, workers: int) -> Any:
    """One of Avalanche's: over all images, or with a memory of five that starts again during the epoch."""
    samples = ImageSamples(photos.root, "0", [(path, number % 3) for number, path in enumerate(photos.paths)])
    images = CachedImages.of(samples, photos.numbers())
    [experience] = build_benchmark(
        Stream((Bucket("0", images, images),), ("a", "b", "c")), transform, transform
    ).train_stream
    dataset = experience.dataset
    given: dict[str, Any] = dict(num_workers=workers, shuffle=True)
    if kind == "one":
        return SingleDatasetDataLoader(dataset, batch_size=4, **given)
    memory = dataset.subset([0, 5, 7, 9, 11])
    return ReplayDataLoader(
        dataset,
        memory,
        oversample_small_tasks=True,
        batch_size=3,
        batch_size_mem=2,
        task_balanced_dataloader=False,
        **given,
    )


def read(loader: Loader) -> list[list[list[Any]]]:
    """Every batch of two epochs, each followed by a draw of the step that it is for."""
    torch.manual_seed(3)
    found = []
    for _ in range(2):
        for batch in loader:
            found.append([*(part.cpu().tolist() for part in batch), torch.rand(1).tolist()])
    return found


@pytest.mark.parametrize("kind", ["one", "with memory"])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_batches_are_those_of_worker_processes(photos: ImageFiles, kind: str, workers: int) -> None:
    transform = transform_of(photos)
    with applied():
        expected = read(gathering(loader_of(photos, transform, kind, workers), torch.device("cpu")))
    with applied(), RehearsalGpu():
        transform.resident = ResidentImages(transform.store, torch.device(CUDA))
        loader = gathering(loader_of(photos, transform, kind, workers), torch.device(CUDA))
        found = read(loader)
    assert found == expected
    assert len(found) > 10


def test_processes_that_share_batches_draw_as_their_workers_would(
    photos: ImageFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "size", lambda: 2)
    transform = transform_of(photos, shares_reading=True)
    by_rank = []
    for rank in (0, 1):
        monkeypatch.setattr(world, "rank", lambda rank=rank: rank)
        transform.resident = None
        with applied():
            expected = read(gathering(loader_of(photos, transform, "one", 2), torch.device("cpu")))
        with applied(), RehearsalGpu():
            transform.resident = ResidentImages(transform.store, torch.device(CUDA))
            assert read(gathering(loader_of(photos, transform, "one", 2), torch.device(CUDA))) == expected
        by_rank.append(expected)
    assert by_rank[0] != by_rank[1]


def test_no_worker_process_is_started(photos: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*given: Any, **named: Any) -> None:
        raise AssertionError("a worker process was started")

    monkeypatch.setattr("clearctl.strategies.loading.gather.DataLoader", started)
    transform = transform_of(photos)
    with applied(), RehearsalGpu():
        transform.resident = ResidentImages(transform.store, torch.device(CUDA))
        assert len(read(gathering(loader_of(photos, transform, "one", 2), torch.device(CUDA)))) == 12
        transform.resident = None
        with pytest.raises(AssertionError, match="a worker process was started"):
            read(gathering(loader_of(photos, transform, "one", 2), torch.device(CUDA)))
