"""The state of a partial download, and what the server said about the file at its start.

<file>.part        the bytes so far
<file>.part.json   its `Origin`; it stays until the file is done with
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from clearctl import atomic, layout
from clearctl.dataset.remote.checksum import Checksum
from clearctl.errors import DatasetError


@dataclass(frozen=True)
class Origin:
    """The description of the file by the server at `url`, from the headers of its first answer."""

    url: str
    size_bytes: int
    etag: str | None
    last_modified: str | None
    checksums: tuple[Checksum, ...]

    @property
    def validator(self) -> str | None:
        """The value for If-Range: the ETag, or Last-Modified if the ETag is weak and may outlast a change of bytes."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified


def read_origin(part: Path) -> Origin | None:
    """The `Origin` of what is in `part`; None if none is kept, or none that can be read."""
    try:
        value = layout.read_json(_origin_file(part))
        checksums = tuple(Checksum(**checksum) for checksum in value.pop("checksums"))
        origin = Origin(**value, checksums=checksums)
        return origin if isinstance(origin.size_bytes, int) else None
    except (DatasetError, TypeError, KeyError, AttributeError):
        return None


def remove_origin(part: Path) -> None:
    """Remove `part` and what is known of it. Raises OSError."""
    # In this order: bytes without an origin are started over, but bytes with another's would be continued.
    part.unlink(missing_ok=True)
    _origin_file(part).unlink(missing_ok=True)


def write_origin(part: Path, origin: Origin) -> None:
    """Keep the `Origin` of `part`, before its first byte is written. Raises OSError."""
    atomic.write_json(_origin_file(part), asdict(origin))


def size_of(path: Path) -> int:
    """Bytes in the file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def shown(url: str) -> str:
    """`url` without a user name and password, to be written down and printed."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _origin_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")
