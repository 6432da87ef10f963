"""Copies of shipped configs that a user edits, with the files that they build on."""

import os
from pathlib import Path

from clearctl import atomic
from clearctl.config import shipped
from clearctl.config.load import bases
from clearctl.errors import ConfigError
from clearctl.regular import read_text


def copy_config(name: str, folder: Path) -> list[Path]:
    """Copy the shipped config `name`, and all that its `_base_` names, into `folder`, in the same subfolders.

    Returns the files, that of `name` first. A file that is there already and the same stays. Raises ConfigError for a
    name there is not, and for a file that is there and differs, before anything is written.
    """
    if name not in shipped.names():
        shipped.find(name)  # which raises with the closest names
        raise ConfigError(f"{name}: a file of yours, expected the name of a shipped config")
    sources = _with_bases(shipped.FOLDER / f"{name}.py")
    copies = {folder / source.relative_to(shipped.FOLDER): read_text(source) for source in sources}
    for copy, text in copies.items():
        if copy.exists() and read_text(copy) != text:
            raise ConfigError(
                f"{copy} is there and differs from the shipped file\nname another folder, or move it away"
            )
    for copy, text in copies.items():
        if not copy.exists():
            atomic.write_text(copy, text)
    return list(copies)


def _with_bases(file: Path) -> list[Path]:
    """`file` and all that it builds on, each once. Path.resolve would follow the link that a checkout has."""
    found = {file: None}
    for base in bases(file):
        found.update(dict.fromkeys(_with_bases(Path(os.path.normpath(base)))))
    return list(found)
