"""Copies of shipped configs that a user edits, with the files that they build on."""

import os
from collections.abc import Mapping
from pathlib import Path

from clearctl import atomic
from clearctl.config import shipped
from clearctl.config.load import bases
from clearctl.errors import ConfigError, UsageError
from clearctl.regular import read_bytes


def copy_config(name: str, folder: Path) -> list[Path]:
    """Copy the shipped config `name`, and all that its `_base_` names, into `folder`, in the same subfolders.

    Returns the files, that of `name` first. A file that is there already and the same stays. Raises ConfigError for a
    name there is not, and for a file that is there and differs, before anything is written; UsageError where `folder`
    cannot be read or written.
    """
    if name not in shipped.names():
        shipped.find(name)  # which raises with the closest names
        raise ConfigError(f"{name}: a file of yours, expected the name of a shipped config")
    sources = _with_bases(shipped.FOLDER / f"{name}.py")
    copies = {folder / source.relative_to(shipped.FOLDER): read_bytes(source) for source in sources}
    try:
        _write(copies)
    except OSError as error:
        raise UsageError(
            f"{error.filename or folder} cannot be read or written: {error.strerror}\nname another folder"
        ) from None
    return list(copies)


def _write(copies: Mapping[Path, bytes]) -> None:
    """Write those that are not there. Raises ConfigError, before that, for one that is there and differs; OSError."""
    missing = {copy: data for copy, data in copies.items() if not copy.exists()}
    for copy, data in copies.items():
        if copy not in missing and read_bytes(copy) != data:
            raise ConfigError(
                f"{copy} is there and differs from the shipped file\nname another folder, or move it away"
            )
    for copy, data in missing.items():
        atomic.write_bytes(copy, data)


def _with_bases(file: Path) -> list[Path]:
    """`file` and all that it builds on, each once. Path.resolve would follow the link that a checkout has."""
    found = {file: None}
    for base in bases(file):
        found.update(dict.fromkeys(_with_bases(Path(os.path.normpath(base)))))
    return list(found)
