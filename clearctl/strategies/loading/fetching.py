"""How torch's DataLoader fetches from Avalanche's datasets: whole batches, gathered at once.

Plugins make such loaders themselves (EWC's and MAS's importances, GEM's memory, DER's replay). torch asks a dataset for
`__getitems__`, which Avalanche's lacks; `strategies.patches` gives it `samples_at`. The batches are the same.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import default_collate

from clearctl.strategies.loading.gather import collated, resolved
from clearctl.strategies.strategy import ClassificationDataset


class GatheredSamples(Sequence[Any]):
    """The samples of an Avalanche `dataset` at `indices`, on their way from a DataLoader to its collate function.

    torch's own function is given the batch of all of them, gathered; for any other they are samples as usual, each read
    when it is requested.
    """

    def __init__(self, dataset: ClassificationDataset, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = list(indices)
        self.read: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Any]:
        return (self.sample(place) for place in range(len(self)))

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self.sample(number) for number in range(*place.indices(len(self)))]
        return FetchedSample(self, range(len(self))[place])

    def sample(self, place: int) -> Any:
        """What the dataset has there."""
        if place not in self.read:
            self.read[place] = self.dataset[self.indices[place]]
        return self.read[place]


class FetchedSample(Sequence[Any]):
    """A sample of a batch in progress; torch's collate function recognises the batch by this type."""

    def __init__(self, batch: GatheredSamples, place: int) -> None:
        self.batch = batch
        self.place = place

    def __len__(self) -> int:
        return len(self.batch.sample(self.place))

    def __getitem__(self, part: Any) -> Any:
        return self.batch.sample(self.place)[part]


def samples_at(dataset: ClassificationDataset, indices: Sequence[int]) -> Sequence[Any]:
    """What torch's DataLoaders ask a dataset for, as its `__getitems__`; of rows the batch is gathered at once."""
    if dataset.collate_fn is not default_collate or resolved(dataset) is None:
        return [dataset[index] for index in indices]
    return GatheredSamples(dataset, indices)


def collate_samples(samples: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    """What torch's collate function does with samples that `samples_at` has given, whole batches or others."""
    if isinstance(samples, GatheredSamples):
        return collated(samples.dataset, samples.indices)
    return default_collate([list(sample) for sample in samples])
