"""One sample: an image read from its file, or a row of extracted features."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import Dataset

from clearctl.errors import DatasetError


class ImageSamples(Dataset[tuple[Any, int]]):
    """The images of one part of a bucket, in the order of its list.

    `samples` are (path relative to `root`, class index). An item is (RGB PIL image, class index); Avalanche applies
    the transforms. Raises DatasetError, naming file and bucket, for an image that cannot be decoded.
    """

    def __init__(self, root: Path, bucket: str, samples: Sequence[tuple[str, int]]) -> None:
        self.root = root
        self.bucket = bucket
        self.paths = [path for path, _ in samples]
        self.targets = [label for _, label in samples]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        path = self.root / self.paths[index]
        try:
            with Image.open(path) as image:
                return image.convert("RGB"), self.targets[index]
        except Exception as error:  # PIL raises many kinds: OSError, SyntaxError, ValueError, struct.error
            reason = str(error).replace("\n", " ")
            raise DatasetError(f"{path} (bucket {self.bucket}) cannot be decoded: {reason}") from None

    def subset(self, indices: Sequence[int]) -> "ImageSamples":
        """The samples at `indices`, in that order."""
        return ImageSamples(self.root, self.bucket, [(self.paths[i], self.targets[i]) for i in indices])


class FeatureSamples(Dataset[tuple[torch.Tensor, int]]):
    """Rows `x [N, D] float32` with their class indices."""

    def __init__(self, x: torch.Tensor, targets: Sequence[int]) -> None:
        self.x = x
        self.targets = list(targets)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.x[index], self.targets[index]

    def subset(self, indices: Sequence[int]) -> "FeatureSamples":
        """The rows at `indices`, in that order."""
        return FeatureSamples(self.x[list(indices)], [self.targets[i] for i in indices])


def original_error(error: BaseException) -> DatasetError | None:
    """The DatasetError behind `error`, whether raised here or in a loader's worker process; None if it is another.

    A worker's exception arrives with the worker's whole traceback as its text: only the message is kept.
    """
    if not isinstance(error, DatasetError):
        return None
    # The traceback holds the loader in a cycle, and the garbage collector ends a loader's workers only after 5 s each.
    error.__traceback__ = None
    marker = f"{DatasetError.__module__}.{DatasetError.__name__}: "
    return DatasetError(str(error).rpartition(marker)[2].strip())


Transform = Callable[[Any], Any]
