"""The batches that a strategy goes through, as those who watch it read them."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clearctl.strategies.watching import batch
from clearctl.strategies.watching.batch import BatchRecord, BatchResult, BatchResults


@given(counts=st.lists(st.integers(1, 7), min_size=1, max_size=6), read_between=st.booleans(), soft=st.booleans())
def test_each_batch_is_counted_for_itself(counts: list[int], read_between: bool, soft: bool) -> None:
    generator = torch.Generator().manual_seed(sum(counts))
    batches, expected = BatchResults(), []
    for count in counts:
        scores = torch.randint(0, 3, (count, 4), generator=generator).float()  # with equal ones among them
        labels = torch.randint(0, 4, (count,), generator=generator)
        loss = torch.rand(1, generator=generator)
        batches.add(scores, torch.nn.functional.one_hot(labels, 4) if soft else labels, loss)
        right = int((torch.max(scores, 1)[1] == labels).sum())
        expected.append(BatchResult(float(loss), right, count))
        if read_between:
            assert batches.read() == expected
    assert len(batches) == len(counts)
    assert batches.read() == expected == batches.read()
    assert batches.total[1:] == (sum(batch.right for batch in expected), sum(counts))
    assert batches.total.loss == pytest.approx(sum(batch.loss * batch.size for batch in expected))


def test_losses_of_every_shape_are_means() -> None:
    for loss, mean in ((torch.tensor(0.5), 0.5), (torch.tensor([0.25]), 0.25), (torch.tensor([1.0, 2.0]), 1.5)):
        batches = BatchResults()
        batches.add(torch.eye(2), torch.tensor([0, 0]), loss)
        assert batches.read() == [BatchResult(mean, 1, 2)]
    assert BatchResults().read() == []


def test_what_is_kept_holds_no_graph() -> None:
    batches = BatchResults()
    scores = torch.eye(2, requires_grad=True) * 2
    batches.add(scores, torch.tensor([0, 0]), scores.sum())
    assert not any(part.requires_grad for part in batches._kept[0])


def test_epochs_and_buckets_are_kept_apart_and_watchers_not_called_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(batch.time, "perf_counter", lambda: now[0])
    record, seen = BatchRecord(), []
    record.watchers.append(lambda strategy: seen.append((now[0], len(record.learned), len(record.tested))))
    strategy: Any = SimpleNamespace(mb_output=torch.eye(2), mb_y=torch.tensor([0, 1]), loss=torch.tensor(1.0))
    record.before_training_epoch(strategy)
    for _ in range(5):
        now[0] += 0.06
        record.after_training_iteration(strategy)
    record.before_eval_exp(strategy)
    record.after_eval_iteration(strategy)
    assert (len(record.learned), len(record.tested)) == (5, 1)
    assert [place[1:] for place in seen] == [(2, 0), (4, 0)]
    record.before_training_epoch(strategy)
    assert (len(record.learned), len(record.tested)) == (0, 1)
