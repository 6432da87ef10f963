"""The images of a run after its leading transforms, uint8, each decoded once.

A store on disk is a folder of segments, named by a digest of the transforms and of the versions of what applies them:

    <cache folder>/<digest>/transforms.json, <any name>.images

An image is found by its identity: path in the dataset, size and time of change. So all splits, seeds and runs share
what they have in common, and an image that was changed is decoded again. What is no longer of use stays, unless it is
damaged: the folder may be removed when no run uses it.
"""

import hashlib
import json
import mmap
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import PIL.features
import torch
import torchvision
from PIL import Image

from clearctl.data.cache import segments
from clearctl.data.cache.files import ImageFiles
from clearctl.data.cache.segments import Bytes, Planes, RecordArray, Segment
from clearctl.errors import DatasetError
from clearctl.progress import Listener, Message, ignore

_PLACE = np.dtype([("segment", "<i4"), ("offset", "<i8"), ("height", "<i4"), ("width", "<i4"), ("crc", "<u4")])


def describe(leading: Sequence[Any]) -> dict[str, Any]:
    """What decides how an image comes out of the `leading` transforms, beside its file."""
    return {
        "format": 1,
        "transforms": [repr(step) for step in leading],
        "pillow": PIL.__version__,
        "libjpeg": PIL.features.version("libjpeg_turbo") or PIL.features.version("jpg"),
        "torchvision": torchvision.__version__,
    }


def store_name(leading: Sequence[Any]) -> str:
    """The folder, in a cache folder, of the images that went through the `leading` transforms."""
    return hashlib.sha256(json.dumps(describe(leading)).encode()).hexdigest()[:16]


