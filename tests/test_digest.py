"""The digest of a file, longer than one piece."""

import hashlib

import pytest

from clearctl.digest import file_sha256


@pytest.mark.parametrize("size", [0, 5, (1 << 20) + 3])
def test_it_is_hashlibs(tmp_path, size):
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    (tmp_path / "file").write_bytes(data)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        file_sha256(tmp_path / "none")
