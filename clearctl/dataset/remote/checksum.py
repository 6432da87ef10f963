"""The checksums of a downloaded file: given by the caller, else declared by the server."""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clearctl.digest import file_digests
from clearctl.progress import Counted, Listener, rate_limited
from clearctl.units import megabytes

_MD5 = re.compile("[0-9a-f]{32}")
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Checksum:
    """A digest in lower-case hex, of "md5" or "sha256", and who says so: an option, or a header of the answer."""

    algorithm: str
    digest: str
    source: str


def is_md5(text: str) -> bool:
    """Whether `text` is an md5 in lower-case hex."""
    return _MD5.fullmatch(text) is not None


def declared_checksums(answers: Sequence[Mapping[str, str]]) -> Iterator[Checksum]:
    """The checksums that a server declares of a whole file; `answers` are the headers of redirects and answer, in turn.

    Hugging Face sends the sha256 as X-Linked-ETag, with the redirect; Google the md5 in x-goog-hash; others have
    Content-MD5. S3's ETag is the md5 of a file that was not uploaded in parts, nor encrypted with its own key.
    Any other ETag says nothing about the bytes: some servers hash the date.
    """
    for headers in answers:
        linked = headers.get("X-Linked-ETag", "").strip('"').lower()
        if _SHA256.fullmatch(linked):
            yield Checksum("sha256", linked, "X-Linked-ETag")
    headers = answers[-1]
    google = (part.strip().removeprefix("md5=") for part in headers.get("x-goog-hash", "").split(",") if "md5=" in part)
    for source, values in (("Content-MD5", [headers.get("Content-MD5", "")]), ("x-goog-hash", google)):
        for value in values:
            digest = _from_base64(value)
            if is_md5(digest):
                yield Checksum("md5", digest, source)
    etag = headers.get("ETag", "").removeprefix('"').removesuffix('"').lower()
    if is_md5(etag) and _is_plain_s3(headers):
        yield Checksum("md5", etag, "ETag")


def digests(path: Path, algorithms: Iterable[str], listener: Listener) -> dict[str, str]:
    """{algorithm: digest of the file} in one reading. Raises OSError."""
    work, total = f"check {path.name.removesuffix('.part')}", megabytes(path.stat().st_size)
    listener = rate_limited(listener)
    return file_digests(path, algorithms, lambda done: listener(Counted(work, megabytes(done), total, "MB")))


def _from_base64(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).hex()
    except binascii.Error:
        return ""


def _is_plain_s3(headers: Mapping[str, str]) -> bool:
    encryption = headers.get("x-amz-server-side-encryption", "AES256")
    own_key = "x-amz-server-side-encryption-customer-algorithm" in headers
    return any(name.lower().startswith("x-amz-") for name in headers) and encryption == "AES256" and not own_key
