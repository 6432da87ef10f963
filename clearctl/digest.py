"""The digest of a file's bytes."""

import hashlib
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def file_sha256(file: Path) -> str:
    """The sha256 of `file` in hexadecimal, read a piece at a time. Raises OSError."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
