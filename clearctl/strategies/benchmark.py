"""An Avalanche benchmark from a stream of buckets. Avalanche's own CLEAR loader is not used (docs/coming-from.md)."""

from typing import Any

from avalanche.benchmarks.scenarios.deprecated.generic_benchmark_creation import (
    create_multi_dataset_generic_benchmark,
)
from avalanche.benchmarks.utils.classification_dataset import _make_taskaware_classification_dataset
from avalanche.distributed import DistributedHelper

from clearctl.data.samples import Transform
from clearctl.data.stream import Samples, Stream


def build_benchmark(stream: Stream, train_transform: Transform | None, eval_transform: Transform | None) -> Any:
    """A domain-incremental benchmark: experience k is bucket k of the stream, and every sample has task label 0.

    `train_transform` is applied to images that are learned from (replayed ones too), `eval_transform` to those that
    are tested on; for features both must be None.

    Where several processes share the run Avalanche is not to know: its loaders would give each other samples, and fill
    up what does not divide, where here all learn every batch, each a part (`models.parallel`).
    """
    type(DistributedHelper).is_distributed = False
    return create_multi_dataset_generic_benchmark(
        [_dataset(bucket.train) for bucket in stream.buckets],
        [_dataset(bucket.test) for bucket in stream.buckets],
        train_transform=train_transform,
        eval_transform=eval_transform,
    )


def _dataset(samples: Samples) -> Any:
    return _make_taskaware_classification_dataset(samples, targets=samples.targets, task_labels=0)
