"""Rows of a matrix of features in their own order: views of it where they lie one after another."""

import torch

from clearctl.data.pixels import fresh
from clearctl.strategies.loading.positions import BatchIterator, LoaderPosition, SideBySide
from clearctl.strategies.strategy import TensorBatch

ALIGNMENT_BYTES = 64  # of torch's allocations: a batch that starts elsewhere may be summed up in another order


def take(x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """x[rows], in memory that is not shared: on a CPU that of an earlier batch, whose pages already exist."""
    if x.device.type != "cpu":
        return x.index_select(0, rows)
    return torch.index_select(x, 0, rows, out=fresh((len(rows), *x.shape[1:]), x.dtype))


class InOrder(BatchIterator):
    """The samples `rows` of `x` in their own order; rows that lie one after another as views of the matrix.

    A network that writes into its input (an in-place activation at the front) would write into the matrix: it shows
    on the first batch, which is a copy, and then all are copies.
    """

    def __init__(self, columns: SideBySide, x: torch.Tensor, rows: torch.Tensor) -> None:
        super().__init__(columns, lambda batch: batch)
        self.x = x
        self.row_bytes = x.stride(0) * x.element_size()
        self.first = int(rows[0])
        self.views = bool((rows.diff() == 1).all())
        self._given: tuple[torch.Tensor, int, bool] | None = None  # a batch, its version, whether it is a copy

    def __next__(self) -> TensorBatch:
        self._see_whether_written()
        start = self.first + self.columns.passes[0].taken * self.columns.passes[0].batch_size
        rows, *others = super().__next__()
        aligned = start * self.row_bytes % ALIGNMENT_BYTES == 0
        own = start == self.first or not self.views or not aligned
        batch = take(self.x, rows) if own else self.x[start : start + len(rows)]
        self._given = batch, batch._version, own
        return [batch, *others]

    def _see_whether_written(self) -> None:
        """Into the latest batch, which has been used by now."""
        if self._given is not None:
            batch, version, own = self._given
            if batch._version != version:
                assert own, "a batch of the features' own matrix was written into"
                self.views = False
            self._given = None

    def position(self) -> LoaderPosition:
        """Where it stands, and whether there may be `views`."""
        self._see_whether_written()
        return {"views": self.views, **super().position()}

    def seek(self, position: LoaderPosition) -> None:
        """Let the next batch be the one that would have followed where `position` was taken."""
        super().seek(position)
        self.views, self._given = position.get("views", False), None  # which mapped features do not have
