"""The results of each batch, computed once for all observers of a strategy: metrics, accuracies, progress."""

import time
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from avalanche.training.plugins import SupervisedPlugin

from clearctl.strategies.strategy import Strategy

PERIOD_S = 0.1


class BatchResult(NamedTuple):
    """The mean `loss` and the number of `right` answers of `size` samples."""

    loss: float
    right: int
    size: int


class BatchResults:
    """The batches of an epoch, or of the test of a bucket. What they gave stays on the device until it is read."""

    def __init__(self) -> None:
        self.total = BatchResult(0.0, 0, 0)  # of those read: the sum of the samples' losses, right answers and samples
        self._read: list[BatchResult] = []
        self._kept: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []  # scores [B, C], labels, loss

    def __len__(self) -> int:
        return len(self._read) + len(self._kept)

    def add(self, scores: torch.Tensor, labels: torch.Tensor, loss: torch.Tensor) -> None:
        """Keep a batch: its scores `[B, C]`, its class indices `[B]` or soft labels `[B, C]`, and its loss."""
        self._kept.append((scores.detach(), labels, loss.detach()))

    def read(self) -> list[BatchResult]:
        """All of them so far. This waits for the device, once."""
        if self._kept:
            scores, labels, losses = zip(*self._kept, strict=True)
            counts = [len(part) for part in labels]
            right = torch.eq(_classes(torch.cat(scores)), _classes(torch.cat(labels))).cumsum(0).tolist()
            ends = [right[end - 1] for end in accumulate(counts)]
            means = torch.stack(losses).reshape(len(losses), -1).mean(1).tolist()
            here = (end - start for start, end in zip([0, *ends], ends, strict=False))
            self.extend([BatchResult(*numbers) for numbers in zip(means, here, counts, strict=True)])
            self._kept = []
        return self._read

    def extend(self, new: Sequence[BatchResult]) -> None:
        """Add batches that have been read already."""
        self._read.extend(new)
        for batch in new:
            sums = self.total
            loss = sums.loss + batch.loss * batch.size
            self.total = BatchResult(loss, sums.right + batch.right, sums.size + batch.size)


def _classes(values: torch.Tensor) -> torch.Tensor:
    return values.argmax(1) if values.ndim > 1 else values


class BatchRecord(SupervisedPlugin):
    """Keeps the batches of the epoch that is `learned` and of the bucket that is `tested`. It comes before its readers.

    `watchers` are called during a step, with the strategy, but at most every 0.1 s.
    """

    def __init__(self) -> None:
        super().__init__()
        self.learned = BatchResults()
        self.tested = BatchResults()
        self.watchers: list[Callable[[Strategy], None]] = []
        self._due = time.perf_counter() + PERIOD_S

    def before_training_epoch(self, strategy: Strategy, **kwargs: object) -> None:
        """Start an epoch."""
        self.learned = BatchResults()

    def before_eval_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Start a bucket."""
        self.tested = BatchResults()

    def after_training_iteration(self, strategy: Strategy, **kwargs: object) -> None:
        """Keep the batch that was learned."""
        self._keep(self.learned, strategy)

    def after_eval_iteration(self, strategy: Strategy, **kwargs: object) -> None:
        """Keep the batch that was tested."""
        self._keep(self.tested, strategy)

    def _keep(self, batches: BatchResults, strategy: Strategy) -> None:
        batches.add(strategy.mb_output, strategy.mb_y, strategy.loss)
        now = time.perf_counter()
        if now >= self._due:
            self._due = now + PERIOD_S
            for watcher in self.watchers:
                watcher(strategy)
