"""The features of all buckets of a stream in one matrix, shared by its parts and by the runs of a sweep."""

import itertools
import os
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch

from clearctl import layout
from clearctl.data.feature_parts import FeatureParts, FeatureSource, copy_stored, map_read_only
from clearctl.data.features import stored_features
from clearctl.errors import CapabilityError, DatasetError
from clearctl.shortage import is_out_of_memory
from clearctl.units import byte_size
from clearctl.wording import counted

Listed = dict[str, list[tuple[str, int]]]
FLOAT_BYTES = 4


def read_matrix(
    root: Path, name: str, listed: Listed, room_bytes: int | None = None
) -> tuple[FeatureSource, torch.Tensor, dict[str, int]]:
    """(x [M, D] float32, y [M], {bucket: number of its first row}) of all buckets, in one matrix.

    Each bucket is copied once, so that the matrix is all that memory has to hold. A matrix of the same files that is in
    memory still, as it is for runs that a sweep forks, is not read again. Features that take more than `room_bytes`,
    any with 0, stay in their files, mapped.
    Raises DatasetError, as `read_features` does, and if buckets have features of different dimensions.
    """
    counts = [len(lines) for lines in listed.values()]
    first_row = dict(zip(listed, itertools.accumulate([0, *counts]), strict=False))
    y = torch.tensor([label for lines in listed.values() for _, label in lines], dtype=torch.int64)
    key = _state_of_files(root, name, list(listed))
    found = _found(key, room_bytes)
    if found is None:
        found = _read(root, name, listed, len(y), room_bytes)
        _sources[type(found), key] = found
    return found, y, first_row


# Of all features that something in this process holds; nothing ever writes into one.
_sources: WeakValueDictionary[tuple[type, tuple[Any, ...]], FeatureSource] = WeakValueDictionary()


def _found(key: tuple[Any, ...], room_bytes: int | None) -> FeatureSource | None:
    """The features of the same files that are already loaded: they need no more memory."""
    matrix = None if room_bytes == 0 else _sources.get((torch.Tensor, key))
    mapped = _sources.get((FeatureParts, key))
    if matrix is not None or mapped is None:
        return matrix
    return mapped if _exceeds(mapped.shape, room_bytes) else None


def _exceeds(shape: torch.Size | tuple[int, int], room_bytes: int | None) -> bool:
    return room_bytes is not None and shape[0] * shape[1] * FLOAT_BYTES > room_bytes


def _read(root: Path, name: str, listed: Listed, rows: int, room_bytes: int | None) -> FeatureSource:
    matrix: torch.Tensor | None = None
    mapped: list[torch.Tensor] = []
    taken, dimension = 0, None
    for bucket, lines in listed.items():
        file = layout.features_file(root, name, bucket)
        x, _ = stored_features(root, name, bucket, lines)
        if dimension not in (None, x.shape[1]):
            dimensions = sorted((int(x.shape[1]), int(dimension)))
            raise DatasetError(f"{layout.features_folder(root, name)}: dimensions differ: {dimensions}")
        dimension = x.shape[1]
        try:
            if mapped or _exceeds((rows, dimension), room_bytes):
                stored = map_read_only(file, x)
                mapped.append(stored)
            else:
                matrix = _matrix(rows, dimension) if matrix is None else matrix
                stored = matrix[taken : taken + len(x)]
                copy_stored(file, x, stored)
        except OSError as error:
            raise DatasetError(f"{file} cannot be read: {error.strerror or error}") from None
        _require_finite(file, stored, lines)
        taken += len(x)
        del x, stored  # its mapping, before the next file is mapped
    return FeatureParts(mapped) if matrix is None else matrix


def _require_finite(file: Path, x: torch.Tensor, lines: list[tuple[str, int]]) -> None:
    """Raise DatasetError for a NaN or an infinity: training on it would look like a run that diverged."""
    if x.sum().isfinite():  # one pass without a mask; a sum may also overflow
        return
    bad = (~x.isfinite().all(dim=1)).nonzero().flatten().tolist()
    if bad:
        raise DatasetError(
            f"{file}: {counted(len(bad), 'row')} with a number that is not finite, such as row {bad[0]}, of "
            f"{lines[bad[0]][0]}\nextract the features again; `clearctl verify` checks all of them"
        )


def _matrix(rows: int, dimension: int) -> torch.Tensor:
    """An empty one. Raises CapabilityError if this process cannot get so much memory."""
    try:
        return torch.empty(rows, dimension)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise CapabilityError(
            f"out of memory: the features take {byte_size(rows * dimension * FLOAT_BYTES)}\n"
            "use data.loader='mapped', which reads them from their files"
        ) from None


def _state_of_files(root: Path, name: str, buckets: list[str]) -> tuple[Any, ...]:
    """A value that changes whenever a file that features are read from, or checked against, is written again."""
    files = [layout.extraction_file(root, name)]
    for bucket in buckets:
        files += [layout.features_file(root, name, bucket), layout.filelist_file(root, bucket)]
    return tuple((os.path.abspath(file), _identity(file)) for file in files)


def _identity(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:  # reported when the file is read
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
