"""Copies shipped configs, with their bases, for the user to edit."""

import os
from collections.abc import Mapping
from pathlib import Path

from clearctl import atomic
from clearctl.config import shipped
from clearctl.config.load import bases
from clearctl.errors import ConfigError, UsageError
from clearctl.regular import read_bytes


def copy_config(name: str, folder: Path) -> list[Path]:
    """Copy the shipped config `name`, and all its `_base_` files, into `folder`, in the same subfolders.

    Returns the files, that of `name` first. An identical file that already exists stays. Raises ConfigError for an
    unknown name, and, before anything is written, for an existing file that differs; UsageError if `folder` has the
    name of a file, or cannot be read or written.
    """
    if folder.suffix == ".py" and not folder.is_dir():
        raise UsageError(f"{folder}: expected a folder, into which the config and the files it builds on are copied")
    if name not in shipped.names():
        shipped.find(name)  # which raises with the closest names
        raise ConfigError(f"{name}: found a file, expected the name of a shipped config")
    sources = _with_bases(shipped.FOLDER / f"{name}.py")
    copies = {folder / source.relative_to(shipped.FOLDER): read_bytes(source) for source in sources}
    try:
        _write(copies)
    except OSError as error:
        raise UsageError(
            f"{error.filename or folder} cannot be read or written: {error.strerror}\ngive another folder"
        ) from None
    return list(copies)


def _write(copies: Mapping[Path, bytes]) -> None:
    """Write the missing files. First raises ConfigError for an existing file that differs; also raises OSError."""
    missing = {copy: data for copy, data in copies.items() if not copy.exists()}
    for copy, data in copies.items():
        if copy not in missing and read_bytes(copy) != data:
            raise ConfigError(
                f"{copy} already exists and differs from the shipped file\ngive another folder, or move it away"
            )
    for copy, data in missing.items():
        atomic.write_bytes(copy, data)


def _with_bases(file: Path) -> list[Path]:
    """`file` and all its bases, each once. Path.resolve would follow the link in a checkout."""
    found = {file: None}
    for base in bases(file):
        found.update(dict.fromkeys(_with_bases(Path(os.path.normpath(base)))))
    return list(found)
