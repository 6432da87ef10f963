"""The published facts of each CLEAR dataset, by the config's `data_name`.

The names are Avalanche's, of `avalanche.benchmarks.classic.CLEAR`. The number of classes is that of its own example
(`{"clear10": 11, "clear100_cvpr2022": 100, "clear100": 100}`) and of the authors' class lists. The labelled buckets of
CLEAR-10 are those of the public archive's labeled_metadata.json. For the workshop archive of CLEAR-100 only the number
is known, from the eleven LwF weights in the configs written for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Published:
    """One dataset. `folder` is its default folder.

    `labeled_buckets` is the number of buckets with labels. `bucket_names` are all names that a bucket may have: bucket
    0 is for unsupervised pre-training and has labels only in the test/ of the later release.
    """

    folder: Path
    num_classes: int
    labeled_buckets: int
    bucket_names: tuple[str, ...]


def _names(last: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(last + 1))


_CLEAR10 = Path("dataset/CLEAR-10-PUBLIC")
_CLEAR100 = Path("dataset/CLEAR-100-PUBLIC")

DATA_NAMES: Mapping[str, Published] = {
    # The public archive, 300 images of a class in a bucket; or the later release in train/ and test/.
    "clear10": Published(
        _CLEAR10,
        num_classes=11,  # BACKGROUND, which has index 0, and ten more
        labeled_buckets=10,
        bucket_names=_names(10),
    ),
    # The public archive, clear10-public.zip: 300 images of a class in a bucket, and metadata.
    "clear10_neurips2021": Published(
        _CLEAR10,
        num_classes=11,
        labeled_buckets=10,
        bucket_names=_names(10),
    ),
    # The later release: train/ with buckets 1 to 10 (about 100 images of a class), test/ with 0 to 10 (50).
    "clear100": Published(
        _CLEAR100,
        num_classes=100,  # no BACKGROUND
        labeled_buckets=10,
        bucket_names=_names(10),
    ),
    # The archive of the CVPR'22 workshop, clear100-workshop-avalanche.zip; one of its two copies is offline.
    "clear100_cvpr2022": Published(
        _CLEAR100,
        num_classes=100,
        labeled_buckets=11,
        bucket_names=_names(11),
    ),
}

DEFAULT = "clear10"  # the dataset of a config without a data_name
