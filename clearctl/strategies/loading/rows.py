"""The content of an Avalanche dataset as row numbers of one source: a matrix of features, or a store of images.

An Avalanche dataset is a tree of subsets and concatenations with transforms; here it is resolved to its leaves.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.benchmarks.utils.data_attribute import DataAttribute
from avalanche.benchmarks.utils.flat_data import ConstantSequence, FlatData, LazyIndices, LazyRange
from avalanche.benchmarks.utils.transforms import TupleTransform
from avalanche.training.supervised.feature_replay import FeatureDataset
from torch.utils.data import default_collate

from clearctl.data.cache.files import CachedImages
from clearctl.data.cache.transform import CachedTransform
from clearctl.data.feature_parts import FeatureParts, FeatureSource
from clearctl.data.samples import FeatureSamples

Columns = list[torch.Tensor]  # of a batch: its row numbers [B], class indices [B], and what else comes with a sample
RowSource = FeatureSource | CachedTransform


@dataclass(frozen=True)
class Rows:
    """Samples of one source: sample i is its row `rows[i]`, with class index y[i] and the values extra[k][i].

    The source is features `[M, D]`, a matrix or in parts, or the transform that makes images of their numbers.
    `rows [N] int64`, `y [N]` and each of `extras` `[N, ...]` are on the device of the matrix; else on the CPU.
    """

    source: RowSource
    rows: torch.Tensor
    y: torch.Tensor
    extras: tuple[torch.Tensor, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def columns(self) -> Columns:
        """Everything but the samples themselves."""
        return [self.rows, self.y, *self.extras]


def resolve(dataset: object) -> Rows | None:
    """What an Avalanche dataset holds; None if that is not rows of one source."""
    if not isinstance(dataset, AvalancheDataset) or len(dataset) == 0:
        return None
    found = _Leaves(dataset._flat_data._transform_groups.current_group)
    columns = found.below(dataset._flat_data, ())
    source = found.source
    if columns is None or source is None:
        return None
    device = source.device if isinstance(source, torch.Tensor) else torch.device("cpu")
    shown = [attribute for attribute in dataset._data_attributes.values() if attribute.use_in_getitem]
    rows, y, *extras = (column.to(device) for column in (*columns, *(_values(attribute.data) for attribute in shown)))
    return Rows(source, rows, y, tuple(extras))


class _Leaves:
    """What is found at the leaves of a tree of datasets, with the transforms of `group`."""

    def __init__(self, group: str) -> None:
        self.group = group
        self._source: RowSource | None = None
        self._outputs: dict[int, torch.Tensor] = {}  # what a FeatureDataset holds, by the number of its first row
        self._output_rows = 0

    @property
    def source(self) -> RowSource | None:
        """The one source of all leaves; None if they have several, or none."""
        if not self._outputs:
            return self._source
        same = len({part.shape[1] for part in self._outputs.values()}) == 1
        return FeatureParts(list(self._outputs.values())) if same and self._source is None else None

    def below(self, node: object, transforms: tuple[Any, ...]) -> Columns | None:
        """[rows, y] of all samples below `node` in order, to which `transforms` are applied; None if it has others."""
        if isinstance(node, FeatureSamples | CachedImages):
            return [node.rows, node.labels] if self._is_of_one_source(node, transforms) else None
        if isinstance(node, FeatureDataset) and not transforms:
            return self._of_outputs(node)
        if not isinstance(node, FlatData):
            return None
        for kind in ("_transform_groups", "_frozen_transform_groups"):  # which some nodes do not have
            applied = _of_x(getattr(node, kind)[self.group]) if hasattr(node, kind) else ()
            if applied is None:
                return None
            transforms = (*applied, *transforms)
        parts = [self.below(child, transforms) for child in node._datasets]
        there = [part for part in parts if part is not None]
        if not there or len(there) < len(parts):
            return None
        return [_select(joined(columns), node._indices) for columns in zip(*there, strict=True)]

    def _is_of_one_source(self, leaf: FeatureSamples | CachedImages, transforms: tuple[Any, ...]) -> bool:
        source: RowSource | None = None
        if isinstance(leaf, FeatureSamples):
            source = leaf.x if not transforms else None
        elif len(transforms) == 1 and isinstance(transforms[0], CachedTransform):
            source = transforms[0]
        if self._source is None:
            self._source = source
        return source is not None and source is self._source

    def _of_outputs(self, leaf: FeatureDataset) -> Columns | None:
        """Outputs of a network that FeatureReplay remembers: those of each bucket are a part of the source."""
        x: torch.Tensor = leaf.data
        if x.ndim != 2 or x.dtype is not torch.float32 or x.device.type != "cpu":
            return None
        first = next((row for row, part in self._outputs.items() if part is x), None)
        if first is None:
            first = self._output_rows
            self._outputs[first] = x
            self._output_rows += len(x)
        return [torch.arange(first, first + len(x)), torch.as_tensor(leaf.targets)]


def _of_x(transform: object) -> tuple[Any, ...] | None:
    """The transforms of a sample's first part; None if there are any of other parts, or of all at once."""
    if transform is None:
        return ()
    if not isinstance(transform, TupleTransform):
        return None
    first, *others = transform.transforms
    return None if any(other is not None for other in others) else () if first is None else (first,)


def joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """`parts` one after another; one alone as it is."""
    return torch.cat(list(parts)) if len(parts) > 1 else parts[0]


def _select(values: torch.Tensor, indices: Sequence[int] | None) -> torch.Tensor:
    if indices is None:
        return values
    if isinstance(indices, LazyRange):
        first = indices._start + indices._offset
        return values[first : first + len(indices)]
    if isinstance(indices, LazyIndices):
        indices._to_eager()
        indices = indices._eager_list
    return values[torch.as_tensor(indices, dtype=torch.int64)]


def iter_values(attribute: DataAttribute[Any]) -> Iterator[Any]:
    """The values of an Avalanche attribute, without a call per value if it is a plain list."""
    listed = _listed(attribute)
    return (attribute[place] for place in range(len(attribute))) if listed is None else iter(listed)


def _listed(node: Any) -> list[Any] | None:
    """All values of an attribute; None if it has a subset below, or a sequence of another kind."""
    if isinstance(node, DataAttribute):
        return _listed(node.data)
    if type(node) is ConstantSequence:
        return [node._constant_value] * len(node)
    if type(node) is FlatData and node._indices is None:
        parts = [part for part in map(_listed, node._datasets) if part is not None]
        return list(itertools.chain.from_iterable(parts)) if len(parts) == len(node._datasets) else None
    return list(node) if type(node) is list else None


def _values(node: Sequence[Any]) -> torch.Tensor:
    """What default_collate makes of all values [N] of an attribute: task labels, or stored scores."""
    if isinstance(node, ConstantSequence):
        return torch.full((len(node),), node[0])
    if isinstance(node, DataAttribute):
        return _values(node.data)
    if isinstance(node, FlatData):
        return _select(joined([_values(child) for child in node._datasets if len(child)]), node._indices)
    collated: torch.Tensor = default_collate(list(node))
    return collated
