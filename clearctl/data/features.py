"""Reads and writes the files of extracted features.

training_folder/features/<name>/<bucket>/all.pth   (float32 [N, D], list of N ints), row i is line i of all.txt
features/<name>/<bucket>/<class>.pth               {id: tensor [D]}, as releases ship them
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clearctl import layout, tensor_files
from clearctl.atomic import write_bytes
from clearctl.digest import file_sha256
from clearctl.errors import DatasetError
from clearctl.wording import first_line


def read_features(
    root: Path, name: str, bucket: str, listed: Sequence[tuple[str, int]]
) -> tuple[torch.Tensor, list[int]]:
    """(x [N, D] float32, N class indices) of a bucket, checked against its file list `listed`.

    Where extraction.json has the sha256 of the file, it must have that. Raises DatasetError.
    """
    x, targets = stored_features(root, name, bucket, listed)
    return x.float(), targets


def stored_features(
    root: Path, name: str, bucket: str, listed: Sequence[tuple[str, int]]
) -> tuple[torch.Tensor, list[int]]:
    """The same, with x of the kind of number that the file has."""
    file = layout.features_file(root, name, bucket)
    if not file.exists():
        present = ", ".join(layout.feature_names(root)) or "none"
        raise DatasetError(f"no features {name!r}: {file} is missing\navailable features: {present}")
    record = _recorded(root, name, bucket)
    _require_current(root, name, bucket, record.get("filelist_sha256"))
    recorded = record.get("sha256")
    if isinstance(recorded, str):
        remedy = (
            "run the same `clearctl extract-features` again, which extracts this bucket: "
            f"{layout.extraction_file(root, name)} has its options"
        )
        x, targets = _load(file, sha256=recorded, remedy=remedy)
    else:
        x, targets = _load(file)
    if x.shape[0] != len(listed):
        shape = tuple(x.shape)
        raise DatasetError(f"{file}: features have shape {shape}, but the bucket's file list has {len(listed)} images")
    if targets != [label for _, label in listed]:
        raise DatasetError(f"{file}: its labels differ from the bucket's file list")
    return x, targets


def _recorded(root: Path, name: str, bucket: str) -> dict[str, Any]:
    """The entry of extraction.json for the bucket; empty for features that were made elsewhere. Raises DatasetError."""
    file = layout.extraction_file(root, name)
    if not file.is_file():
        return {}
    value: Any = layout.read_json(file)
    for key in ("buckets", bucket):
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _require_current(root: Path, name: str, bucket: str, recorded: Any) -> None:
    """Raise DatasetError unless the `recorded` sha256, if there is one, is that of the file list.

    With as many images of the same classes it would go unnoticed that the rows are of others.
    """
    filelist = layout.filelist_file(root, bucket)
    if recorded is not None and recorded != file_sha256(filelist):
        raise DatasetError(
            f"the features {name!r} of bucket {bucket} were extracted for another {filelist}\n"
            f"run the same `clearctl extract-features` again: {layout.extraction_file(root, name)} has its options"
        )


def feature_dimension(root: Path, name: str) -> int | None:
    """D of the features `name`, of extraction.json or else the first bucket's file; None if there is neither."""
    try:
        record = layout.read_json(layout.extraction_file(root, name))
        dimension = record.get("dimension") if isinstance(record, dict) else None
        if isinstance(dimension, int):
            return dimension
    except DatasetError:
        pass
    try:
        file = next(iter(sorted(layout.features_folder(root, name).glob("*/all.pth"))), None)
        return None if file is None else int(load_features(file)[0].shape[1])
    except DatasetError:
        return None


_REMEDY = "copy or download it again, or rerun the command that wrote it"


def load_features(file: Path, *, sha256: str | None = None, remedy: str = _REMEDY) -> tuple[torch.Tensor, list[int]]:
    """(x [N, D] float32, N class indices) as they are in `file`, x mapped from it where the file's format allows.

    Raises DatasetError for a file that holds no such, and for one that is damaged or has another `sha256`, with the
    `remedy`.
    """
    x, targets = _load(file, sha256=sha256, remedy=remedy)
    return x.float(), targets


def _load(file: Path, *, sha256: str | None = None, remedy: str = _REMEDY) -> tuple[torch.Tensor, list[int]]:
    try:
        # Older tools stored the labels as numpy integers; nothing beyond those is unpickled.
        with torch.serialization.safe_globals(_numpy_integers()):
            x, labels = tensor_files.load(file, sha256=sha256, mmap=True)
        targets = [int(label) for label in labels]
        _require_real(x)
        shape = tuple(x.shape)
    except tensor_files.DamagedFileError as error:
        raise DatasetError(f"{file} is damaged: {error}\n{remedy}") from None
    except Exception as error:
        reason = first_line(error, "it is empty")
        raise DatasetError(f"{file} is not (tensor [N, D], list of N ints): {reason}") from None
    if len(shape) != 2 or shape[0] != len(targets):
        raise DatasetError(
            f"{file}: features have shape {shape} for {len(targets)} labels, expected [N, D] for N labels"
        )
    return x.detach(), targets


def save_features(file: Path, x: torch.Tensor, targets: Sequence[int]) -> None:
    """Write x [N, D] and its N class indices atomically; the same rows give the same bytes. Raises OSError."""
    _save(file, (x.detach().to("cpu", torch.float32).contiguous(), [int(label) for label in targets]))


def load_released_features(file: Path) -> dict[str, torch.Tensor]:
    """{id: tensor [D]} of one class in one bucket. Raises DatasetError for a file that holds no such."""
    try:
        value = tensor_files.load(file)
        rows = {str(key): torch.as_tensor(row) for key, row in value.items()}
        for row in rows.values():
            _require_real(row)
        return {key: row.float() for key, row in rows.items()}
    except tensor_files.DamagedFileError as error:
        raise DatasetError(f"{file} is damaged: {error}\n{_REMEDY}") from None
    except FileNotFoundError:
        raise DatasetError(f"{file} is missing") from None
    except Exception as error:
        reason = first_line(error, "it is empty")
        raise DatasetError(f"{file} is not {{id: tensor [D]}}: {reason}") from None


def save_released_features(file: Path, rows: Mapping[str, torch.Tensor]) -> None:
    """Write {id: tensor [D]} of one class in one bucket atomically. Raises OSError."""
    # A row alone: a view would be saved with all the rows next to it.
    _save(file, {key: row.detach().to("cpu", torch.float32).clone() for key, row in rows.items()})


def _save(file: Path, value: Any) -> None:
    # Not to the file itself: torch.save would put its temporary name into it, and hide why a disk refuses.
    buffer = io.BytesIO()
    torch.save(value, buffer)
    write_bytes(file, buffer.getbuffer())


def _require_real(x: torch.Tensor) -> None:
    """Raise ValueError unless `x` is a dense tensor of real numbers."""
    kind = tensor_files.not_plain(x) or ("complex" if x.is_complex() else None)
    if kind is not None:
        raise ValueError(f"its tensor is {kind}, expected a dense one of real numbers")


def _numpy_integers() -> list[Any]:
    """The functions and types that a pickled numpy integer names, for numpy 1 and numpy 2."""
    make_scalar = np.int64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    dtypes = [type(np.dtype(kind)) for kind in (np.int32, np.int64)]
    return [*((make_scalar, name) for name in names), np.dtype, *dtypes]
