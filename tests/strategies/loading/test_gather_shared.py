"""Batches of images of which each of several processes reads its part."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from avalanche.benchmarks.utils.data_loader import SingleDatasetDataLoader
from PIL import Image
from process_groups import run_in_processes
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms as T

from clearctl.data.cache.build import fill
from clearctl.data.cache.files import CachedImages, list_files
from clearctl.data.cache.store import ImageStore
from clearctl.data.cache.transform import CachedTransform
from clearctl.data.samples import ImageSamples
from clearctl.data.stream import Bucket, Stream
from clearctl.data.transforms import split_steps
from clearctl.distributed import world
from clearctl.distributed.randomness import passes, random_states, seed_everything, set_random_states
from clearctl.distributed.split import Shard
from clearctl.models.parallel import share_passes
from clearctl.strategies.loading.benchmark import build_benchmark
from clearctl.strategies.loading.gather import collated, gathering
from clearctl.strategies.patches import applied

IMAGES, BATCH, SIZE, CROP = 23, 10, 24, 8
CPU = torch.device("cpu")
SIZES = [10, 10, 3]  # of which two processes cut the first two
STEPS = {
    "still": [T.CenterCrop(SIZE - 2), T.CenterCrop(CROP), T.ToTensor()],
    "random": [T.CenterCrop(SIZE - 2), T.RandomCrop(CROP), T.RandomHorizontalFlip(), T.ToTensor()],
}

Read = list[tuple[int, int, int]]  # of each row: the image's number, and the row and column of its first pixel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images whose pixels tell their row, their column and the image's number; stored for the random transforms."""
    root = tmp_path_factory.mktemp("images")
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for number in range(IMAGES):
        pixels = np.stack([rows, columns, np.full_like(rows, number)], axis=2)
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"{number:02}.png")
    files = list_files([images(root)])
    fill(ImageStore(files, split_steps(STEPS["random"]).leading, root / "store"), on_disk=True, image_bytes=3 * SIZE**2)
    return root


def images(root: Path) -> ImageSamples:
    return ImageSamples(root, "0", [(f"{number:02}.png", number % 3) for number in range(IMAGES)])


def dataset(root: Path, kind: str, *, shares: bool) -> tuple[Any, list[int]]:
    """An Avalanche dataset of the images, and which of them have been read by this process, in order."""
    files = list_files([images(root)])
    samples = CachedImages.of(images(root), files.numbers())
    split = split_steps(STEPS[kind])
    store = ImageStore(files, split.leading, root / "store" if kind == "random" else None)
    transform = CachedTransform(store, split, shares_reading=shares)
    asked: list[int] = []
    sample = transform.sample

    def counted(number: int) -> torch.Tensor:
        asked.append(number)
        return sample(number)

    transform.sample = counted  # type: ignore[method-assign]
    stream = Stream((Bucket("0", samples, samples),), ("a", "b", "c"))
    [experience] = build_benchmark(stream, transform, transform).train_stream
    return experience.dataset, asked


def seen(x: torch.Tensor) -> Read:
    corners = (x.as_subclass(torch.Tensor)[:, [2, 0, 1], 0, 0] * 255).round().int()
    return [(int(number), int(row), int(column)) for number, row, column in corners]


def loaded(root: Path, kind: str, workers: int, shares: bool) -> dict[str, Any]:
    """One time through a shuffled loader."""
    seed_everything(3)
    data, asked = dataset(root, kind, shares=shares)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * CROP**2, 2))
    if world.size() > 1:
        share_passes(network)
    found: dict[str, Any] = {name: [] for name in ("rows", "labels", "asked", "scores", "sizes")}
    loader = SingleDatasetDataLoader(data, batch_size=BATCH, shuffle=True, num_workers=workers)
    for x, y, *_ in gathering(loader, CPU):
        found["rows"].append(seen(x))
        found["labels"].append(y.tolist())
        found["asked"].append(list(asked))
        found["sizes"].append(x.sizes if isinstance(x, Shard) else None)
        with torch.no_grad():
            found["scores"].append(network.eval()(x))
        asked.clear()
    found["passes"] = passes()
    found["drawn"] = random.random(), float(np.random.rand()), float(torch.rand(()))
    return found


def all_loaded(root: Path) -> dict[str, dict[str, Any]]:
    with applied():
        return {
            "still": loaded(root, "still", 0, True),
            "still, by workers": loaded(root, "still", 2, True),
            "random": loaded(root, "random", 0, True),
            "random, by workers": loaded(root, "random", 2, True),
            "mixed": loaded(root, "random", 0, False),
            "mixed, by workers": loaded(root, "random", 2, False),
        }


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, Any]:
    states = random_states()
    try:
        return {
            **{kind: loaded(folder, kind, 0, False) for kind in STEPS},
            **{f"{kind}, by workers": loaded(folder, kind, 2, False) for kind in STEPS},
        }
    finally:
        set_random_states(states)


