"""The files of a store. A segment holds some images and is written once, under a temporary name, then renamed:

    <any name>.images    [3, h, w] uint8 of each image, one after another; a record for each (RECORD); the end (_END)

Nothing is ever changed in one: builders add segments, as many at once as there are, and readers take all there are.
The records and each image have a checksum: a segment whose records are damaged is not used, and an image is compared
with its checksum when it is first read.
"""

import errno
import os
import re
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from clearctl import atomic
from clearctl.regular import open_regular

SUFFIX = ".images"
RECORD = np.dtype([("identity", "V16"), ("offset", "<u8"), ("height", "<u4"), ("width", "<u4"), ("crc", "<u4")])
_END = struct.Struct("<8sQI")  # what the file is, the number of records, their checksum
_MAGIC = b"clearim1"

Bytes: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
RecordArray: TypeAlias = np.ndarray[Any, np.dtype[np.void]]


@dataclass(frozen=True)
class Planes:
    """One image, `pixels [3, h, w] uint8`, its identity (16 bytes) and the checksum of its pixels."""

    identity: bytes
    pixels: Bytes
    crc: int

    def record(self, offset: int) -> tuple[bytes, int, int, int, int]:
        """Its record (RECORD) where it is at `offset`."""
        _, height, width = self.pixels.shape
        return self.identity, offset, height, width, self.crc


@dataclass(frozen=True)
class Segment:
    """The bytes of some images, `data [bytes] uint8`, read-only; `path` is None if they are in memory."""

    data: torch.Tensor
    path: Path | None = None


def write(path: Path, images: Iterable[Planes]) -> None:
    """Write a segment of `images`, each as it comes, atomically. Raises OSError, and what `images` raises."""
    # Not flushed: that takes as long as decoding on a slow disk, and the checksums show what a power failure left
    # undone.
    with atomic.replacing(path, flush=False) as temporary, temporary.open("wb") as file:
        rows, offset = [], 0
        for image in images:
            rows.append(image.record(offset))
            offset += file.write(image.pixels.data)
        records = np.array(rows, RECORD).tobytes()
        file.write(records)
        file.write(_END.pack(_MAGIC, len(rows), zlib.crc32(records)))


def in_memory(images: Iterable[Planes]) -> tuple[Segment, RecordArray]:
    """A segment of `images` that is not a file."""
    rows, pixels, offset = [], [], 0
    for image in images:
        rows.append(image.record(offset))
        pixels.append(image.pixels.reshape(-1))
        offset += image.pixels.nbytes
    return Segment(torch.from_numpy(np.concatenate(pixels))), np.array(rows, RECORD)


def read(path: Path) -> tuple[Segment, RecordArray] | None:
    """The segment in the file `path`, mapped, and its records; None if it is damaged. Raises OSError."""
    with open_regular(path) as file:
        size = file.seek(0, 2)
        if size < _END.size:
            return None
        file.seek(size - _END.size)
        magic, count, crc = _END.unpack(file.read(_END.size))
        data_bytes = size - _END.size - count * RECORD.itemsize
        if magic != _MAGIC or data_bytes <= 0:
            return None
        file.seek(data_bytes)
        described = file.read(count * RECORD.itemsize)
    if zlib.crc32(described) != crc:
        return None
    records = np.frombuffer(described, RECORD)
    if 3 * sum(height * width for _, _, height, width, _ in records.tolist()) != data_bytes:
        return None
    return Segment(_mapped(path, data_bytes), path), records


def _mapped(path: Path, size: int) -> torch.Tensor:
    """The first `size` bytes of the file `path`: by torch, since Python's mmap keeps a file open for each."""
    try:
        return torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)
    except RuntimeError as error:  # "unable to mmap 9 bytes from file <...>: No such device (19)"
        number = re.search(r"\((\d+)\)$", str(error).splitlines()[0])
        code = int(number[1]) if number else errno.EIO
        raise OSError(code, os.strerror(code), str(path)) from None
