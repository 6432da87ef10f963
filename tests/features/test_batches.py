"""How processes share batches: each one's are read once, and no process has more to do than another."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from sharing import environment

from clearctl import layout, prepare_avalanche
from clearctl.data.cache.existing import ExistingImages
from clearctl.data.transforms import TransformStages, unchanged
from clearctl.features.batches import BucketImages, list_images, owners, read_batches


@pytest.fixture
def buckets(clear_folder) -> tuple[Path, list[BucketImages]]:
    root = clear_folder(images={("0", "camera"): 5, ("1", "camera"): 1, "camera": 3, "BACKGROUND": 1, "cup of tea": 1})
    prepare_avalanche(root, test_ratio=0)
    return root, [BucketImages(name, layout.read_filelist(layout.filelist_file(root, name))) for name in "012"]


@pytest.mark.parametrize("processes", [1, 2, 3, 9])
def test_every_batch_is_read_by_its_owner(buckets, monkeypatch, processes):
    root, todo = buckets  # 7, 3 and 5 images: batches of 2, 2, 2, 1, then 2, 1, then 2, 2, 1
    read, owned = [], []
    for rank in range(processes):
        for name, value in environment(rank, processes, 0).items():
            monkeypatch.setenv(name, value)
        images = ExistingImages(list_images(root, todo), TransformStages((), (pixels,), unchanged))
        read.append(read_batches(images, todo, batch_size=2, workers=0, pin_memory=False))
        owned = [owner for of_bucket in owners(todo, 2) for owner in of_bucket]
        read[-1] = iter(list(read[-1]))
    assert [len(of_bucket) for of_bucket in owners(todo, 2)] == [4, 2, 3]
    batches = [next(read[owner]) for owner in owned]
    assert all(not list(rest) for rest in read)
    assert [len(batch) for batch in batches] == [2, 2, 2, 1, 2, 1, 2, 2, 1]
    paths = [root / path for images in todo for path, _ in images.listed]
    assert torch.equal(torch.cat(batches), torch.stack([pixels(opened(path)) for path in paths]))
    counts = Counter(owned)
    assert max(counts.values()) - min(counts[rank] for rank in range(processes)) <= 1


def opened(path: Path):
    from PIL import Image

    return Image.open(path).convert("RGB")


def pixels(image) -> torch.Tensor:
    from torchvision.transforms.functional import pil_to_tensor

    return pil_to_tensor(image)
