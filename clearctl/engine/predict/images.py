"""The images to predict: which files they are, and their batches, read as in the run's tests."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import PILToTensor

from clearctl.data.pixels import ToFloat
from clearctl.data.transforms import TransformStages
from clearctl.dataset.image_folders import SUFFIXES
from clearctl.dataset.importing.folders import scan
from clearctl.dataset.importing.names import natural_key
from clearctl.errors import DatasetError, UsageError
from clearctl.images import open_image
from clearctl.progress import Listener, Message
from clearctl.wording import counted, few, in_one_line, plural


def find_images(sources: Sequence[Path | str], listener: Listener) -> list[Path]:
    """The files that `sources` mean, each once, in their order.

    A source is a file, whatever its name; a folder, whose images are found by their suffixes, also in folders below it,
    in natural order; or a pattern such as `photos/**/*.jpg` if there is no file of that name. Raises UsageError for
    no source, and DatasetError, naming all of them, for those that do not exist or have no image.
    """
    if not sources:
        raise UsageError("no images given: give files, folders, or patterns such as 'photos/*.jpg'")
    found: dict[Path, None] = {}
    missing, empty = [], []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            scanned = scan(path, listener)
            names = sorted(("/".join(parts) for parts in scanned.images), key=natural_key)
            for line in scanned.left_out.lines():
                listener(Message(f"{path}: left out: {line}"))
            if not names:
                empty.append(str(path))
            found.update(dict.fromkeys(path / name for name in names))
        elif os.path.lexists(path):
            found[path] = None
        elif glob.has_magic(str(source)):
            files = sorted(glob.glob(str(source), recursive=True), key=natural_key)
            files = [name for name in files if not os.path.isdir(name)]
            if not files:
                missing.append(str(source))
            found.update(dict.fromkeys(map(Path, files)))
        else:
            missing.append(str(source))
    faults = []
    if missing:
        faults.append(f"no such file: {few(missing)} ({len(missing)} of {counted(len(sources), 'name')})")
    if empty:
        endings = ", ".join(sorted(SUFFIXES))
        faults.append(f"{len(empty)} {plural('folder', len(empty))} without images ({endings}): {few(empty)}")
    if faults:
        raise DatasetError("\n".join(faults))
    return list(found)


@dataclass(frozen=True)
class Batch:
    """Images that came out of the transforms in one size: their numbers, and `pixels [B, C, H, W]` before `finish`."""

    numbers: list[int]
    pixels: torch.Tensor


def transformed(stages: TransformStages, image: Any) -> torch.Tensor:
    """The transformed RGB image, before `finish`."""
    for step in (*stages.leading, *stages.per_sample):
        image = step(image)
    pixels: torch.Tensor = PILToTensor()(image) if isinstance(stages.finish, ToFloat) else image
    return pixels


class _Images(Dataset[tuple[int, torch.Tensor | str]]):
    """Item `i` is `(i, what the transforms make of image i before finish)`, or `(i, why there is nothing)`."""

    def __init__(self, files: Sequence[Path], stages: TransformStages) -> None:
        self.files = files
        self.stages = stages

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> tuple[int, torch.Tensor | str]:
        try:
            with open_image(self.files[number]) as image:
                sample = image.convert("RGB")
        except FileNotFoundError:
            return number, "no such file"
        except Exception as error:  # Pillow raises many kinds
            return number, f"it cannot be decoded: {getattr(error, 'strerror', None) or in_one_line(error)}"
        try:
            return number, transformed(self.stages, sample)
        except Exception as error:
            return number, f"it cannot be transformed: {in_one_line(error)}"


def read_batches(
    files: Sequence[Path], stages: TransformStages, *, batch_size: int, workers: int, unreadable: dict[Path, str]
) -> Iterator[Batch]:
    """The images in batches of at most `batch_size`, in order; those of another size are their own batch.

    Images that cannot be decoded or transformed are left out, and noted in `unreadable` {file: why}.
    """
    loader: DataLoader[Any] = DataLoader(
        _Images(files, stages),
        batch_size=batch_size,
        collate_fn=list,
        num_workers=workers,
        generator=torch.Generator(),  # for the workers' seed, which it would draw from the program's own
    )
    for samples in loader:
        by_shape: dict[torch.Size, list[tuple[int, torch.Tensor]]] = {}
        for number, sample in samples:
            if isinstance(sample, str):
                unreadable[files[number]] = sample
            else:
                by_shape.setdefault(sample.shape, []).append((number, sample))
        for alike in by_shape.values():
            yield Batch([number for number, _ in alike], torch.stack([sample for _, sample in alike]))


def refusal(unreadable: dict[Path, str], total: int) -> str:
    """A message on the images that could not be read: their number, and three of them with the reason."""
    examples = "; ".join(f"{file}: {why}" for file, why in list(unreadable.items())[:3])
    more = f" and {len(unreadable) - 3} more" if len(unreadable) > 3 else ""
    return f"{len(unreadable):,} of {counted(total, 'image')} cannot be read: {examples}{more}"
