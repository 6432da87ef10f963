"""A journal of checked image files, so that a killed check continues and a second one is fast.

    .clearctl-verify.jsonl in the dataset folder: {"pillow": "11.0.0", "formats": [...]}, then a line per image

Lines are only ever appended, some at a time in one write. One that was cut off by a kill is not read.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import PIL

from clearctl.images import FORMATS
from clearctl.regular import read_text

FILE_NAME = ".clearctl-verify.jsonl"
# The versions that decide whether an image decodes. Lines that another one wrote are not read.
DECODER = {"pillow": PIL.__version__, "formats": list(FORMATS)}


@dataclass(frozen=True)
class Decoded:
    """An image file that was read: `path` relative to the dataset folder, as large and as old as it was then.

    `width_px`, `height_px` and Pillow's `mode` are None if it cannot be decoded, `sha256` where
    it cannot even be read; `error` says why.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    sha256: str | None
    width_px: int | None
    height_px: int | None
    mode: str | None
    error: str | None


class Journal:
    """The journal of the dataset folder `root`. `fault` says why it cannot be written, None while it can."""

    def __init__(self, root: Path) -> None:
        self.path = root / FILE_NAME
        self.fault: str | None = None
        self._root = root
        self._known: dict[str, Decoded] = {}
        self._opening = ""
        self._read()

    def unchanged(self, paths: Iterable[str]) -> dict[str, Decoded]:
        """{path: what is known of it} for those of `paths` whose file has not changed since."""
        return {path: self._known[path] for path in paths if path in self._known and self._is_unchanged(path)}

    def append(self, entries: Iterable[Decoded]) -> None:
        """Add entries; if that fails once, `fault` says why and no others are added."""
        lines = "".join(json.dumps(asdict(entry), separators=(",", ":")) + "\n" for entry in entries)
        if self.fault or not lines:
            return
        data = (self._opening + lines).encode()
        try:
            # One write to the end of the file, so that two commands at a time do not mix their lines.
            with self.path.open("ab", buffering=0) as file:
                if file.write(data) < len(data):
                    self.fault = "only part of it was written"
            self._opening = ""
        except OSError as error:
            self.fault = str(error.strerror)

    def _read(self) -> None:
        """Read the existing entries, and note what must be written before more can be added."""
        try:
            text = read_text(self.path, errors="replace")
        except FileNotFoundError:
            text = ""
        except OSError as error:
            self.fault = str(error.strerror)
            return
        decoder = None
        for line in text.split("\n"):
            try:
                fields = json.loads(line)
                if "pillow" in fields:
                    decoder = fields
                elif decoder == DECODER:
                    entry = Decoded(**fields)
                    self._known[entry.path] = entry
            except (ValueError, TypeError, RecursionError):
                continue  # cut off by a kill
        end_of_line = "" if text.endswith("\n") or not text else "\n"
        header = "" if decoder == DECODER else json.dumps(DECODER) + "\n"
        self._opening = end_of_line + header

    def _is_unchanged(self, path: str) -> bool:
        try:
            stat = os.stat(self._root / path)
        except OSError:
            return False
        if not os.access(self._root / path, os.R_OK):  # which leaves the time of the last change as it was
            return False
        return (stat.st_size, stat.st_mtime_ns) == (self._known[path].size_bytes, self._known[path].mtime_ns)
