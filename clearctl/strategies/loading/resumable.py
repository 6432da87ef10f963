"""Loaders whose position is known, so that a run can be resumed between two batches.

Avalanche's endless loaders are generators, whose position is not accessible. These are made when a bucket begins, read
in this process, and gone when it ends. Samples and random numbers are those of Avalanche's loaders without worker
processes, exactly."""

import torch
from avalanche.benchmarks.utils.data_loader import SingleDatasetDataLoader
from avalanche.training.plugins import SupervisedPlugin

from clearctl.strategies.loading.gather import collating, positioned
from clearctl.strategies.loading.prefetch import prefetched
from clearctl.strategies.strategy import ClassificationDataset, Loader, Strategy


def passes(
    dataset: ClassificationDataset,
    batch_size: int,
    device: torch.device,
    *,
    shuffle: bool = True,
    drop_last: bool = False,
) -> Loader:
    """A loader of a dataset's batches, once through, with the draws of torch's DataLoader and a position."""
    loader = SingleDatasetDataLoader(dataset, batch_size=batch_size, shuffle=shuffle, drop_last=drop_last)
    return positioned(loader, device)


class KnownPosition(SupervisedPlugin):
    """The last plugin that touches a loader, on every device, so that states of all devices have the same plugins.

    The loader that is learned from gets a position, where no worker processes fill it and none gathers. On a GPU both
    loaders copy the next batch while one is used (`prefetched`).
    """

    def before_training_epoch(self, strategy: Strategy, num_workers: int = 0, **kwargs: object) -> None:
        """The loader that is learned from."""
        strategy.dataloader = prefetched(collating(strategy.dataloader, strategy.device), strategy.device, num_workers)

    def before_eval_exp(self, strategy: Strategy, num_workers: int = 0, **kwargs: object) -> None:
        """The loader that is tested with."""
        strategy.dataloader = prefetched(strategy.dataloader, strategy.device, num_workers)
