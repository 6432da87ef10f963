"""Folders of CLEAR's layout to measure on: features of random numbers, JPEGs of noise, or nothing but names."""

import json
import shutil
from pathlib import Path

CLASSES = 11
ROWS = 3300  # of a bucket of CLEAR-10
DIMENSION = 2048
Size = tuple[int, int]  # width, height
SIZE_PX = (500, 375)
DISTINCT_IMAGES = 64


def feature_folder(
    root: Path,
    buckets: int,
    rows: int = ROWS,
    dimension: int = DIMENSION,
    classes: int = CLASSES,
    *,
    apart: float = 0.0,
    scale: float = 1.0,
) -> Path:
    """A prepared folder with features "random" [rows, dimension] of each bucket, made unless it exists.

    Each number has a deviation of 1 about the mean of its class, and those means have a deviation of `apart` about 0;
    all numbers are times `scale`.
    """
    import torch

    if root.exists():
        return root
    training = root / "training_folder"
    generator = torch.Generator().manual_seed(0)
    y = [row % classes for row in range(rows)]
    means = apart * torch.randn(classes, dimension, generator=torch.Generator().manual_seed(1))
    names = [str(number) for number in range(1, buckets + 1)]
    for name in names:
        (training / "filelists" / name).mkdir(parents=True)
        (training / "filelists" / name / "all.txt").write_text("\n".join(f"{i}.jpg {k}" for i, k in enumerate(y)))
        (training / "features" / "random" / name).mkdir(parents=True)
        x = scale * (torch.randn(rows, dimension, generator=generator) + means[y])
        torch.save((x, y), training / "features" / "random" / name / "all.pth")
    (training / "bucket_indices.json").write_text(json.dumps(names))
    (root / "class_names.txt").write_text("\n".join(map(str, range(classes))))
    return root


def image_folder(root: Path, images: int, *, buckets: int = 1, classes: int = 2, size_px: Size = SIZE_PX) -> Path:
    """A raw folder of `images` a bucket: JPEGs of noise smooth enough to compress as photographs do (81 KiB).

    Only the first 64 are encoded, the others are copies: decoding one takes as long.
    """
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    names, each = [f"class {number:02}" for number in range(classes)], images // classes
    files = [
        root / f"labeled_images/{bucket}/{name}/{number}.jpg"
        for bucket in range(1, buckets + 1)
        for name in names
        for number in range(each)
    ]
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        if number >= DISTINCT_IMAGES:
            shutil.copyfile(files[number % DISTINCT_IMAGES], file)
            continue
        coarse = Image.fromarray(generator.integers(0, 256, (94, 125, 3), dtype=np.uint8))
        coarse.resize(size_px, Image.Resampling.BICUBIC).save(file, quality=92)
    _write_metadata(root, buckets, names, each)
    return root


def name_folder(root: Path, buckets: int, classes: int, images: int) -> Path:
    """A raw folder whose images are empty files."""
    names = [f"class {number}" for number in range(classes)]
    for bucket in range(1, buckets + 1):
        for name in names:
            folder = root / "labeled_images" / str(bucket) / name
            folder.mkdir(parents=True)
            for number in range(images):
                (folder / f"{number}.jpg").touch()
    _write_metadata(root, buckets, names, images)
    return root


def _write_metadata(root: Path, buckets: int, names: list[str], images: int) -> None:
    index: dict[str, dict[str, str]] = {}
    for bucket in map(str, range(1, buckets + 1)):
        index[bucket] = {}
        for name in names:
            path = f"labeled_metadata/{bucket}/{name}.json"
            records = {}
            for number in range(images):
                identifier = f"{bucket}{name.removeprefix('class ')}{number:04}"
                records[identifier] = {"ID": identifier, "IMG_PATH": f"labeled_images/{bucket}/{name}/{number}.jpg"}
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(json.dumps(records))
            index[bucket][name] = path
    (root / "labeled_metadata.json").write_text(json.dumps(index))
    (root / "class_names.txt").write_text("\n".join(names))
