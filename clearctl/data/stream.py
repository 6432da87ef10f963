"""Read the stream of buckets that a run trains and tests on from a prepared dataset folder."""

import difflib
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from clearctl import filelists, layout
from clearctl.data.feature_matrix import read_matrix
from clearctl.data.samples import FeatureSamples, ImageSamples
from clearctl.errors import ConfigError, DatasetError, UsageError
from clearctl.selection import Selection
from clearctl.wording import few

Samples = ImageSamples | FeatureSamples
ALL = Selection()


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
        hashed = None
        for bucket in self.buckets:
            for part in (bucket.train, bucket.test):
                digest.update(json.dumps([bucket.name, part.targets]).encode())
                if not isinstance(part, FeatureSamples):
                    digest.update(json.dumps(part.paths).encode())
                    continue
                digest.update(memoryview(part.rows.numpy()))  # type: ignore[arg-type]
                if part.x is not hashed:  # all parts share one matrix
                    hashed = part.x
                    digest.update(memoryview(part.x.cpu().contiguous().numpy()))  # type: ignore[arg-type]
        return digest.hexdigest()

    def features_digest(self) -> str | None:
        """The sha256 of the features of all buckets, float32 row after row as the file lists have them."""
        samples = self.buckets[0].train
        if not isinstance(samples, FeatureSamples):
            return None
        return hashlib.sha256(memoryview(samples.x.cpu().contiguous().numpy())).hexdigest()  # type: ignore[arg-type]

    def describe(self, root: Path) -> dict[str, Any]:
        """What environment.json says of the dataset, which was read from `root`.

        `filelists` is the same for all protocols, splits and features of a dataset, and `features`, None of images, for
        all protocols and splits; `fingerprint` is not.
        """
        return {
            "root": str(root),
            "fingerprint": self.fingerprint(),
            "filelists": filelists.sha256(root, self.bucket_names),
            "features": self.features_digest(),
            "class_names": list(self.class_names),
        }

    def to(self, device: torch.device) -> "Stream":
        """The same stream, its features on `device`; images stay files."""
        moved: dict[int, torch.Tensor] = {}  # all parts share one matrix

        def move(part: Samples) -> Samples:
            if not isinstance(part, FeatureSamples):
                return part
            if id(part.x) not in moved:
                moved[id(part.x)] = part.x.to(device)
            return FeatureSamples(moved[id(part.x)], part.y, part.rows)

        return replace(
            self, buckets=tuple(Bucket(bucket.name, move(bucket.train), move(bucket.test)) for bucket in self.buckets)
        )


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
) -> Stream:
    """The stream of a prepared folder.

    `streaming`: train and test are all of each bucket. `iid`: the split of `seed`, at `test_ratio` or, with `shot`, the
    few-shot one; where the release comes split, that split, whatever `seed` and `test_ratio` say. With `feature_type`
    the samples are rows of those features instead of images. `selection` says which classes the stream has, whose
    indices then count from 0, and how many images of each are trained on.
    Raises DatasetError for a folder that is not as it should be, UsageError for a bucket that it does not have, and
    ConfigError for a class.
    """
    names = _selected(layout.read_bucket_indices(root), buckets)
    class_names = _require_classes(root, selection)
    index_of = selection.indices(class_names)
    split = None
    if protocol == "iid":
        assert seed is not None
        split = _require_split(root, names, test_ratio, shot, seed)
    listed = {name: layout.read_bucket_filelist(root, name, len(class_names)) for name in names}
    parts = {name: _parts(name, listed[name], split and split / name, selection, class_names, seed) for name in names}
    in_stream = tuple(selection.names(class_names))
    if feature_type is None:
        images = {}
        for name in names:
            require_images(root, name, [path for path, _ in listed[name]])
            lines = [(path, index_of[label]) for path, label in listed[name]]
            images[name] = [ImageSamples(root, name, [lines[i] for i in part]) for part in parts[name]]
        return Stream(tuple(Bucket(name, *images[name]) for name in names), in_stream)
    x, y, first_row = read_matrix(root, feature_type, listed)
    y = torch.tensor(index_of)[y]
    rows = {name: [first_row[name] + torch.tensor(part, dtype=torch.int64) for part in parts[name]] for name in names}
    buckets_read = (Bucket(name, *(FeatureSamples(x, y, part) for part in rows[name])) for name in names)
    return Stream(tuple(buckets_read), in_stream, int(x.shape[1]))


