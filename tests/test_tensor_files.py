"""Files of torch.save read back: one flipped bit is found, and what has nothing to check is read as it is."""

import hashlib
import random
import re
from pathlib import Path

import pytest
import torch

from clearctl.tensor_files import DamagedFileError, UnreadableFileError, load, not_plain

CONTENT = {"fc.weight": torch.arange(600.0).reshape(20, 30), "fc.bias": torch.ones(3, dtype=torch.int64)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.save(CONTENT, tmp_path / "with space.pth")
    return tmp_path / "with space.pth"


def flip(file: Path, position: int, bit: int = 0) -> None:
    data = bytearray(file.read_bytes())
    data[position] ^= 1 << bit
    file.write_bytes(data)


def is_content(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == CONTENT.keys() and all(torch.equal(found[key], CONTENT[key]) for key in CONTENT)


@pytest.mark.parametrize("mmap", [False, True])
def test_a_whole_file(mmap: bool, file: Path) -> None:
    assert is_content(load(file, mmap=mmap))
    assert is_content(load(file, mmap=mmap, sha256=hashlib.sha256(file.read_bytes()).hexdigest()))


@pytest.mark.parametrize("mmap", [False, True])
def test_a_flipped_bit_in_a_weight(mmap: bool, file: Path) -> None:
    at = file.read_bytes().index(CONTENT["fc.weight"].numpy().tobytes()) + 1200
    flip(file, at)
    assert not is_content(torch.load(file, weights_only=True))  # torch.load does not see it
    with pytest.raises(DamagedFileError, match=r"^its entry with space/data/0 has a wrong CRC-32$"):
        load(file, mmap=mmap)


def test_no_flipped_bit_gives_other_content(file: Path) -> None:
    """It may lie where no content is, as in the padding before a tensor."""
    whole = file.read_bytes()
    draw = random.Random(0)
    refused = 0
    for _ in range(300):
        file.write_bytes(whole)
        flip(file, draw.randrange(len(whole)), draw.randrange(8))
        try:
            found = load(file)
        except Exception:
            refused += 1
        else:
            assert is_content(found)
    assert refused > 200


@pytest.mark.parametrize("left_bytes", [4, 1000, -1])
def test_a_file_that_was_cut_short(left_bytes: int, file: Path) -> None:
    file.write_bytes(file.read_bytes()[:left_bytes])
    with pytest.raises(DamagedFileError, match="^its zip archive is incomplete"):
        load(file)


def test_another_sha256(file: Path) -> None:
    expected = hashlib.sha256(file.read_bytes()).hexdigest()
    torch.save({}, file)  # whole, but another
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(DamagedFileError) as caught:
        load(file, sha256=expected)
    assert str(caught.value) == f"its sha256 is {found[:12]}..., expected {expected[:12]}..."


@pytest.mark.parametrize("mmap", [False, True])
def test_a_file_of_old_torch_has_no_crc_to_check(mmap: bool, file: Path) -> None:
    torch.save(CONTENT, file, _use_new_zipfile_serialization=False)
    assert is_content(load(file, mmap=mmap))


def test_a_file_that_was_written_without_crcs(file: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(CONTENT, file)
    finally:
        torch.serialization.set_crc32_options(True)
    assert is_content(load(file))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for sha256 in (None, "0" * 64):
        with pytest.raises(FileNotFoundError):
            load(tmp_path / "none.pth", sha256=sha256)


def test_kinds_of_tensors() -> None:
    dense = torch.eye(2)
    assert [not_plain(value) for value in (dense, dense.long(), dense.to(torch.complex64))] == [None] * 3
    assert not_plain(dense.to_sparse()) == "sparse_coo"
    assert not_plain(dense.to_sparse_csr()) == "sparse_csr"
    assert not_plain(torch.quantize_per_tensor(dense, 0.1, 0, torch.qint8)) == "quantized"
    assert not_plain(dense.to("meta")) == "meta"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"hello", "torch cannot read it"),
        (b"1", "torch cannot read it"),
        (b"\x80\x04N.", "torch cannot read it"),
        (b"<!DOCTYPE html><html>", "it is a web page: download the file again"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n",
            "it is a Git LFS pointer, not the file itself: run `git lfs pull` where it was cloned",
        ),
    ],
)
def test_what_is_no_file_of_torch(content: bytes, reason: str, tmp_path: Path) -> None:
    """One kind of error, whatever torch raises, and never its advice to run what is in the file."""
    (tmp_path / "file.pth").write_bytes(content)
    with pytest.raises(UnreadableFileError) as caught:
        load(tmp_path / "file.pth")
    assert (str(caught.value), caught.value.pickled) == (reason, None)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("value", [Path("x"), torch.nn.Linear(1, 1), re.compile("x")], ids=type)
def test_pickled_objects_are_named(value: object, zipped: bool, tmp_path: Path) -> None:
    torch.save([torch.ones(2), value], tmp_path / "file.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnreadableFileError) as caught:
        load(tmp_path / "file.pth")
    assert caught.value.pickled is not None
    assert str(caught.value) == f"it contains a pickled {caught.value.pickled}, which is never run"
