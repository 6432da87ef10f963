"""The images of several buckets as batches, prefetched by worker processes without a pause between buckets.

Several processes share them by whole batches: a batch's features depend on which images are in it, in their last bits.
"""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from clearctl.data.cache.existing import ExistingImages
from clearctl.data.cache.files import ImageFiles, list_files
from clearctl.data.samples import ImageSamples, original_error
from clearctl.distributed import world
from clearctl.errors import CapabilityError, DatasetError
from clearctl.shortage import shortage
from clearctl.wording import in_one_line


@dataclass(frozen=True)
class BucketImages:
    """The file list of a bucket: (path relative to the dataset folder, class index) of each image."""

    bucket: str
    listed: Sequence[tuple[str, int]]


class _PixelDataset(Dataset[torch.Tensor]):
    """The images by number, before what is done to batches on the device."""

    def __init__(self, images: ExistingImages) -> None:
        self.images = images

    def __getitem__(self, number: int) -> torch.Tensor:
        try:
            return self.images.pixels(number)
        except (DatasetError, CapabilityError):
            raise
        except Exception as error:
            raise DatasetError(
                f"{self.images.files.place(number)} cannot be transformed: {in_one_line(error)}"
            ) from None


def _stack(pixels: Sequence[torch.Tensor]) -> torch.Tensor:
    """One batch. Raises DatasetError for images that the transform leaves of several sizes."""
    shapes = sorted({tuple(image.shape) for image in pixels})
    if len(shapes) > 1:
        raise DatasetError(
            f"after the transform images have several sizes: {list(shapes[0])} and {list(shapes[1])}\n"
            "end scenario.eval_transform in one size, such as with CenterCrop"
        )
    return torch.stack(list(pixels))


def owners(buckets: Sequence[BucketImages], batch_size: int) -> list[list[int]]:
    """The rank of the process that each batch of each bucket is for.

    The processes take turns over all buckets, not within each: at the end none has read two batches more than another.
    """
    turns = cycle(range(world.size()))
    return [[next(turns) for _ in range(0, len(images.listed), batch_size)] for images in buckets]


def list_images(root: Path, buckets: Iterable[BucketImages]) -> ImageFiles:
    """The images of all `buckets` of the dataset folder `root`."""
    return list_files(ImageSamples(root, images.bucket, images.listed) for images in buckets)


def read_batches(
    images: ExistingImages, buckets: Sequence[BucketImages], *, batch_size: int, workers: int, pin_memory: bool
) -> Generator[torch.Tensor, None, None]:
    """Yield `[B, ...]` of bucket after bucket in the order of the lists; the last of a bucket may be smaller.

    `images` are of all `buckets` (`list_images`). Of several processes each gets the batches that it owns.

    Raises DatasetError, naming file and bucket, for an image that cannot be decoded, and CapabilityError if too
    many files are open or a process that decodes ended.
    """
    number = images.files.numbers()
    order = [
        [number[path] for path, _ in listed.listed[start : start + batch_size]]
        for listed, ranks in zip(buckets, owners(buckets, batch_size), strict=True)
        for start, rank in zip(range(0, len(listed.listed), batch_size), ranks, strict=True)
        if rank == world.rank()
    ]
    loader: DataLoader[torch.Tensor] = DataLoader(
        _PixelDataset(images),
        batch_sampler=order,
        collate_fn=_stack,
        num_workers=workers,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # for the workers' seed, which it would draw from the program's own
    )
    try:
        yield from loader
    except (DatasetError, CapabilityError) as error:
        raise original_error(error) or error from None
    except (RuntimeError, OSError) as error:
        lacking = shortage(error)
        if lacking is None:
            raise
        raise lacking from None
