"""Features that stay in their files: the rows, the digests and the streams of those that are read."""

import gc
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clearctl import layout
from clearctl.data.feature_parts import FeatureParts, blocks_of, copy_stored, map_read_only
from clearctl.data.features import load_features
from clearctl.data.stream import read_stream
from clearctl.errors import DatasetError


def parts_of(*sizes: int, dim: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(size, dim, generator=generator) for size in sizes]


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4), draws=st.lists(st.integers(0, 10**6), max_size=12))
def test_rows_of_any_parts(sizes: list[int], draws: list[int]) -> None:
    parts = parts_of(*sizes)
    matrix, mapped = torch.cat(parts), FeatureParts(parts)
    rows = torch.tensor([draw % len(matrix) for draw in draws], dtype=torch.int64)
    assert mapped.shape == matrix.shape
    assert torch.equal(mapped.take(rows), matrix[rows])
    assert torch.equal(mapped[rows], matrix[rows])
    assert all(torch.equal(mapped[row], matrix[row]) for row in rows)
    assert torch.equal(torch.cat(list(mapped.blocks())), matrix)


def test_rows_of_other_numbers_are_float32_as_a_matrix_has_them() -> None:
    parts = [part.to(kind) for part, kind in zip(parts_of(4, 4), (torch.float64, torch.float16), strict=True)]
    mapped, matrix = FeatureParts(parts), torch.cat([part.float() for part in parts])
    for rows in (torch.tensor([1, 0]), torch.tensor([6]), torch.tensor([7, 2, 5])):
        assert mapped.take(rows).dtype is torch.float32
        assert torch.equal(mapped.take(rows), matrix[rows])
    assert torch.equal(torch.cat(list(blocks_of(mapped))), matrix)


def test_what_is_taken_is_a_copy() -> None:
    parts = parts_of(4)
    mapped = FeatureParts(parts)
    mapped.take(torch.arange(4)).zero_()
    mapped[torch.tensor(1)].zero_()
    assert torch.equal(mapped.take(torch.arange(4)), parts_of(4)[0])


X = torch.arange(24, dtype=torch.float32).view(6, 4)
LABELS = [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("stored", "read_only"),
    [
        ((X, LABELS), True),
        ((X.double(), LABELS), True),
        ((X.t().contiguous().t(), LABELS), True),  # column after column
        ((torch.cat([X, X])[3:9], LABELS), True),  # some rows of a larger tensor
        ((X, torch.tensor(LABELS)), False),  # two tensors: it is not known which bytes are whose
    ],
)
def test_files_of_every_form(stored: Any, read_only: bool, tmp_path: Path) -> None:
    file = tmp_path / "all.pth"
    torch.save(stored, file)
    x = torch.load(file, mmap=True)[0]
    mapped = map_read_only(file, x)
    assert (mapped is not x) == read_only
    assert torch.equal(mapped, stored[0])
    matrix = torch.zeros(8, 4)
    copy_stored(file, x, matrix[1:7])
    assert torch.equal(matrix[1:7], stored[0].float())
    assert not matrix[[0, 7]].any()


def test_a_mapping_is_read_only(tmp_path: Path) -> None:
    """The kernel says so: it counts against no limit on memory of one's own."""
    file = tmp_path / "all.pth"
    torch.save((X, LABELS), file)
    mapped = map_read_only(file, torch.load(file, mmap=True)[0])
    gc.collect()  # of torch's own mapping
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(str(file))]
    assert [line[1] for line in lines] == ["r--s"]
    assert torch.equal(mapped, X)


def test_a_file_of_an_old_torch_is_held_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "all.pth"
    torch.save((X, LABELS), file, _use_new_zipfile_serialization=False)
    x, _ = load_features(file)
    assert map_read_only(file, x) is x
    copy_stored(file, x, matrix := torch.zeros(6, 4))
    assert torch.equal(matrix, X)


# Streams


def test_the_stream_is_that_of_features_in_memory(prepared: Path) -> None:
    for arguments in ({}, {"protocol": "iid", "seed": 0}, {"buckets": ["2", "0"]}):
        whole = read_stream(prepared, feature_type="tiny", **arguments)
        mapped = read_stream(prepared, feature_type="tiny", room_bytes=0, **arguments)
        assert (whole.is_mapped, mapped.is_mapped) == (False, True)
        assert mapped.feature_dim == whole.feature_dim
        assert mapped.describe(prepared) == whole.describe(prepared)
        for ours, theirs in zip(mapped.buckets, whole.buckets, strict=True):
            for part, other in zip(ours.parts, theirs.parts, strict=True):
                assert torch.equal(part.x[part.rows], other.x[other.rows])
                assert [part[1][0].tolist(), part[1][1]] == [other[1][0].tolist(), other[1][1]]
                assert torch.equal(part.subset([2, 0]).x[part.rows[0]], other.x[other.rows[0]])
        assert mapped.to(torch.device("meta")).buckets[0].train.x is mapped.buckets[0].train.x


@pytest.fixture
def own(prepared: Path, tmp_path: Path) -> Path:
    """A dataset folder whose features no other test has in memory."""
    return shutil.copytree(prepared, tmp_path / "own")


def test_only_what_has_no_room_is_mapped(own: Path) -> None:
    need_bytes = 3 * 36 * 5 * 4
    assert read_stream(own, feature_type="tiny", room_bytes=need_bytes - 1).is_mapped
    held = read_stream(own, feature_type="tiny", room_bytes=need_bytes)
    assert not held.is_mapped
    # What is in memory already needs no room, but for who asks for mapped features.
    assert read_stream(own, feature_type="tiny", room_bytes=1).buckets[0].train.x is held.buckets[0].train.x
    assert read_stream(own, feature_type="tiny", room_bytes=0).is_mapped


def test_mapped_features_are_shared_while_someone_holds_them(own: Path) -> None:
    held = read_stream(own, feature_type="tiny", room_bytes=0)
    assert read_stream(own, feature_type="tiny", room_bytes=9).buckets[2].test.x is held.buckets[0].train.x
    assert not read_stream(own, feature_type="tiny").is_mapped
    x = weakref.ref(held.buckets[0].train.x)
    del held
    gc.collect()
    assert x() is None


@pytest.mark.parametrize("room_bytes", [None, 0])
def test_dimensions_that_differ(room_bytes: int | None, prepared: Path, tmp_path: Path) -> None:
    root = shutil.copytree(prepared, tmp_path / "dataset")
    file = layout.features_file(root, "tiny", "1")
    x, labels = load_features(file)
    torch.save((x[:, :4].clone(), labels), file)
    with pytest.raises(DatasetError, match=r"dimensions differ: \[4, 5\]"):
        read_stream(root, feature_type="tiny", room_bytes=room_bytes)
