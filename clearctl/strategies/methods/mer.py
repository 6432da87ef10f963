"""Meta-experience replay's draws from its memory, gathered at once."""

import torch
from avalanche.training.supervised.mer import MERBuffer

from clearctl.data.cache.transform import CachedTransform
from clearctl.strategies.loading.gather import collated, resolved


def with_memory(
    self: MERBuffer, x: torch.Tensor, y: torch.Tensor, t: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`x [B, ...]`, `y [B]` and task labels `t [B]` of a batch, each followed by that of samples from the memory.

    Instead of `MERBuffer.get_batch`, which reads each sample three times: for its x, then its y, then its t. Samples
    and random numbers are the same; transforms of images draw for each reading.
    """
    memory = self.storage_policy.buffer
    if len(memory) == 0:
        return x, y, t
    indices = torch.randperm(len(memory))[: self.batch_size_mem].tolist()
    found = resolved(memory)
    draws_nothing = found is not None and not isinstance(found.source, CachedTransform)
    readings = [collated(memory, indices) for _ in range(1 if draws_nothing else 3)]
    of_memory = (part.to(self.device) for part in readings[0])
    mixed_x, mixed_y, mixed_t = (torch.cat(parts) for parts in zip((x, y, t), of_memory, strict=True))
    return mixed_x, mixed_y, mixed_t
