"""Files of features that are damaged, or hold tensors of another kind."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from clearctl import layout
from clearctl.data.feature_matrix import read_matrix
from clearctl.data.features import load_features, load_released_features, read_features, save_features
from clearctl.data.features import save_released_features as save_released
from clearctl.errors import DatasetError

X = torch.arange(60.0).reshape(12, 5)
LISTED = [(f"{row}.jpg", row % 3) for row in range(12)]
LABELS = [label for _, label in LISTED]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The features `tiny` of bucket 0 in a dataset folder, with nothing that says how they were made."""
    file = layout.features_file(tmp_path, "tiny", "0")
    save_features(file, X, LABELS)
    return file


def record(file: Path, **of_bucket: object) -> Path:
    """Write extraction.json as if the features were made here."""
    there = file.parents[1] / "extraction.json"
    there.write_text(json.dumps({"buckets": {"0": of_bucket}}))
    return there


def flip(file: Path) -> None:
    """One bit in the middle of the tensor."""
    data = bytearray(file.read_bytes())
    data[data.index(X[5].numpy().tobytes()) + 2] ^= 1
    file.write_bytes(data)


def refusal(file: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        read_features(file.parents[4], "tiny", "0", LISTED)
    return str(caught.value)


def test_a_flipped_bit(file: Path) -> None:
    assert torch.equal(read_features(file.parents[4], "tiny", "0", LISTED)[0], X)
    flip(file)
    assert not torch.equal(torch.load(file, weights_only=True)[0], X)  # torch.load does not see it
    assert refusal(file) == (
        f"{file} is damaged: its entry archive/data/0 has a wrong CRC-32\n"
        "copy or download it again, or rerun the command that wrote it"
    )


def test_a_flipped_bit_where_the_sha256_is_recorded(file: Path) -> None:
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    there = record(file, sha256=sha256)
    assert torch.equal(read_features(file.parents[4], "tiny", "0", LISTED)[0], X)
    flip(file)
    first, second = refusal(file).split("\n")
    assert first.startswith(f"{file} is damaged: its sha256 is ")
    assert first.endswith(f", expected {sha256[:12]}...")
    assert second == (
        f"run the same `clearctl extract-features` again, which extracts this bucket: {there} has its options"
    )


def test_a_whole_file_of_other_features(file: Path) -> None:
    record(file, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    save_features(file, X + 1, LABELS)
    assert "is damaged: its sha256 is " in refusal(file)


def test_a_record_without_the_sha256(file: Path) -> None:
    record(file, rows=12)
    assert torch.equal(read_features(file.parents[4], "tiny", "0", LISTED)[0], X)
    flip(file)
    assert "has a wrong CRC-32" in refusal(file)


@pytest.mark.parametrize(
    ("value", "kind"), [(X.to_sparse(), "sparse_coo"), (X.to("meta"), "meta"), (X.to(torch.complex64), "complex")]
)
def test_features_that_are_no_dense_real_tensor(value: torch.Tensor, kind: str, file: Path, tmp_path: Path) -> None:
    torch.save((value, LABELS), file)
    with pytest.raises(DatasetError, match=f"its tensor is {kind}, expected a dense one of real numbers$"):
        load_features(file)
    torch.save({"1": value}, tmp_path / "class.pth")
    with pytest.raises(DatasetError, match=f"its tensor is {kind}, expected a dense one of real numbers$"):
        load_released_features(tmp_path / "class.pth")


def test_a_flipped_bit_in_a_released_file(tmp_path: Path) -> None:
    file = tmp_path / "dog.pth"
    save_released(file, {str(number): row for number, row in enumerate(X)})
    assert torch.equal(load_released_features(file)["5"], X[5])
    flip(file)
    with pytest.raises(DatasetError) as caught:
        load_released_features(file)
    assert str(caught.value).startswith(f"{file} is damaged: its entry archive/data/5 has a wrong CRC-32\n")


@pytest.mark.parametrize("room_bytes", [None, 0], ids=["memory", "mapped"])
@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_not_trained_on(
    value: float, kind: torch.dtype, room_bytes: int | None, file: Path
) -> None:
    x = X.to(kind)
    x[7, 2] = x[9, 0] = value
    torch.save((x, LABELS), file)
    with pytest.raises(
        DatasetError, match=r"all\.pth: 2 rows with a number that is not finite, such as row 7, of 7\.jpg"
    ):
        read_matrix(file.parents[4], "tiny", {"0": LISTED}, room_bytes)


@pytest.mark.parametrize("room_bytes", [None, 0], ids=["memory", "mapped"])
def test_numbers_whose_sum_overflows_are_finite(room_bytes: int | None, file: Path) -> None:
    torch.save((torch.full((12, 5), 60_000.0, dtype=torch.float16), LABELS), file)
    x, y, _ = read_matrix(file.parents[4], "tiny", {"0": LISTED}, room_bytes)
    assert (x.shape, y.tolist()) == ((12, 5), LABELS)
