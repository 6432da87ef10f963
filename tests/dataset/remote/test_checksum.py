"""What counts as a checksum among a server's headers, and what does not."""

import base64
import hashlib

import pytest

from clearctl.dataset.remote.checksum import Checksum, declared_checksums, digests, is_md5
from clearctl.progress import Counted, ignore

MD5 = hashlib.md5(b"abc").hexdigest()
IN_BASE64 = base64.b64encode(bytes.fromhex(MD5)).decode()
SHA256 = hashlib.sha256(b"abc").hexdigest()
S3 = {"x-amz-request-id": "1"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, []),
        ({"Content-MD5": IN_BASE64}, [Checksum("md5", MD5, "Content-MD5")]),
        ({"x-goog-hash": f"crc32c=AAAAAA==, md5={IN_BASE64}"}, [Checksum("md5", MD5, "x-goog-hash")]),
        ({"X-Linked-ETag": f'"{SHA256}"'}, [Checksum("sha256", SHA256, "X-Linked-ETag")]),
        ({"X-Linked-ETag": SHA256.upper()}, [Checksum("sha256", SHA256, "X-Linked-ETag")]),
        ({"ETag": f'"{MD5}"', **S3}, [Checksum("md5", MD5, "ETag")]),
        ({"ETag": f'"{MD5}"', **S3, "x-amz-server-side-encryption": "AES256"}, [Checksum("md5", MD5, "ETag")]),
        # none of these is one
        ({"ETag": f'"{MD5}"'}, []),
        ({"ETag": f'W/"{MD5}"', **S3}, []),
        ({"ETag": f'"{MD5}-13"', **S3}, []),
        ({"ETag": f'"{MD5}"', **S3, "x-amz-server-side-encryption": "aws:kms"}, []),
        ({"ETag": f'"{MD5}"', **S3, "x-amz-server-side-encryption-customer-algorithm": "AES256"}, []),
        ({"Content-MD5": "no base64"}, []),
        ({"Content-MD5": base64.b64encode(b"too short").decode()}, []),
        ({"x-goog-hash": "crc32c=AAAAAA=="}, []),
        ({"X-Linked-ETag": f'W/"{SHA256}"'}, []),
        ({"X-Linked-ETag": f'"{MD5}"'}, []),
    ],
)
def test_what_a_server_declares(headers, expected):
    assert list(declared_checksums([headers])) == expected


def test_only_the_linked_etag_of_a_redirect_counts():
    redirect = {"X-Linked-ETag": f'"{SHA256}"', "Content-MD5": IN_BASE64}
    assert list(declared_checksums([redirect, {}])) == [Checksum("sha256", SHA256, "X-Linked-ETag")]


def test_digests_in_one_reading(tmp_path):
    (tmp_path / "f.zip.part").write_bytes(b"abc")
    reported = []
    assert digests(tmp_path / "f.zip.part", ["md5", "sha256"], reported.append) == {"md5": MD5, "sha256": SHA256}
    assert reported == [Counted("check f.zip", 1, 1, "MB")]
    (tmp_path / "empty").write_bytes(b"")
    assert digests(tmp_path / "empty", ["md5"], ignore) == {"md5": hashlib.md5(b"").hexdigest()}


def test_what_an_md5_looks_like():
    assert is_md5(MD5)
    assert not any(map(is_md5, ["", MD5[1:], MD5 + "0", MD5.upper(), MD5 + "\n", "g" * 32]))
