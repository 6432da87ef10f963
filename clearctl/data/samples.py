"""One sample: an image read from its file, or a row of extracted features."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import Dataset

from clearctl.data.feature_parts import FeatureSource
from clearctl.errors import CapabilityError, DatasetError
from clearctl.images import open_image


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
            with open_image(path) as image:
                return image.convert("RGB"), self.targets[index]
        except Exception as error:  # PIL raises many kinds: OSError, SyntaxError, ValueError, struct.error
            reason = str(error).replace("\n", " ")
            raise DatasetError(f"{path} (bucket {self.bucket}) cannot be decoded: {reason}") from None

    def subset(self, indices: Sequence[int]) -> "ImageSamples":
        """The samples at `indices`, in that order."""
        return ImageSamples(self.root, self.bucket, [(self.paths[i], self.targets[i]) for i in indices])


class FeatureSamples(Dataset[tuple[torch.Tensor, int]]):
    """Some rows of a matrix of features: item i is (x[rows[i]], y[rows[i]]).

    `x [M, D] float32` and the class indices `y [M]` may be shared by all parts of a stream; `rows [N] int64` are all
    of them by default, and `labels [N]` their class indices. `x` may be on a device, or in files that are mapped;
    the others are on the CPU.
    """

    def __init__(self, x: FeatureSource, y: torch.Tensor | Sequence[int], rows: torch.Tensor | None = None) -> None:
        self.x = x
        self.y = torch.as_tensor(y, dtype=torch.int64)
        self.rows = torch.arange(len(self.y)) if rows is None else rows
        self.labels = self.y[self.rows]
        self.targets: list[int] = self.labels.tolist()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.x[self.rows[index]], self.targets[index]

    def subset(self, indices: Sequence[int]) -> "FeatureSamples":
        """The samples at `indices`, in that order, as rows of the same matrix."""
        return FeatureSamples(self.x, self.y, self.rows[list(indices)])


def original_error(error: BaseException) -> DatasetError | CapabilityError | None:
    """The clearctl error behind `error`, raised here or in a loader's worker process; None if it is another.

    A worker's exception arrives with the worker's whole traceback as its text: only the message is kept.
    """
    if not isinstance(error, DatasetError | CapabilityError):
        return None
    # The traceback holds the loader in a cycle, and the garbage collector ends a loader's workers only after 5 s each.
    error.__traceback__ = None
    kind = type(error)
    marker = f"{kind.__module__}.{kind.__name__}: "
    return kind(str(error).rpartition(marker)[2].strip())


Transform = Callable[[Any], Any]
