"""Protocols of the Avalanche objects that clearctl uses, whose classes are `Any` to mypy: strategy, buckets, loaders.

Nothing here runs. An attribute that is not listed here is not used, or belongs to one kind of strategy or plugin alone.
B samples a batch, C classes.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import torch
from torch import nn

# Of B samples: x [B, ...], class indices [B], and what else comes with a sample, such as task labels [B].
TensorBatch: TypeAlias = list[torch.Tensor]


class Targets(Protocol):
    """The class indices of a dataset."""

    uniques: set[int]  # the classes that there are

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[int]: ...


class ClassificationDataset(Protocol):
    """Samples of a bucket, or of a memory: an AvalancheDataset with targets. Item i is (x, class index, task label)."""

    targets: Targets
    collate_fn: Callable[..., Any]  # of a list of items: a batch
    _flat_data: object  # the tree of subsets and concatenations (see `loading.rows`)

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> tuple[Any, ...]: ...

    def subset(self, indices: Sequence[int]) -> "ClassificationDataset":
        """The samples at `indices`, in that order."""

    def concat(self, other: "ClassificationDataset") -> "ClassificationDataset":
        """These samples, then those of `other`."""

    def train(self) -> "ClassificationDataset":
        """The same samples under the train transform."""

    def eval(self) -> "ClassificationDataset":
        """The same samples under the eval transform."""


class Experience(Protocol):
    """A bucket, to be learned or to be tested on."""

    current_experience: int  # its number in the stream, from 0
    dataset: ClassificationDataset
    origin_stream: Any  # Avalanche's stream, which has a `name` and its `benchmark`

    def logging(self) -> "Experience":
        """The same, with all of it visible to metrics."""


VALIDATION = "valid"  # Avalanche's name of the stream of validation parts
LEFT_OUT = "leftout"  # that of test images of classes that the others leave out
VALIDATION_STREAM = f"{VALIDATION}_stream"  # the same as the benchmark and metrics have it
Streams: TypeAlias = Sequence[Sequence[Experience]]


class Benchmark(Protocol):
    """The buckets of a stream. A stream makes a new experience each time it is asked for one."""

    train_stream: Sequence[Experience]
    test_stream: Sequence[Experience]


def validation_stream(benchmark: Benchmark) -> list[Experience]:
    """The validation part of each bucket; empty if the stream has none."""
    return list(getattr(benchmark, VALIDATION_STREAM, ()))


def left_out_stream(benchmark: Benchmark) -> list[Experience]:
    """The test images of each bucket that are of no class of the stream; empty if these are not asked for."""
    return list(getattr(benchmark, f"{LEFT_OUT}_stream", ()))


class Loader(Protocol):
    """Batches, once through: a loader of Avalanche's, torch's or clearctl's own."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[TensorBatch]: ...


class MultiDatasetLoader(Loader, Protocol):
    """Avalanche's MultiDatasetDataLoader, the base of its loaders: batches of several datasets side by side."""

    datasets: Sequence[ClassificationDataset]
    batch_sizes: Sequence[int]  # the share of each dataset in a batch
    loader_kwargs: dict[str, Any]  # of torch's DataLoader: shuffle, drop_last, num_workers, collate_fn, ...
    oversample_small_datasets: bool  # whether a dataset that is through starts again
    termination_dataset: int  # the number of the dataset that ends the epoch
    never_ending: bool
    distributed_sampling: bool


class Clock(Protocol):
    """Counts what has been done; the last of the plugins."""

    train_exp_counter: int  # buckets learned
    train_iterations: int  # steps in training since the beginning of the run

    def after_training_iteration(self, strategy: "Strategy") -> None:
        """Count a step of training."""

    def after_eval_iteration(self, strategy: "Strategy") -> None:
        """Count a batch of a test."""


class MetricValues(Protocol):
    """The values of a strategy's metrics (see `watching.evaluator.Evaluator`)."""

    def get_last_metrics(self) -> dict[str, Any]:
        """The latest value of every metric by its full name."""

    def flush(self) -> None:
        """Pass the results of the steps so far to the loggers."""