def read_train_labels(
    root: Path,
    *,
    protocol: str = "streaming",
    seed: int | None = None,
    shot: int | None = None,
    test_ratio: float = 0.3,
    buckets: Sequence[str | int] | None = None,
    selection: Selection = ALL,
) -> dict[str, list[int]]:
    """{bucket: the class indices of what is trained on}, from the file lists alone. Raises as `read_stream` does."""
    names = _selected(layout.read_bucket_indices(root), buckets)
    class_names = _require_classes(root, selection)
    index_of = selection.indices(class_names)
    split = None
    if protocol == "iid":
        assert seed is not None
        split = _require_split(root, names, test_ratio, shot, seed)
    labels = {}
    for name in names:
        listed = layout.read_bucket_filelist(root, name, len(class_names))
        train, _ = _parts(name, listed, split and split / name, selection, class_names, seed)
        labels[name] = [index_of[listed[line][1]] for line in train]
    return labels


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
        faults.append((key, f"leaves {left} of {len(present)} classes: a stream has two or more"))
    return faults


def _require_classes(root: Path, selection: Selection) -> tuple[str, ...]:
    """The class names of the dataset. Raises ConfigError where the selection does not go with them."""
    present = tuple(layout.read_class_names(root))
    for key, text in class_faults(present, selection):
        raise ConfigError(f"scenario.{key}: {text}")
    return present


def _parts(
    bucket: str,
    listed: list[tuple[str, int]],
    split: Path | None,
    selection: Selection,
    class_names: Sequence[str],
    seed: int | None,
) -> tuple[list[int], list[int]]:
    """(train, test) line numbers of a bucket's file list: those of the folder `split`, or all of them twice.

    Of both those that are selected. Raises DatasetError where nothing is left.
    """
    everything = list(range(len(listed)))
    train, test = (everything, everything) if split is None else filelists.read_split(split, listed)
    if selection.has_all:
        return train, test
    labels = [label for _, label in listed]
    train = selection.trained(bucket, train, labels, class_names, seed or 0)
    test = selection.tested(test, labels, class_names)
    for what, lines in (("train", train), ("test", test)):
        if not lines:
            raise DatasetError(f"bucket {bucket} has no image to {what} on of {few(selection.names(class_names))}")
    return train, test


def iid_split_folder(root: Path, test_ratio: float, shot: int | None, seed: int) -> Path:
    """Where the split lies that the iid protocol trains and tests on, there or not."""
    if shot is not None:
        return layout.shot_split_folder(root, shot, seed)
    if layout.has_published_split(root):
        return layout.published_split_folder(root)
    return layout.ratio_split_folder(root, test_ratio, seed)


def iid_split_command(root: Path, test_ratio: float, shot: int | None, seed: int) -> str:
    """The command that makes the split at `iid_split_folder`."""
    if shot is not None:
        return f"clearctl make-fewshot --dataset-root {root} --shot {shot} --seed {seed}"
    command = f"clearctl prepare-avalanche --dataset-root {root}"
    if layout.has_published_split(root):
        return command
    return f"{command} --test-ratio {test_ratio} --seeds {seed}"


def _selected(present: list[str], wanted: Sequence[str | int] | None) -> list[str]:
    if wanted is None:
        return present
    names = [str(name) for name in wanted]
    for name in names:
        if name not in present:
            raise UsageError(f"the dataset has no bucket {name!r}: it has {', '.join(present)}")
    return names


def _require_split(root: Path, names: list[str], test_ratio: float, shot: int | None, seed: int) -> Path:
    """The folder of the split, which has all of the buckets. Raises DatasetError."""
    split = iid_split_folder(root, test_ratio, shot, seed)
    for name in names:
        if not (split / name).is_dir():
            command = iid_split_command(root, test_ratio, shot, seed)
            raise DatasetError(f"the split {split / name} is not on disk\nmake it with `{command}`")
    return split


def require_images(root: Path, bucket: str, paths: list[str]) -> None:
    """Raise DatasetError unless every listed image is there; each folder is read once, no file is opened."""
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
            f"{root / missing[0]} (bucket {bucket}) is listed but not there; {len(missing)} of the bucket's"
            f" {len(paths)} images are missing"
        )
