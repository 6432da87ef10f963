"""Reads images that earlier runs have decoded, for `extract-features`, which decodes images once and keeps none."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from clearctl.data.cache.files import ImageFiles
from clearctl.data.cache.store import ImageStore, store_name
from clearctl.data.cache.transform import CachedTransform
from clearctl.data.transforms import TransformStages
from clearctl.progress import Listener, ignore


class ExistingImages:
    """What the transforms `stages` make of the images `files`, by number, before `finish`.

    An image is read where one of the cache `folders`: after all leading transforms, or after fewer
    of them, and the others are done to what was read. Other images are decoded. Either way the bits are the same.
    Nothing is added to the folders; what is damaged there is removed, as by a run that trains. Can be pickled.
    """

    def __init__(
        self, files: ImageFiles, stages: TransformStages, folders: Sequence[Path] = (), listener: Listener = ignore
    ) -> None:
        self.files = files
        self.finish = stages.finish
        self._sources: list[CachedTransform] = []
        missing = list(range(len(files)))
        folders = () if stages.refusal else folders
        for count in range(len(stages.leading) if folders else 0, -1, -1):
            part = _with_leading(stages, count) if folders else stages
            where = [folder / store_name(part.leading) for folder in folders]
            store = ImageStore(files, part.leading, listener=listener, wanted=missing, also=where)
            missing = store.missing()
            self._sources.append(CachedTransform(store, part))

    def pixels(self, number: int) -> torch.Tensor:
        """One image, `[3, h, w] uint8` where the transforms end in ToTensor; read-only.

        Raises DatasetError if it cannot be decoded, and what the transforms raise.
        """
        chosen = next((source for source in self._sources if source.store.has(number)), self._sources[0])
        return chosen.sample(number)

    def num_stored(self, numbers: Iterable[int]) -> int:
        """How many of the images need not be decoded."""
        return sum(any(source.store.has(number) for source in self._sources) for number in numbers)


def _with_leading(stages: TransformStages, count: int) -> TransformStages:
    """`stages` with only the first `count` of the leading transforms as leading ones, the rest done to each sample."""
    rest = stages.leading[count:]
    return replace(stages, leading=stages.leading[:count], per_sample=(*rest, *stages.per_sample))