@pytest.fixture(scope="module")
def together(folder: Path) -> list[dict[str, Any]]:
    return run_in_processes(2, all_loaded, folder)


def numbers(batches: list[Read]) -> list[list[int]]:
    return [[number for number, *_ in rows] for rows in batches]


def places(batches: list[Read]) -> list[list[tuple[int, int]]]:
    return [[(row, column) for _, row, column in rows] for rows in batches]


@pytest.mark.parametrize("name", ["still", "still, by workers", "random", "random, by workers"])
def test_each_reads_its_rows_and_all_get_all_scores(name: str, alone: dict[str, Any], together: list[Any]) -> None:
    expected, (first, second) = alone[name], [loadings[name] for loadings in together]
    whole = numbers(expected["rows"])
    assert [len(rows) for rows in whole] == SIZES
    assert first["labels"] == second["labels"] == expected["labels"]
    assert first["sizes"] == second["sizes"] == [(size,) for size in SIZES]
    for ours, theirs, rows in zip(numbers(first["rows"]), numbers(second["rows"]), whole, strict=True):
        assert (ours + theirs == rows) if len(rows) == BATCH else (ours == theirs == rows)
    if "workers" not in name:
        assert first["asked"] == numbers(first["rows"])
        assert second["asked"] == numbers(second["rows"])
    for ours, theirs, scores in zip(first["scores"], second["scores"], expected["scores"], strict=True):
        assert ours.shape == scores.shape
        if name == "still":
            assert torch.equal(ours, theirs)
        if "still" in name:
            torch.testing.assert_close(ours, scores)


def test_random_transforms_differ_between_the_processes(alone: dict[str, Any], together: list[Any]) -> None:
    first, second = (places(loadings["random"]["rows"]) for loadings in together)
    drawn = [rows for batches in (first, second) for rows in batches[:2]]
    assert len({tuple(rows) for rows in drawn}) == 4
    assert first[2] == second[2]  # the short batch, which each computes
    assert [loadings["random"]["passes"] for loadings in together] == [2, 2]
    assert together[0]["random"]["drawn"] == together[1]["random"]["drawn"]


def test_and_between_their_workers(together: list[Any]) -> None:
    """Of the batches, two are the first of their worker, so that alike workers would draw the same."""
    drawn = [rows for loadings in together for rows in places(loadings["random, by workers"]["rows"])[:2]]
    assert len({tuple(rows) for rows in drawn}) == 4
    assert together[0]["random, by workers"]["drawn"] == together[1]["random, by workers"]["drawn"]


@pytest.mark.parametrize("workers", ["", ", by workers"])
def test_what_is_to_be_mixed_is_read_whole_and_alike(workers: str, alone: dict[str, Any], together: list[Any]) -> None:
    expected = alone[f"random{workers}"]
    for loadings in together:
        found = loadings[f"mixed{workers}"]
        assert found["sizes"] == [None] * 3
        assert found["rows"] == expected["rows"]
        assert found["drawn"] == expected["drawn"]


def read_by_plugins(root: Path) -> dict[str, Any]:
    """What plugins read: a choice from a memory, as A-GEM does, and a loader that EWC makes."""
    seed_everything(3)
    data, asked = dataset(root, "random", shares=True)
    chosen, y, *_ = collated(data, [7, 3, 9, 11, 4])
    few, *_ = collated(data, [5, 6])
    joined = torch.cat([chosen, few])
    assert isinstance(joined, Shard) == (world.size() > 1)
    found = {"labels": y.tolist(), "asked": list(asked), "chosen": seen(chosen), "few": seen(few)}
    found["joined"] = joined.sizes if isinstance(joined, Shard) else (len(chosen), len(few))
    with applied():
        for workers in (0, 1):
            found[f"batches of {workers}"] = [seen(x) for x, *_ in DataLoader(data, batch_size=12, num_workers=workers)]
    return found


def test_what_plugins_read(folder: Path) -> None:
    first, second = run_in_processes(2, read_by_plugins, folder)
    assert first["labels"] == second["labels"] == [1, 0, 0, 2, 1]
    assert first["asked"] == [7, 3, 5, 6]
    assert second["asked"] == [9, 11, 4, 5, 6]
    assert first["few"] == second["few"]
    assert first["joined"] == second["joined"] == (5, 2)
    for workers, counts in ((0, ([6, 5], [6, 6])), (1, ([12, 11], [12, 11]))):
        ours, theirs = first[f"batches of {workers}"], second[f"batches of {workers}"]
        assert ([len(rows) for rows in ours], [len(rows) for rows in theirs]) == counts
        if workers:
            assert ours == theirs  # read whole, and drawn alike
