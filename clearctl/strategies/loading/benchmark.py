"""An Avalanche benchmark from a stream of buckets. Avalanche's own CLEAR loader is not used (docs/coming-from.md)."""

from avalanche.benchmarks.scenarios.deprecated.generic_benchmark_creation import (
    create_multi_dataset_generic_benchmark,
)
from avalanche.benchmarks.utils.classification_dataset import _make_taskaware_classification_dataset

from clearctl.data.samples import Transform
from clearctl.data.stream import Samples, Stream
from clearctl.strategies.strategy import LEFT_OUT, VALIDATION, Benchmark, ClassificationDataset


def build_benchmark(
    stream: Stream,
    train_transform: Transform | None,
    eval_transform: Transform | None,
    task_labels: str = "single",
    held_out: str | None = None,
) -> Benchmark:
    """A domain-incremental benchmark: experience k is bucket k of the stream.

    `train_transform` is applied to images that are learned from (replayed ones too), `eval_transform` to those that
    are tested on; for features both must be None. With `task_labels` 'bucket' the samples of experience k have the
    task label k, as in Avalanche's CLEAR; with 'single' all have 0. `held_out` is the part of the buckets
    that is the stream `valid_stream` too: "validation", or "test" where tests are on the validation part. What
    the classes leave out of the test parts, if the stream has it, is the stream `leftout_stream`.
    """
    labels = [number if task_labels == "bucket" else 0 for number in range(len(stream.buckets))]

    def datasets(part: str) -> list[ClassificationDataset]:
        return [_dataset(getattr(bucket, part), label) for bucket, label in zip(stream.buckets, labels, strict=True)]

    others = {} if held_out is None else {VALIDATION: datasets(held_out)}
    if stream.has_left_out:
        others[LEFT_OUT] = datasets("left_out")
    return create_multi_dataset_generic_benchmark(
        datasets("train"),
        datasets("test"),
        train_transform=train_transform,
        eval_transform=eval_transform,
        other_streams_datasets=others,
        other_streams_transforms=dict.fromkeys(others, (eval_transform, None)),
    )


def _dataset(samples: Samples, task_label: int) -> ClassificationDataset:
    return _make_taskaware_classification_dataset(samples, targets=samples.targets, task_labels=task_label)
