"""Copies batches to a GPU while it works on the previous one."""

from collections.abc import Iterator

import torch

from clearctl.strategies.loading.gather import GatheringLoader
from clearctl.strategies.strategy import Loader, TensorBatch


class Prefetch:
    """The batches of `loader`, lists of tensors, on `device`; on CUDA the next is copied while one is used.

    The copy runs beside the work only if the loader's tensors are pinned. The loader is read one batch ahead: what
    is drawn at random while it is read must not come from a generator that the training step uses too.
    """

    def __init__(self, loader: Loader, device: torch.device) -> None:
        self.loader = loader
        self.device = device

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[TensorBatch]:
        if self.device.type != "cuda":
            yield from self.loader
            return
        aside = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        batches = iter(self.loader)
        following = self._copied(batches, aside)
        while following is not None:
            # The stream may have changed between two batches, so it is requested each time.
            stream = torch.cuda.current_stream(self.device)
            stream.wait_stream(aside)
            batch = following
            for tensor in batch:
                tensor.record_stream(stream)  # its memory is not reused before that stream is done with it
            following = self._copied(batches, aside)
            yield batch

    def _copied(self, batches: Iterator[TensorBatch], aside: torch.cuda.Stream) -> TensorBatch | None:
        batch = next(batches, None)
        if batch is None:
            return None
        with torch.cuda.stream(aside):
            return [tensor.to(self.device, non_blocking=True) for tensor in batch]


def prefetched(loader: Loader, device: torch.device, workers: int) -> Loader:
    """`loader` with Prefetch over it, where worker processes fill it and `device` is a GPU; else `loader` itself.

    Without workers the samples are transformed in this process, with random numbers of the generator that strategies
    draw from: reading ahead would change which of them draws what. A loader that gathers copies by itself.
    """
    if device.type != "cuda" or not workers or isinstance(loader, Prefetch | GatheringLoader):
        return loader
    return Prefetch(loader, device)
