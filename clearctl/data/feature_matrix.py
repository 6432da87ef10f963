"""The features of all buckets of a stream in one matrix, which its parts and the runs of a sweep share."""

import itertools
import os
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch

from clearctl import layout
from clearctl.data.features import read_features
from clearctl.errors import DatasetError


def read_matrix(
    root: Path, name: str, listed: dict[str, list[tuple[str, int]]]
) -> tuple[torch.Tensor, torch.Tensor, dict[str, int]]:
    """(x [M, D] float32, y [M], {bucket: number of its first row}) of all buckets, in one matrix.

    Each bucket is mapped from its file and copied once, so that the matrix is all that memory has to hold. A matrix of
    the same files that is in memory still, as it is for runs that a sweep forks, is not read again.
    Raises DatasetError, as `read_features` does, and where buckets have features of different dimensions.
    """
    counts = [len(lines) for lines in listed.values()]
    first_row = dict(zip(listed, itertools.accumulate([0, *counts]), strict=False))
    y = torch.tensor([label for lines in listed.values() for _, label in lines], dtype=torch.int64)
    key = _state_of_files(root, name, list(listed))
    matrix = _matrices.get(key)
    if matrix is not None:
        return matrix, y, first_row
    for bucket, lines in listed.items():
        x, _ = read_features(root, name, bucket, lines)
        if matrix is None:
            matrix = torch.empty(len(y), x.shape[1])
        if x.shape[1] != matrix.shape[1]:
            dimensions = sorted((int(x.shape[1]), int(matrix.shape[1])))
            raise DatasetError(f"{layout.features_folder(root, name)}: dimensions differ: {dimensions}")
        matrix[first_row[bucket] : first_row[bucket] + len(lines)] = x
    assert matrix is not None
    _matrices[key] = matrix
    return matrix, y, first_row


# Of all features that something in this process holds; nothing ever writes into one.
_matrices: WeakValueDictionary[tuple[Any, ...], torch.Tensor] = WeakValueDictionary()


def _state_of_files(root: Path, name: str, buckets: list[str]) -> tuple[Any, ...]:
    """What changes whenever one of the files that features are read from, or checked against, is written again."""
    files = [layout.extraction_file(root, name)]
    for bucket in buckets:
        files += [layout.features_file(root, name, bucket), layout.filelist_file(root, bucket)]
    return tuple((os.path.abspath(file), _identity(file)) for file in files)


def _identity(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:  # which whoever reads the file will report
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
