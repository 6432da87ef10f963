"""Reads files of torch.save and safetensors: rejects damaged files and others, and never runs pickled code.

torch.load does not check the CRC-32 of the entries in its zip archives: a flipped bit changes a weight silently.
"""

import pickle
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from clearctl.digest import file_sha256
from clearctl.regular import open_regular, what_it_is_instead

SAFETENSORS = ".safetensors"
_ZIP_START = b"PK\x03\x04"  # how torch.load tells its zip archives from the pickles of torch < 1.6
_BEGINNING_BYTES = 64
_LOCAL_HEADER_BYTES = (
    30  # before each entry of a zip archive; it ends with the lengths of the name and of the extra field
)
# The exceptions that zipfile raises for a damaged archive.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OverflowError)


class DamagedFileError(Exception):
    """A damaged file; the message says what is wrong with it."""


class UnreadableFileError(Exception):
    """A file that is not one of torch.save, or needs code to be read; the message says what it is.

    `pickled` names the object that would need the code, if there is one.
    """

    def __init__(self, message: str, pickled: str | None = None) -> None:
        super().__init__(message)
        self.pickled = pickled


def load(file: Path, *, sha256: str | None = None, mmap: bool = False) -> Any:
    """The result of torch.load(weights_only=True), with tensors on the CPU; for .safetensors the tensors by name.

    The bytes are checked first: against `sha256` if given, else against the CRC-32s in the zip archive. A file of
    torch < 1.6 is not an archive and has none. With `mmap` tensors are memory-mapped from an archive.

    Raises DamagedFileError, UnreadableFileError, OSError, and what torch.load raises for an archive of something else.
    """
    with open_regular(file) as stream:
        beginning = stream.read(_BEGINNING_BYTES)
    is_zip = beginning.startswith(_ZIP_START)
    if sha256 is not None:
        found = file_sha256(file)
        if found != sha256:
            raise DamagedFileError(f"its sha256 is {found[:12]}..., expected {sha256[:12]}...")
    elif is_zip:
        _check_crcs(file)
    if file.suffix == SAFETENSORS:
        return _load_safetensors(file)
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap and is_zip)
    except OSError:
        raise
    except Exception as error:
        if is_zip and not isinstance(error, pickle.UnpicklingError):
            raise
        raise _unreadable(beginning, error) from None


def _unreadable(beginning: bytes, error: Exception) -> UnreadableFileError:
    """What torch's `error` means; its own text is on how to run the code in the file."""
    needed = re.search(r"GLOBAL (\S+)", str(error))
    if needed is not None:
        return UnreadableFileError(f"it contains a pickled {needed[1]}, which is never run", needed[1])
    if not beginning:
        return UnreadableFileError("it is empty")
    return UnreadableFileError(what_it_is_instead(beginning) or "torch cannot read it")


def place_of_only_tensor(file: Path) -> tuple[int, int] | None:
    """(offset, number of bytes) of the only tensor in an archive of torch.save.

    None if the file has several storages, or is not an archive. Raises OSError.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            found = [entry for entry in archive.infolist() if re.fullmatch(r"[^/]+/data/\d+", entry.filename)]
        if len(found) != 1 or found[0].compress_type != zipfile.ZIP_STORED:
            return None
        with open_regular(file) as stream:
            stream.seek(found[0].header_offset)
            header = stream.read(_LOCAL_HEADER_BYTES)
        name_bytes, extra_bytes = struct.unpack("<HH", header[-4:])
        return found[0].header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes, found[0].file_size
    except (*_BROKEN, struct.error):
        return None


def _load_safetensors(file: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except SafetensorError as error:
        raise DamagedFileError(str(error)) from None


def not_plain(value: torch.Tensor) -> str | None:
    """The kind of tensor `value` is if it is not a dense array of numbers in memory; None if it is."""
    if value.is_meta:
        return "meta"
    if value.is_quantized:
        return "quantized"
    if value.layout is not torch.strided:
        return str(value.layout).removeprefix("torch.")
    return None


def _check_crcs(file: Path) -> None:
    """Raise DamagedFileError unless every entry has its CRC-32. Reads the file once, in chunks."""
    try:
        with zipfile.ZipFile(file) as archive:
            # torch.serialization.set_crc32_options(False) makes all of them 0.
            has_crcs = any(entry.CRC for entry in archive.infolist())
            damaged = archive.testzip() if has_crcs else None
    except _BROKEN:
        raise DamagedFileError("its zip archive is incomplete, as after an interrupted copy or download") from None
    if damaged is not None:
        raise DamagedFileError(f"its entry {damaged} has a wrong CRC-32")
