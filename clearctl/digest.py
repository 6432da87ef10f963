"""Digests of files."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from clearctl.regular import open_regular

_CHUNK_BYTES = 1 << 20


def file_sha256(file: Path) -> str:
    """The sha256 of `file` in hexadecimal, read in chunks. Raises OSError."""
    return file_digests(file, ["sha256"])["sha256"]


def file_digests(
    file: Path, algorithms: Iterable[str], progress: Callable[[int], None] = lambda done_bytes: None
) -> dict[str, str]:
    """{algorithm: digest in hexadecimal} of `file`, read once; `progress` is called with the bytes read so far.

    Raises OSError.
    """
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    done_bytes = 0
    with open_regular(file) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            for running in hashes.values():
                running.update(chunk)
            done_bytes += len(chunk)
            progress(done_bytes)
    return {name: running.hexdigest() for name, running in hashes.items()}