class Strategy(Protocol):
    """Avalanche's SupervisedTemplate: learns from experiences, is tested on experiences, calls plugins in between.

    Arguments that are named `loading` are those of its loaders: num_workers, pin_memory, persistent_workers.
    """

    # Its parts.
    model: nn.Module
    optimizer: torch.optim.Optimizer
    device: torch.device
    plugins: list[Any]  # in the order in which they are called: of Avalanche's BasePlugin
    evaluator: MetricValues
    clock: Clock
    train_epochs: int
    train_mb_size: int
    eval_mb_size: int
    retain_graph: bool  # of its backward()
    _criterion: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # of scores [B, C] and class indices [B]

    # Where it is.
    is_training: bool
    experience: Experience  # that is learned, or tested
    adapted_dataset: ClassificationDataset  # what is learned of it: plugins add memories
    current_eval_stream: Sequence[Experience]  # all that is tested
    _eval_streams: Streams  # what is tested during training
    dataloader: Loader
    mbatch: TensorBatch
    mb_output: torch.Tensor  # scores [B, C]
    loss: torch.Tensor  # of the batch, penalties of plugins included
    _stop_training: bool  # a plugin asks to end the bucket with this epoch

    # Attributes that clearctl replaces on one object (`watching.hooks`, `stepping`) or adds.
    forward: Callable[..., torch.Tensor]  # scores [B, C] of the batch
    backward: Callable[[], None]
    optimizer_step: Callable[[], None]
    _train_exp: Callable[..., None]  # the epochs of one experience
    _make_empty_loss: Callable[[], Any]  # what a step adds its loss to
    training_epoch: Callable[..., None]  # learns all batches of `dataloader`
    _before_eval_forward: Callable[..., None]  # what acts before the scores of a test
    _after_eval_forward: Callable[..., None]  # and after them
    _before_backward: Callable[..., None]  # what acts between the loss and its gradients
    _after_training_iteration: Callable[..., None]  # what acts after a step
    scaler: torch.amp.GradScaler  # with float16 alone

    @property
    def mb_x(self) -> torch.Tensor:
        """The samples of the batch `[B, ...]`."""

    @property
    def mb_y(self) -> torch.Tensor:
        """The class indices of the batch `[B]`."""

    def _unpack_minibatch(self) -> None:
        """Make the batch a list of tensors on the device."""

    def train(
        self,
        experiences: Experience | Sequence[Experience],
        *,
        eval_streams: Streams,
        **loading: object,
    ) -> dict[str, Any]:
        """Learn from one experience, or from all; the latest metrics. `eval_streams` are tested during training."""

    def eval(self, exp_list: Sequence[Experience], **loading: object) -> dict[str, Any]:
        """Test on experiences; the latest metrics."""

    def criterion(self) -> torch.Tensor:
        """The loss of the batch, from `mb_output` and `mb_y`."""

    # The callbacks that clearctl calls, each of which calls the plugins; in the order of a bucket, and of a test.
    def _before_training(self, **loading: object) -> None: ...
    def _before_training_exp(self, **loading: object) -> None: ...
    def _before_training_epoch(self, **loading: object) -> None: ...
    def _after_training_epoch(self, **loading: object) -> None: ...
    def _after_training_exp(self, **loading: object) -> None: ...
    def _after_training(self, **loading: object) -> None: ...
    def _before_eval(self, **loading: object) -> None: ...
    def _before_eval_exp(self, **loading: object) -> None: ...
    def _after_eval_exp(self, **loading: object) -> None: ...
    def _after_eval(self, **loading: object) -> None: ...

    # The steps of `train` and `eval` around the callbacks (`lockstep`).
    def _save_train_state(self) -> dict[str, Any]: ...
    def _load_train_state(self, prev_state: dict[str, Any]) -> None: ...
    def _train_cleanup(self) -> None: ...
    def _eval_cleanup(self) -> None: ...


def tests_validation(strategy: Strategy) -> bool:
    """Whether what `strategy` tests at the moment, or has tested last, are validation parts."""
    return bool(strategy.current_eval_stream[0].origin_stream.name == VALIDATION)
