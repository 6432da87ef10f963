"""Read the stream of buckets that a run trains and tests on from a prepared dataset folder."""

import difflib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from clearctl import filelists, layout
from clearctl.data.feature_matrix import read_matrix
from clearctl.data.feature_parts import FeatureParts, FeatureSource, blocks_of
from clearctl.data.parts import parts_of_buckets, require_split
from clearctl.data.samples import FeatureSamples, ImageSamples
from clearctl.errors import ConfigError, DatasetError, UsageError
from clearctl.selection import Selection
from clearctl.wording import few

Samples = ImageSamples | FeatureSamples
ALL = Selection()


@dataclass(frozen=True)
class Bucket:
    """One bucket of the stream: what is trained on, what is tested on, and what is held out of both, if anything is.

    `left_out` are the images of the test part whose class is none of the stream's, if these are requested; all have
    the class index 0, which means nothing.
    """

    name: str
    train: Samples
    test: Samples
    validation: Samples | None = None
    left_out: Samples | None = None

    @property
    def parts(self) -> tuple[Samples, ...]:
        """All of its parts."""
        every = (self.train, self.test, self.validation, self.left_out)
        return tuple(part for part in every if part is not None)

    def map(self, change: Callable[[Samples], Samples]) -> "Bucket":
        """The same with each of its parts changed."""
        changed: dict[str, Any] = {
            name: change(part) for name, part in vars(self).items() if part is not None and name != "name"
        }
        return replace(self, **changed)


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

    @property
    def has_validation(self) -> bool:
        """Whether the buckets have a part that is held out for validation."""
        return all(bucket.validation is not None for bucket in self.buckets)

    @property
    def has_left_out(self) -> bool:
        """Whether the buckets have what their classes leave out of the test part."""
        return all(bucket.left_out is not None for bucket in self.buckets)

    @property
    def is_mapped(self) -> bool:
        """Whether the samples are features that stay in their files."""
        samples = self.buckets[0].train
        return isinstance(samples, FeatureSamples) and isinstance(samples.x, FeatureParts)

    def fingerprint(self) -> str:
        """A digest of class names, bucket names, which samples are where, and the features themselves."""
        digest = hashlib.sha256(json.dumps(self.class_names).encode())
        hashed = None
        for bucket in self.buckets:
            for part in bucket.parts:
                digest.update(json.dumps([bucket.name, part.targets]).encode())
                if not isinstance(part, FeatureSamples):
                    digest.update(json.dumps(part.paths).encode())
                    continue
                digest.update(memoryview(part.rows.numpy()))  # type: ignore[arg-type]
                if part.x is not hashed:  # all parts share one matrix
                    hashed = part.x
                    _hash(digest, part.x)
        return digest.hexdigest()

    def features_digest(self) -> str | None:
        """The sha256 of the features of all buckets, float32 row after row as in the file lists."""
        samples = self.buckets[0].train
        if not isinstance(samples, FeatureSamples):
            return None
        digest = hashlib.sha256()
        _hash(digest, samples.x)
        return digest.hexdigest()

    def describe(self, root: Path) -> dict[str, Any]:
        """The entry of environment.json for the dataset, which was read from `root`.

        `filelists` is the same for all protocols, splits and features of a dataset, and `features`, None of images, for
        all protocols and splits; `fingerprint` is not.
        """
        with ThreadPoolExecutor(1) as pool:  # both digest all features, and hashlib releases the GIL
            features = pool.submit(self.features_digest)
            fingerprint = self.fingerprint()
        return {
            "root": str(root),
            "fingerprint": fingerprint,
            "filelists": filelists.sha256(root, self.bucket_names),
            "features": features.result(),
            "class_names": list(self.class_names),
        }

    def to(self, device: torch.device) -> "Stream":
        """The same stream, its features on `device`; images stay files, and so do features that are mapped."""
        moved: dict[int, torch.Tensor] = {}  # all parts share one matrix

        def move(part: Samples) -> Samples:
            if not isinstance(part, FeatureSamples) or isinstance(part.x, FeatureParts):
                return part
            if id(part.x) not in moved:
                moved[id(part.x)] = part.x.to(device)
            return FeatureSamples(moved[id(part.x)], part.y, part.rows)

        return replace(self, buckets=tuple(bucket.map(move) for bucket in self.buckets))


