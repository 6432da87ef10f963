"""Whole file lists: the digest that identifies a dataset, and the splits that must agree with the lists.

Does not import torch. Invalid content raises DatasetError.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from clearctl import layout
from clearctl.errors import DatasetError


def sha256(root: Path, buckets: Sequence[str]) -> str:
    """A digest of the dataset: its class names, and the images of `buckets` with their classes, in order."""
    digest = hashlib.sha256(json.dumps(layout.read_class_names(root)).encode())
    for bucket in buckets:
        digest.update(json.dumps([bucket, layout.read_filelist(layout.filelist_file(root, bucket))]).encode())
    return digest.hexdigest()


def read_split(folder: Path, listed: list[tuple[str, int]]) -> tuple[list[int], list[int]]:
    """The line numbers (from 0) of the training and the test images, from the four files in a bucket's split folder.

    `listed` is the bucket's file list; the files must agree with it.
    """
    return read_split_part(folder, "train", listed), read_split_part(folder, "test", listed)


def read_split_part(folder: Path, part: str, listed: list[tuple[str, int]]) -> list[int]:
    """The line numbers of one `part` of a split, "train" or "test"; only the two files of that part are read."""
    file = folder / f"{part}_indices.json"
    indices: list[int] = layout.read_json(file)
    valid = isinstance(indices, list) and all(isinstance(i, int) and 0 <= i < len(listed) for i in indices)
    if not valid or not indices:
        raise DatasetError(f"{file}: expected a list of line numbers, 0 to {len(listed) - 1}, of the file list")
    if layout.read_filelist(folder / f"{part}.txt") != [listed[i] for i in indices]:
        command = "make-fewshot" if folder.parent.parent.name.endswith("_shot") else "prepare-avalanche"
        raise DatasetError(
            f"{folder / f'{part}.txt'} and {file.name} disagree with the file list\n"
            f"the split was made for another file list: run `clearctl {command} --force`"
        )
    return indices
