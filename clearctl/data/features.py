"""The files that hold extracted features, read and written.

training_folder/features/<name>/<bucket>/all.pth   (float32 [N, D], list of N ints), row i is line i of all.txt
features/<name>/<bucket>/<class>.pth               {id: tensor [D]}, as releases ship them
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clearctl import layout
from clearctl.atomic import write_bytes
from clearctl.digest import file_sha256
from clearctl.errors import DatasetError


def read_features(
    root: Path, name: str, bucket: str, listed: Sequence[tuple[str, int]]
) -> tuple[torch.Tensor, list[int]]:
    """(x [N, D] float32, N class indices) of a bucket, checked against its file list `listed`. Raises DatasetError."""
    file = layout.features_file(root, name, bucket)
    if not file.exists():
        present = ", ".join(layout.feature_names(root)) or "none"
        raise DatasetError(f"no features {name!r}: {file} is missing\nfeatures there: {present}")
    _require_current(root, name, bucket)
    x, targets = load_features(file)
    if x.shape[0] != len(listed):
        shape = tuple(x.shape)
        raise DatasetError(f"{file}: features have shape {shape}, but the bucket's file list has {len(listed)} images")
    if targets != [label for _, label in listed]:
        raise DatasetError(f"{file}: its labels are not those of the bucket's file list")
    return x, targets


def _require_current(root: Path, name: str, bucket: str) -> None:
    """Raise DatasetError where extraction.json says that the features were made for another file list.

    With as many images of the same classes it would go unnoticed that the rows are of others.
    """
    file = layout.extraction_file(root, name)
    if not file.is_file():
        return
    value: Any = layout.read_json(file)
    for key in ("buckets", bucket, "filelist_sha256"):
        value = value.get(key) if isinstance(value, dict) else None
    filelist = layout.filelist_file(root, bucket)
    if value is not None and value != file_sha256(filelist):
        raise DatasetError(
            f"the features {name!r} of bucket {bucket} were made for another {filelist}\n"
            f"run the `clearctl extract-features` again that made them: {file} says how"
        )


def load_features(file: Path) -> tuple[torch.Tensor, list[int]]:
    """(x [N, D] float32, N class indices) as they are in `file`, x mapped from it where the file's format allows.

    Raises DatasetError for a file that holds no such.
    """
    try:
        # Older tools stored the labels as numpy integers; nothing beyond those is unpickled.
        with torch.serialization.safe_globals(_numpy_integers()):
            x, labels = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
        targets = [int(label) for label in labels]
        shape = tuple(x.shape)
    except Exception as error:
        reason = (str(error) or "it is empty").splitlines()[0]
        raise DatasetError(f"{file} is not (tensor [N, D], list of N ints): {reason}") from None
    if len(shape) != 2 or shape[0] != len(targets):
        raise DatasetError(
            f"{file}: features have shape {shape} for {len(targets)} labels, expected [N, D] for N labels"
        )
    return x.detach().float(), targets


def save_features(file: Path, x: torch.Tensor, targets: Sequence[int]) -> None:
    """Write x [N, D] and its N class indices whole or not at all; the same rows give the same bytes. Raises OSError."""
    _save(file, (x.detach().to("cpu", torch.float32).contiguous(), [int(label) for label in targets]))


def load_released_features(file: Path) -> dict[str, torch.Tensor]:
    """{id: tensor [D]} of one class in one bucket. Raises DatasetError for a file that holds no such."""
    try:
        value = torch.load(file, map_location="cpu", weights_only=True)
        return {str(key): torch.as_tensor(row).float() for key, row in value.items()}
    except FileNotFoundError:
        raise DatasetError(f"{file} is missing") from None
    except Exception as error:
        reason = (str(error) or "it is empty").splitlines()[0]
        raise DatasetError(f"{file} is not {{id: tensor [D]}}: {reason}") from None


def save_released_features(file: Path, rows: Mapping[str, torch.Tensor]) -> None:
    """Write {id: tensor [D]} of one class in one bucket whole or not at all. Raises OSError."""
    # A row alone: a view would be saved with all the rows beside it.
    _save(file, {key: row.detach().to("cpu", torch.float32).clone() for key, row in rows.items()})


def _save(file: Path, value: Any) -> None:
    # Not to the file itself: torch.save would put its temporary name into it, and hide why a disk refuses.
    buffer = io.BytesIO()
    torch.save(value, buffer)
    write_bytes(file, buffer.getbuffer())


def _numpy_integers() -> list[Any]:
    """What a pickled numpy integer is made of, under the name of numpy 1 and of numpy 2."""
    make_scalar = np.int64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    dtypes = [type(np.dtype(kind)) for kind in (np.int32, np.int64)]
    return [*((make_scalar, name) for name in names), np.dtype, *dtypes]
