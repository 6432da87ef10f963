"""A-GEM, with the memories that CLEAR's baselines use."""

from collections.abc import Iterator

import torch
from avalanche.benchmarks.utils.data_loader import GroupBalancedInfiniteDataLoader
from avalanche.training.plugins import AGEMPlugin as AvalancheAGEMPlugin
from avalanche.training.storage_policy import ExemplarsBuffer, ReservoirSamplingBuffer

from clearctl.strategies.loading.gather import collated, positioned, resolved
from clearctl.strategies.loading.positions import BatchIterator
from clearctl.strategies.strategy import Strategy, TensorBatch


class AGEMPlugin(AvalancheAGEMPlugin):
    """A-GEM (Chaudhry et al., ICLR 2019). By default Avalanche's memory, `patterns_per_experience` of each bucket.

    With `reservoir` the memory is one reservoir of `patterns_per_experience` samples in all, or the given `buffer`,
    and each step's reference gradient is that of `sample_size` of its samples, newly drawn.

    Avalanche begins to read its memories when it has filled them; here it begins with the next bucket, in this process,
    so that there is nothing half read between buckets, and within one it is known how far the reading is.
    """

    reference_gradients: torch.Tensor

    def __init__(
        self,
        patterns_per_experience: int | None = None,
        sample_size: int = 64,
        reservoir: bool = False,
        buffer: ExemplarsBuffer | None = None,
    ) -> None:
        if buffer is not None and not reservoir:
            raise ValueError("a buffer needs reservoir=True")
        if buffer is None and patterns_per_experience is None:
            raise ValueError("the size of the memory is missing, such as patterns_per_exp=256")
        super().__init__(patterns_per_experience or 0, sample_size)
        self.buffer_dliter: Iterator[TensorBatch] | None = None
        self.memory = buffer
        if reservoir and buffer is None:
            self.memory = ReservoirSamplingBuffer(self.patterns_per_experience)

    def before_training_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Start to read the memories, endlessly and in parallel."""
        if self.memory is None and self.buffers:
            loader = GroupBalancedInfiniteDataLoader(self.buffers, batch_size=self.sample_size // len(self.buffers))
            self.buffer_dliter = iter(positioned(loader, strategy.device))

    @torch.no_grad()
    def after_backward(self, strategy: Strategy, **kwargs: object) -> None:
        """Project the gradient, in Avalanche's arithmetic, if it contradicts that of the memory.

        Whether it does a GPU decides itself: Avalanche reads it, for which the host waits in each step. A reference
        gradient whose square is 0 in float32, of a memory that is learned by heart, asks for nothing; Avalanche would
        divide by that square.
        """
        if not self.buffers:
            return
        reference = self.reference_gradients
        weights = list(strategy.model.parameters())
        current = torch.cat([w.new_zeros(w.numel()) if w.grad is None else w.grad.view(-1) for w in weights])
        product, square = torch.dot(current, reference), torch.dot(reference, reference)
        contradicts = (product < 0) & (square > 0)
        if contradicts.device.type == "cpu" and not contradicts:  # where nothing waits, three passes less
            return
        projected = torch.where(contradicts, current - reference * (product / square), current)
        parts = torch.split(projected, [w.numel() for w in weights])
        learned = [(w.grad, part.view_as(w)) for w, part in zip(weights, parts, strict=True) if w.grad is not None]
        torch._foreach_copy_([gradient for gradient, _ in learned], [part for _, part in learned])

    def after_training_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Take the bucket's samples into the memory."""
        if self.memory is None:
            self.update_memory(strategy.experience.dataset)
            self.buffer_dataloader = self.buffer_dliter = None
            return
        self.memory.update(strategy)
        self.buffers = [self.memory.buffer]  # where the base class looks whether there is any memory yet

    def sample_from_memory(self) -> TensorBatch:
        """(x, y, task label) of a mini-batch from the memory."""
        if self.memory is None:
            return super().sample_from_memory()
        return collated(self.buffers[0], self._chosen().tolist())

    def drawn_rows(self) -> torch.Tensor:
        """The row numbers `[M]` of the samples that `sample_from_memory` would give now, and in its place.

        The samples of the memories are rows of features.
        """
        if self.memory is None:
            assert isinstance(self.buffer_dliter, BatchIterator), "the memories have no rows"
            return self.buffer_dliter.next_columns()[0]
        samples = resolved(self.buffers[0])
        assert samples is not None, "the memory has no rows"
        return samples.rows[self._chosen()]

    def _chosen(self) -> torch.Tensor:
        """The positions in the reservoir of a mini-batch that is drawn for a step."""
        return torch.randperm(len(self.buffers[0]))[: self.sample_size]