class ImageStore:
    """What the `leading` transforms make of the images `files`, by number; an image that is not stored is decoded.

    Only the `wanted` numbers, by default all, are to be stored. The segments are read that are in `folder`, which is
    the one to write to, and in the folders `also`; without any nothing is stored until segments are added.
    Can be pickled: files are mapped again. Forked workers share what is in memory.
    """

    def __init__(
        self,
        files: ImageFiles,
        leading: Sequence[Any],
        folder: Path | None = None,
        listener: Listener = ignore,
        wanted: Iterable[int] | None = None,
        also: Sequence[Path] = (),
    ) -> None:
        self.files = files
        self.leading = tuple(leading)
        self.folder = folder
        self._also = tuple(also)
        self._listener = listener
        self._process = os.getpid()
        self._number_of: dict[bytes, int] = {}
        self._segments: list[Segment] = []
        self._seen: set[Path] = set()
        self._places = np.zeros(len(files), _PLACE)
        self._places["segment"] = -1
        self._wanted = np.ones(len(files), bool)
        if wanted is not None:
            self._wanted[:] = False
            self._wanted[list(wanted)] = True
        self._checked = _shared_flags(len(files))
        self.refresh()

    def __len__(self) -> int:
        return len(self.files)

    @property
    def num_wanted(self) -> int:
        """The number of images to store."""
        return int(self._wanted.sum())

    @property
    def num_bytes(self) -> int:
        """The bytes of all images that are stored."""
        return int(3 * self.sizes().prod(1).sum())

    @property
    def cache_folders(self) -> list[Path]:
        """The cache folders that images of this store are read from."""
        return sorted({segment.path.parent.parent for segment in self._segments if segment.path})

    def has(self, number: int) -> bool:
        """Whether image `number` need not be decoded."""
        return bool(self._places[number]["segment"] >= 0)

    def missing(self) -> list[int]:
        """The numbers of the images to store that are not stored yet."""
        found: list[int] = np.flatnonzero((self._places["segment"] < 0) & self._wanted).tolist()
        return found

    def sizes(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """(height, width) of each image as it is stored, `[N, 2]`; (0, 0) for one that is not."""
        sizes = np.stack([self._places["height"], self._places["width"]], axis=1).astype(np.int64)
        sizes[self._places["segment"] < 0] = 0
        return sizes

    def pixels(self, number: int) -> torch.Tensor:
        """Image `number`, `[3, h, w] uint8`: a view of the store, read-only.

        Raises DatasetError for an image that is not stored and cannot be decoded.
        """
        segment, offset, height, width, crc = self._places[number].item()
        if segment < 0:
            return torch.from_numpy(to_planes(self.decode(number)))
        plane = height * width
        view = self._segments[segment].data.as_strided((3, height, width), (plane, width, 1), offset)
        if not self._checked[number]:
            if zlib.crc32(view.numpy().data) != crc:
                self._drop(number)
                return torch.from_numpy(to_planes(self.decode(number)))
            self._checked[number] = 1
        return view

    def decode(self, number: int) -> Image.Image:
        """Image `number` from its file, through the leading transforms. Raises DatasetError if that fails."""
        image: Any = self.files.decode(number)
        for step in self.leading:
            image = step(image)
        return image

    def planes(self, number: int) -> Planes:
        """Decode image `number` for a segment; any number of threads may.

        Raises DatasetError if it cannot be decoded, or is another file than when the store was opened.
        """
        pixels = to_planes(self.decode(number))
        identity = self.files.identity(number)
        if identity != self.files.first_identity(number):
            raise DatasetError(
                f"{self.files.place(number)} changed while it was read\n"
                "run this again when nothing else changes the dataset"
            )
        return Planes(identity, pixels, zlib.crc32(pixels.data))

    def add(self, segment: Segment, records: RecordArray) -> None:
        """Take from `segment` the wanted images that it holds."""
        if not self._number_of:
            wanted = np.flatnonzero(self._wanted).tolist()
            self._number_of = {self.files.first_identity(number): number for number in wanted}
        place = len(self._segments)
        found = 0
        for identity, *where in records.tolist():
            number = self._number_of.get(bytes(identity))
            if number is not None and self._places[number]["segment"] < 0:
                self._places[number] = (place, *where)
                found += 1
        if found:
            self._segments.append(segment)

    def refresh(self) -> None:
        """Add new segments in the folders; damaged ones are removed, to be rebuilt."""
        faults: list[str] = []
        for folder in self._also if self.folder is None else (*self._also, self.folder):
            paths: list[Path] = []
            with _noted(faults, folder):
                paths = sorted(path for path in folder.iterdir() if path.suffix == segments.SUFFIX)
            for path in paths:
                with _noted(faults, path):
                    if path not in self._seen and not self.add_file(path):
                        self._remove(path, "is damaged")
        if faults:
            others = f" (and {len(faults) - 1:,} others)" if len(faults) > 1 else ""
            self._listener(Message(f"{faults[0]}{others}; the images there are decoded again", warning=True))

    def add_file(self, path: Path) -> bool:
        """Add the segment in the file `path`; False if it is damaged. Raises OSError if it cannot be read."""
        self._seen.add(path)
        found = segments.read(path)
        if found is not None:
            self.add(*found)
        return found is not None

    def _drop(self, number: int) -> None:
        """Use image `number` no more as it is stored; its segment is removed, so that the next run builds it again."""
        path = self._segments[self._places[number]["segment"]].path
        self._places[number]["segment"] = -1
        if path is not None and os.path.exists(path):
            self._remove(path, "contains a damaged image, which is decoded again")

    def _remove(self, path: Path, why: str) -> None:
        try:
            path.unlink()
            outcome = "removed, to be built again"
        except OSError as error:
            outcome = f"it cannot be removed: {error.strerror}"
        if os.getpid() == self._process:  # a worker process has no way to a person
            self._listener(Message(f"{path} {why}: {outcome}", warning=True))

    def __getstate__(self) -> dict[str, Any]:
        stored = [segment if segment.path is None else segment.path for segment in self._segments]
        left = {"_listener": ignore, "_process": -1, "_number_of": {}, "_checked": None}
        return {**self.__dict__, "_segments": stored, **left}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._checked = _shared_flags(len(self.files))
        self._segments = [
            self._mapped(segment, place) if isinstance(segment, Path) else segment
            for place, segment in enumerate(state["_segments"])
        ]

    def _mapped(self, path: Path, place: int) -> Segment:
        """The segment of the file `path` again; where that is gone, its images are missing."""
        with suppress(OSError):
            found = segments.read(path)
            if found is not None:
                return found[0]
        self._places["segment"][self._places["segment"] == place] = -1
        return Segment(torch.empty(0, dtype=torch.uint8), path)


@contextmanager
def _noted(faults: list[str], path: Path) -> Iterator[None]:
    """Add to `faults` why `path` cannot be read, unless that is as it may be."""
    try:
        yield
    except (FileNotFoundError, PermissionError):  # not there yet, removed just now, or another user's
        pass
    except OSError as error:
        faults.append(f"{path} cannot be read: {error.strerror}")


def to_planes(image: Image.Image) -> Bytes:
    """An RGB image as `[3, h, w]`: a crop of planes is a copy of whole rows."""
    return np.asarray(image).transpose(2, 0, 1).copy()


def to_image(planes: torch.Tensor) -> Image.Image:
    """`[3, h, w] uint8` as an RGB image: by Pillow, which is eight times as fast at it as NumPy."""
    size = (planes.shape[2], planes.shape[1])
    return Image.merge(
        "RGB", [Image.frombuffer("L", size, p.data, "raw", "L", 0, 1) for p in planes.contiguous().numpy()]
    )


def _shared_flags(count: int) -> Any:
    """`count` bytes, all 0, that forked workers share: what one of them has checked, none checks again."""
    return np.frombuffer(mmap.mmap(-1, max(1, count)), np.uint8)
