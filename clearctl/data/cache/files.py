"""All images of a run in one list; the index of an image is its number in all buckets, splits and stores."""

import errno
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image

from clearctl.data.samples import ImageSamples
from clearctl.errors import CapabilityError, DatasetError


@dataclass(frozen=True)
class ImageFiles:
    """Distinct image files: image `number` is `root / paths[number]`, found first in the bucket `buckets[number]`."""

    root: Path
    paths: tuple[str, ...]
    buckets: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def numbers(self) -> dict[str, int]:
        """The number of each path."""
        return {path: number for number, path in enumerate(self.paths)}

    def place(self, number: int) -> str:
        """File and bucket of image `number`, as messages name it."""
        return f"{self.root / self.paths[number]} (bucket {self.buckets[number]})"

    def decode(self, number: int) -> Image.Image:
        """The image in RGB.

        Raises DatasetError, naming file and bucket, where it cannot be decoded, CapabilityError if too many files
        are open.
        """
        try:
            return ImageSamples(self.root, self.buckets[number], [(self.paths[number], 0)])[0][0]
        except DatasetError as error:
            if isinstance(error.__context__, OSError) and error.__context__.errno in (errno.EMFILE, errno.ENFILE):
                raise CapabilityError(
                    f"{self.root / self.paths[number]} cannot be opened: {error.__context__.strerror}\n"
                    "raise the limit (ulimit -n)"
                ) from None
            raise

    @cached_property
    def _first_identities(self) -> dict[int, bytes]:
        return {}

    def first_identity(self, number: int) -> bytes:
        """What `identity` gave for the image when this was first asked for it."""
        if number not in self._first_identities:
            self._first_identities[number] = self.identity(number)
        return self._first_identities[number]

    def identity(self, number: int) -> bytes:
        """16 bytes that change with the image's path in the dataset, its size and its time of change.

        The image is not read: other contents of the same size, with the same time, are not noticed.
        Raises DatasetError, naming file and bucket, where it cannot be read.
        """
        path = self.paths[number]
        try:
            stat = os.stat(self.root / path)
        except (OSError, ValueError) as error:
            raise DatasetError(f"{self.place(number)} cannot be read: {error}") from None
        described = b"%d %d %s" % (stat.st_size, stat.st_mtime_ns, os.fsencode(path))
        return hashlib.blake2b(described, digest_size=16).digest()


def list_files(parts: Iterable[ImageSamples]) -> ImageFiles:
    """Every image of `parts` once, in order. All parts have one root."""
    buckets: dict[str, str] = {}
    root = Path()
    for part in parts:
        root = part.root
        for path in part.paths:
            buckets.setdefault(path, part.bucket)
    return ImageFiles(root, tuple(buckets), tuple(buckets.values()))


class CachedImages(ImageSamples):
    """Images whose numbers are known, so that a `CachedTransform` can take whole batches of them from its store.

    An item is what ImageSamples gives, decoded again. `rows` and `labels` `[N] int64` are the images' numbers and
    class indices.
    """

    def __init__(self, root: Path, bucket: str, samples: Sequence[tuple[str, int]], numbers: Mapping[str, int]) -> None:
        super().__init__(root, bucket, samples)
        self.rows = torch.tensor([numbers[path] for path in self.paths], dtype=torch.int64)
        self.labels = torch.tensor(self.targets, dtype=torch.int64)

    @classmethod
    def of(cls, part: ImageSamples, numbers: Mapping[str, int]) -> "CachedImages":
        """The images of `part`."""
        return cls(part.root, part.bucket, list(zip(part.paths, part.targets, strict=True)), numbers)

    def subset(self, indices: Sequence[int]) -> "CachedImages":
        """The samples at `indices`, in that order."""
        numbers = {self.paths[i]: int(self.rows[i]) for i in indices}
        return CachedImages(self.root, self.bucket, [(self.paths[i], self.targets[i]) for i in indices], numbers)
