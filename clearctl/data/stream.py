"""Read the stream of buckets that a run trains and tests on from a prepared dataset folder."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clearctl import layout
from clearctl.data.samples import FeatureSamples, ImageSamples
from clearctl.errors import DatasetError, UsageError

Samples = ImageSamples | FeatureSamples


@dataclass(frozen=True)
class Bucket:
    """One bucket of the stream: what is trained on and what is tested on."""

    name: str
    train: Samples
    test: Samples


@dataclass(frozen=True)
class Stream:
    """The buckets in the order they are learned, and the class names by index."""

    buckets: tuple[Bucket, ...]
    class_names: tuple[str, ...]
    feature_dim: int | None = None

    @property
    def bucket_names(self) -> list[str]:
        """The names of the buckets, in order."""
        return [bucket.name for bucket in self.buckets]

    def fingerprint(self) -> str:
        """A digest of class names, bucket names, which samples are where, and the features themselves."""
        digest = hashlib.sha256(json.dumps(self.class_names).encode())
        for bucket in self.buckets:
            for part in (bucket.train, bucket.test):
                digest.update(json.dumps([bucket.name, part.targets]).encode())
                if isinstance(part, ImageSamples):
                    digest.update(json.dumps(part.paths).encode())
                else:
                    digest.update(memoryview(part.x.contiguous().numpy()))  # type: ignore[arg-type]
        return digest.hexdigest()


def read_stream(
    root: Path,
    *,
    protocol: str = "streaming",
    seed: int | None = None,
    shot: int | None = None,
    test_ratio: float = 0.3,
    feature_type: str | None = None,
    buckets: Sequence[str | int] | None = None,
) -> Stream:
    """The stream of a prepared folder.

    `streaming`: train and test are all of each bucket. `iid`: the split of `seed`, at `test_ratio` or, with `shot`,
    the few-shot one. With `feature_type` the samples are rows of those features instead of images.
    Raises DatasetError for a folder that is not as it should be, and UsageError for a bucket it does not have.
    """
    names = _selected(layout.read_bucket_indices(root), buckets)
    class_names = tuple(layout.read_class_names(root))
    split = None
    if protocol == "iid":
        assert seed is not None
        split = (
            layout.ratio_split_folder(root, test_ratio, seed)
            if shot is None
            else layout.shot_split_folder(root, shot, seed)
        )
        _require_split(root, split, names, test_ratio, shot, seed)
    stream = []
    for name in names:
        listed = layout.read_filelist(layout.filelist_file(root, name))
        _require_labels(layout.filelist_file(root, name), listed, len(class_names))
        parts = _parts(listed, split / name if split else None)
        if feature_type is None:
            _require_images(root, name, [path for path, _ in listed])
            train, test = (ImageSamples(root, name, [listed[i] for i in part]) for part in parts)
            stream.append(Bucket(name, train, test))
        else:
            x, targets = _read_features(root, feature_type, name, listed)
            rows = [FeatureSamples(x[part], [targets[i] for i in part]) for part in parts]
            stream.append(Bucket(name, *rows))
    dimensions = {int(bucket.train.x.shape[1]) for bucket in stream if isinstance(bucket.train, FeatureSamples)}
    if len(dimensions) > 1:
        raise DatasetError(
            f"{layout.features_folder(root, str(feature_type))}: dimensions differ: {sorted(dimensions)}"
        )
    return Stream(tuple(stream), class_names, next(iter(dimensions), None))


def _selected(present: list[str], wanted: Sequence[str | int] | None) -> list[str]:
    if wanted is None:
        return present
    names = [str(name) for name in wanted]
    for name in names:
        if name not in present:
            raise UsageError(f"the dataset has no bucket {name!r}: it has {', '.join(present)}")
    return names


def _require_split(root: Path, split: Path, names: list[str], test_ratio: float, shot: int | None, seed: int) -> None:
    for name in names:
        if not (split / name).is_dir():
            if shot is None:
                command = f"prepare-avalanche --dataset-root {root} --test-ratio {test_ratio} --seeds {seed}"
            else:
                command = f"make-fewshot --dataset-root {root} --shot {shot} --seed {seed}"
            raise DatasetError(f"the split {split / name} is not on disk\nmake it with `clearctl {command}`")


def _require_labels(file: Path, listed: list[tuple[str, int]], num_classes: int) -> None:
    for number, (path, label) in enumerate(listed, 1):
        if label >= num_classes:
            raise DatasetError(
                f"{file}, line {number}: class index {label} of {path}, but class_names.txt has {num_classes} classes"
            )


def _parts(listed: list[tuple[str, int]], split: Path | None) -> tuple[list[int], list[int]]:
    """The line numbers (from 0) of the file list that are trained on and tested on."""
    if split is None:
        everything = list(range(len(listed)))
        return everything, everything
    parts = []
    for part in ("train", "test"):
        file = split / f"{part}_indices.json"
        indices = layout.read_json(file)
        valid = isinstance(indices, list) and all(isinstance(i, int) and 0 <= i < len(listed) for i in indices)
        if not valid or not indices:
            raise DatasetError(f"{file}: expected a list of line numbers, 0 to {len(listed) - 1}, of the file list")
        if layout.read_filelist(split / f"{part}.txt") != [listed[i] for i in indices]:
            raise DatasetError(
                f"{split / f'{part}.txt'} and {file.name} disagree with the file list\n"
                "they were made for another one: run `clearctl prepare-avalanche --force`"
            )
        parts.append(indices)
    return parts[0], parts[1]


def _require_images(root: Path, bucket: str, paths: list[str]) -> None:
    """Raise DatasetError unless every listed image is there; each folder is read once, no file is opened."""
    present: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder not in present:
            try:
                present[folder] = set(os.listdir(root / folder))
            except OSError:
                present[folder] = set()
        if name not in present[folder]:
            missing.append(path)
    if missing:
        raise DatasetError(
            f"{root / missing[0]} (bucket {bucket}) is listed but not there; {len(missing)} of the bucket's"
            f" {len(paths)} images are missing"
        )


def _numpy_integers() -> list[Any]:
    """What a pickled numpy integer is made of, under the name of numpy 1 and of numpy 2."""
    make_scalar = np.int64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    dtypes = [type(np.dtype(kind)) for kind in (np.int32, np.int64)]
    return [*((make_scalar, name) for name in names), np.dtype, *dtypes]


def _read_features(root: Path, name: str, bucket: str, listed: list[tuple[str, int]]) -> tuple[torch.Tensor, list[int]]:
    """(x [N, D] float32, N class indices) of a bucket, checked against its file list."""
    file = layout.features_file(root, name, bucket)
    if not file.exists():
        folder = layout.features_folder(root, name).parent
        present = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
        raise DatasetError(f"no features {name!r}: {file} is missing\nfeatures there: {', '.join(present) or 'none'}")
    try:
        # Older tools stored the labels as numpy integers; nothing beyond those is unpickled.
        with torch.serialization.safe_globals(_numpy_integers()):
            x, labels = torch.load(file, map_location="cpu", weights_only=True)
        targets = [int(label) for label in labels]
        shape = tuple(x.shape)
    except Exception as error:
        reason = (str(error) or "it is empty").splitlines()[0]
        raise DatasetError(f"{file} is not (tensor [N, D], list of N ints): {reason}") from None
    if len(shape) != 2 or shape[0] != len(listed):
        raise DatasetError(f"{file}: features have shape {shape}, but the bucket's file list has {len(listed)} images")
    if targets != [label for _, label in listed]:
        raise DatasetError(f"{file}: its labels are not those of the bucket's file list")
    return x.float(), targets
