"""Batches copied to a GPU while it works on the batch before."""

from collections.abc import Iterable, Iterator, Sized
from typing import Any, cast

import torch
from avalanche.training.plugins import SupervisedPlugin

from clearctl.strategies.gather import GatheringLoader

Batch = list[torch.Tensor]


class Prefetch:
    """The batches of `loader`, lists of tensors, on `device`; on CUDA the next is copied while one is used.

    The copy runs beside the work only if the loader's tensors are pinned. The loader is read one batch ahead: what
    is drawn at random while it is read must not come from a generator that the training step uses too.
    """

    def __init__(self, loader: Iterable[Batch], device: torch.device) -> None:
        self.loader = loader
        self.device = device

    def __len__(self) -> int:
        return len(cast(Sized, self.loader))

    def __iter__(self) -> Iterator[Batch]:
        if self.device.type != "cuda":
            yield from self.loader
            return
        aside = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        batches = iter(self.loader)
        following = self._copied(batches, aside)
        while following is not None:
            # The stream may have changed between two batches, so it is asked for each time.
            stream = torch.cuda.current_stream(self.device)
            stream.wait_stream(aside)
            batch = following
            for tensor in batch:
                tensor.record_stream(stream)  # its memory is not reused before that stream is done with it
            following = self._copied(batches, aside)
            yield batch

    def _copied(self, batches: Iterator[Batch], aside: torch.cuda.Stream) -> Batch | None:
        batch = next(batches, None)
        if batch is None:
            return None
        with torch.cuda.stream(aside):
            return [tensor.to(self.device, non_blocking=True) for tensor in batch]


class Prefetching(SupervisedPlugin):
    """Puts Prefetch over the loaders that a strategy learns and is tested with, where worker processes fill them.

    Without workers the samples are transformed in this process, by random numbers of the generator that strategies
    draw from: reading ahead would change which of them draws what. A loader that gathers copies by itself.
    """

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """The loader that is learned from."""
        self._cover(strategy, kwargs)

    def before_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        """The loader that is tested with."""
        self._cover(strategy, kwargs)

    def _cover(self, strategy: Any, loading: dict[str, Any]) -> None:
        covered = isinstance(strategy.dataloader, Prefetch | GatheringLoader)
        if loading.get("num_workers", 0) and not covered:
            strategy.dataloader = Prefetch(strategy.dataloader, strategy.device)
