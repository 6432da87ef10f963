"""Read the stream of buckets that a run trains and tests on from a prepared dataset folder."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clearctl import layout
from clearctl.data.features import read_features
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

    `streaming`: train and test are all of each bucket. `iid`: the split of `seed`, at `test_ratio` or, with `shot`, the
    few-shot one; where the release comes split, that split, whatever `seed` and `test_ratio` say. With `feature_type`
    the samples are rows of those features instead of images.
    Raises DatasetError for a folder that is not as it should be, and UsageError for a bucket it does not have.
    """
    names = _selected(layout.read_bucket_indices(root), buckets)
    class_names = tuple(layout.read_class_names(root))
    split = None
    if protocol == "iid":
        assert seed is not None
        split = _require_split(root, names, test_ratio, shot, seed)
    stream = []
    for name in names:
        listed = layout.read_bucket_filelist(root, name, len(class_names))
        everything = list(range(len(listed)))
        parts = layout.read_split(split / name, listed) if split else (everything, everything)
        if feature_type is None:
            require_images(root, name, [path for path, _ in listed])
            train, test = (ImageSamples(root, name, [listed[i] for i in part]) for part in parts)
            stream.append(Bucket(name, train, test))
        else:
            x, targets = read_features(root, feature_type, name, listed)
            rows = [FeatureSamples(x[part], [targets[i] for i in part]) for part in parts]
            stream.append(Bucket(name, *rows))
    dimensions = {int(bucket.train.x.shape[1]) for bucket in stream if isinstance(bucket.train, FeatureSamples)}
    if len(dimensions) > 1:
        raise DatasetError(
            f"{layout.features_folder(root, str(feature_type))}: dimensions differ: {sorted(dimensions)}"
        )
    return Stream(tuple(stream), class_names, next(iter(dimensions), None))


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