def read_stream(
    root: Path,
    *,
    protocol: str = "streaming",
    seed: int | None = None,
    shot: int | None = None,
    test_ratio: float = 0.3,
    feature_type: str | None = None,
    buckets: Sequence[str | int] | None = None,
    selection: Selection = ALL,
    evaluate_on: str = "test",
    left_out: bool = False,
    room_bytes: int | None = None,
) -> Stream:
    """The stream of a prepared folder.

    `streaming`: train and test are all of each bucket. `iid`: the split of `seed`, at `test_ratio` or, with `shot`, the
    few-shot one; if the release is already split, that split, whatever `seed` and `test_ratio` say. With `feature_type`
    the samples are rows of those features instead of images. `selection` says which classes the stream has, whose
    indices then count from 0, how many images of each are trained on, and how many of the training part are held out:
    these are neither trained on nor, with `streaming`, tested on. With `evaluate_on` "validation" they take the place
    of the test part, of which nothing is read but the features of a bucket, whose file has them all. `left_out` asks
    for the part of that name too. Features that take more than `room_bytes` are not read into memory but mapped.
    Raises DatasetError for a folder that is invalid, UsageError for a bucket that it does not have, and
    ConfigError for a class, or for classes with too few images to hold some out.
    """
    class_names, listed, split = _listed(root, protocol, seed, shot, test_ratio, buckets, selection)
    parts = parts_of_buckets(listed, split, selection, class_names, seed, evaluate_on, left_out)
    in_stream = tuple(selection.names(class_names))
    index_of = [max(index, 0) for index in selection.indices(class_names)]  # of left out classes too
    if feature_type is None:
        images: list[Bucket] = []
        for name in listed:
            used = sorted({line for part in parts[name].values() for line in part})
            require_images(root, name, [listed[name][line][0] for line in used])
            lines = [(path, index_of[label]) for path, label in listed[name]]
            found = {what: ImageSamples(root, name, [lines[i] for i in part]) for what, part in parts[name].items()}
            images.append(Bucket(name, **found))
        return Stream(tuple(images), in_stream)
    x, y, first_row = read_matrix(root, feature_type, listed, room_bytes)
    y = torch.tensor(index_of)[y]
    buckets_read = []
    for name in listed:
        rows = {what: first_row[name] + torch.tensor(part, dtype=torch.int64) for what, part in parts[name].items()}
        buckets_read.append(Bucket(name, **{what: FeatureSamples(x, y, part) for what, part in rows.items()}))
    return Stream(tuple(buckets_read), in_stream, int(x.shape[1]))


def _hash(digest: "hashlib._Hash", x: FeatureSource) -> None:
    """Update `digest` with all rows of `x`, float32 row after row."""
    for block in blocks_of(x):
        digest.update(memoryview(block.numpy()))  # type: ignore[arg-type]


def read_train_labels(
    root: Path,
    *,
    protocol: str = "streaming",
    seed: int | None = None,
    shot: int | None = None,
    test_ratio: float = 0.3,
    buckets: Sequence[str | int] | None = None,
    selection: Selection = ALL,
    evaluate_on: str = "test",
) -> dict[str, list[int]]:
    """{bucket: the class indices of what is trained on}, from the file lists alone. Raises as `read_stream` does."""
    class_names, listed, split = _listed(root, protocol, seed, shot, test_ratio, buckets, selection)
    parts = parts_of_buckets(listed, split, selection, class_names, seed, evaluate_on)
    index_of = selection.indices(class_names)
    return {name: [index_of[lines[line][1]] for line in parts[name]["train"]] for name, lines in listed.items()}


def _listed(
    root: Path,
    protocol: str,
    seed: int | None,
    shot: int | None,
    test_ratio: float,
    buckets: Sequence[str | int] | None,
    selection: Selection,
) -> tuple[tuple[str, ...], dict[str, list[tuple[str, int]]], Path | None]:
    """(class names of the dataset, {bucket of the stream: its file list}, the split of the iid protocol)."""
    names = _selected(layout.read_bucket_indices(root), buckets)
    class_names = _require_classes(root, selection)
    split = None
    if protocol == "iid":
        assert seed is not None
        split = require_split(root, names, test_ratio, shot, seed)
    return class_names, {name: layout.read_bucket_filelist(root, name, len(class_names)) for name in names}, split


def class_faults(present: Sequence[str], selection: Selection) -> list[tuple[str, str]]:
    """(key of the scenario, what is wrong) where a selection and the classes that are `present` do not go together."""
    faults = []
    for key, given in (("classes", selection.classes or ()), ("drop_classes", selection.drop_classes)):
        for name in given:
            if name not in present:
                near = difflib.get_close_matches(name, present, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f": it has {few(present)}"
                faults.append((key, f"the dataset has no class {name!r}{hint}"))
    left = len(selection.names(present))
    if left < 2 and not faults and not selection.has_all_classes:
        key = "classes" if selection.classes is not None else "drop_classes"
        faults.append((key, f"leaves {left} of {len(present)} classes, expected two or more"))
    return faults


def _require_classes(root: Path, selection: Selection) -> tuple[str, ...]:
    """The class names of the dataset. Raises ConfigError if the selection does not go with them."""
    present = tuple(layout.read_class_names(root))
    for key, text in class_faults(present, selection):
        raise ConfigError(f"scenario.{key}: {text}")
    return present


def _selected(present: list[str], wanted: Sequence[str | int] | None) -> list[str]:
    if wanted is None:
        return present
    names = [str(name) for name in wanted]
    for name in names:
        if name not in present:
            raise UsageError(f"the dataset has no bucket {name!r}: it has {', '.join(present)}")
    return names


def require_images(root: Path, bucket: str, paths: list[str]) -> None:
    """Raise DatasetError unless every listed image exists; each folder is read once, no file is opened."""
    present: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder not in present:
            try:
                present[folder] = set(os.listdir(root / folder))
            except (OSError, ValueError):  # a NUL in the path, say
                present[folder] = set()
        if name not in present[folder]:
            missing.append(path)
    if missing:
        raise DatasetError(
            f"{root / missing[0]} (bucket {bucket}) is listed but missing; {len(missing)} of the bucket's"
            f" {len(paths)} images are missing"
        )
