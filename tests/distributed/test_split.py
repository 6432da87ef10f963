"""How a batch is shared among processes: arithmetic, in one process that is reported to be one of several."""

import itertools
from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sharing import environment

from clearctl.distributed.split import BatchSplit, Shard, own_rows, split_of

CPU = torch.device("cpu")

AsRank = Callable[[int, int], None]


@pytest.fixture
def as_rank(monkeypatch: pytest.MonkeyPatch) -> AsRank:
    """`as_rank(rank, processes)`: be that one of them from now on."""
    return lambda rank, processes: be(monkeypatch, rank, processes)


def be(monkeypatch: pytest.MonkeyPatch, rank: int, processes: int) -> None:
    for name, value in environment(rank, processes, 1).items():
        monkeypatch.setenv(name, value)


def splits(as_rank: AsRank, processes: int, *sizes: int) -> list[BatchSplit]:
    """How each of the processes shares a batch."""
    found = []
    for rank in range(processes):
        as_rank(rank, processes)
        found.append(split_of(sizes, CPU))
    return found


def parts(as_rank: AsRank, processes: int, batches: list[torch.Tensor]) -> list[torch.Tensor]:
    """What each of the processes has of `batches`, which it reads one by one and joins."""
    found = []
    for rank in range(processes):
        as_rank(rank, processes)
        found.append(torch.cat([Shard.of(batch[own_rows(len(batch))], len(batch)) for batch in batches]))
    return found


@pytest.mark.parametrize("processes", range(1, 6))
def test_a_batch_is_cut_into_runs_or_whole_everywhere(processes: int, as_rank: AsRank) -> None:
    for size in range(1, 41):
        whole = list(range(size))
        owned = []
        for rank in range(processes):
            as_rank(rank, processes)
            owned.append(whole[own_rows(size)])
        if size < 2 * processes:
            assert owned == [whole] * processes
            continue
        counts = [len(rows) for rows in owned]
        assert list(itertools.chain(*owned)) == whole
        assert max(counts) - min(counts) <= 1
        assert min(counts) >= 2


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 5), st.lists(st.integers(1, 14), min_size=1, max_size=4))
def test_joined_batches(processes: int, sizes: list[int]) -> None:
    """Every row is computed once, or all by all; the rows and places of a Shard are those of the whole batch."""
    whole = torch.arange(sum(sizes)) + 100
    with pytest.MonkeyPatch.context() as patch:
        cut = splits(partial(be, patch), processes, *sizes)
        read = parts(partial(be, patch), processes, list(torch.split(whole, sizes)))
    for split, part in zip(cut, read, strict=True):
        assert isinstance(part, Shard)
        assert part.sizes == tuple(sizes)
        assert split.rows(whole).tolist() == whole[split.own].tolist()
        assert split.rows(part).tolist() == whole[split.own].tolist()
        assert type(split.rows(part)) is torch.Tensor
        assert split.is_cut == any(size >= 2 * processes for size in sizes)
    if not cut[0].is_cut:
        assert all(split.rows(whole).tolist() == whole.tolist() for split in cut)
        return
    assert sorted(torch.cat([split.own for split in cut]).tolist()) == list(range(len(whole)))
    assert len({split.longest for split in cut}) == 1
    assert min(len(split.own) for split in cut) >= 2
    filled = [
        torch.nn.functional.pad(split.rows(whole), (0, split.longest - len(split.own)), value=-1) for split in cut
    ]
    for split in cut:
        assert torch.cat(filled)[split.places].tolist() == whole.tolist()


def test_a_short_batch_is_spread_beside_a_longer_one(as_rank: AsRank) -> None:
    first, second = splits(as_rank, 2, 3, 5)
    assert (first.own.tolist(), second.own.tolist()) == ([0, 3, 4], [1, 2, 5, 6, 7])
    assert first.longest == second.longest == 5
    assert first.places.tolist() == second.places.tolist() == [0, 5, 6, 1, 2, 7, 8, 9]


def test_several_devices_and_ranks_are_not_mixed_up(as_rank: AsRank) -> None:
    """What is kept of earlier batches is kept apart."""
    owns = [split.own.tolist() for split in splits(as_rank, 2, 4) + splits(as_rank, 4, 8) + splits(as_rank, 2, 4)]
    assert owns == [[0, 1], [2, 3], [0, 1], [2, 3], [4, 5], [6, 7], [0, 1], [2, 3]]
    assert split_of((4,), torch.device("meta")).own.device.type == "meta"


def test_a_part_that_is_moved_stays_a_part() -> None:
    part = Shard.of(torch.arange(6.0).reshape(3, 2), 7)
    for same in (
        part.to("cpu"),
        part.to(torch.float64),
        part.to("meta", non_blocking=True),
        part.clone(),
        part.detach(),
        part.contiguous(),
    ):
        assert isinstance(same, Shard)
        assert same.sizes == (7,)
    joined = torch.cat([part, part.clone(), Shard.of(torch.zeros(1, 2), 2, 3)])
    assert isinstance(joined, Shard)
    assert joined.sizes == (7, 7, 2, 3)
    assert joined.tolist() == [*part.tolist(), *part.tolist(), [0, 0]]
    assert part.sizes == (7,)


def test_of_everything_else_come_plain_tensors() -> None:
    part = Shard.of(torch.arange(6.0).reshape(3, 2), 7)
    others = [part * 2, part[:2], part[0], part.mean(0), torch.relu(part), part.view(2, 3), part.add_(0), part @ part.T]
    others += [torch.stack([part, part]), torch.nn.functional.linear(part, torch.eye(2)), part.data, part.unbind()[0]]
    for other in others:
        assert type(other) is torch.Tensor
    assert len(part) == 3
    assert type(part.sum().item()) is float


def test_what_is_no_part_of_a_batch_fails_loudly(as_rank: AsRank) -> None:
    as_rank(0, 2)
    part = Shard.of(torch.zeros(5, 2), 10)
    with pytest.raises(AttributeError, match="sizes"):
        torch.zeros(5, 2).as_subclass(Shard).to("cpu")
    with pytest.raises(AssertionError, match="joined with a whole one"):
        torch.cat([part, torch.zeros(3, 2)])
    for wrong in (Shard.of(torch.zeros(10, 2), 10), Shard.of(torch.zeros(4, 2), 10), torch.cat([part, part], 1)):
        assert isinstance(wrong, Shard)
        with pytest.raises(AssertionError, match="not a part of batches"):
            split_of(wrong.sizes, CPU).rows(wrong)
