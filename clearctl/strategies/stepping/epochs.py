"""The epochs of a bucket, which can stop and resume between epochs and between steps."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from clearctl.strategies.loading.positions import PositionedIterator
from clearctl.strategies.strategy import Experience, Loader, Strategy, Streams, TensorBatch


@dataclass(frozen=True)
class BucketProgress:
    """The progress of training in a bucket: `epochs` are done, and of the next one the batches up to `position`.

    `position` is what the iterator of the batches said (see `gather`), or None between two epochs.
    """

    epochs: int
    steps: int = 0
    position: dict[str, Any] | None = None


@dataclass
class ResumePoint:
    """The position to resume from; `load_state` restores the state once the bucket has been set up again."""

    progress: BucketProgress
    load_state: Callable[[], None]


class Epochs:
    """Carries `strategy` through the epochs of each bucket, as Avalanche's own loop does, and stops in between.

    `on_step` is called after each step, in training and in testing, and `on_epoch` after each epoch of training.
    `resume_point` is where the next bucket resumes, if not at its start: Avalanche sets the bucket up as usual, and
    then the state is loaded.
    """

    def __init__(self, strategy: Strategy, on_step: Callable[[], None], on_epoch: Callable[[], None]) -> None:
        self.strategy = strategy
        self.on_step = on_step
        self.on_epoch = on_epoch
        self.resume_point: ResumePoint | None = None
        self._done = 0
        self._batches: _CountingLoader | None = None  # those of the epoch in progress
        strategy._train_exp = self._train_exp
        for event in ("_after_training_iteration", "_after_eval_iteration"):
            setattr(strategy, event, _CallInTurn(getattr(strategy, event), self._step_done))

    def progress(self) -> BucketProgress | None:
        """The progress of training; None within an epoch whose batches come from worker processes, or in a test."""
        batches = self._batches
        if not self.strategy.is_training:
            return None
        if batches is None:
            return BucketProgress(self._done)
        if not isinstance(batches.iterator, PositionedIterator):
            return None
        return BucketProgress(self._done, batches.steps, batches.iterator.position())

    def _train_exp(self, experience: Experience, eval_streams: Streams | None = None, **loading: object) -> None:
        strategy, resume_point = self.strategy, self.resume_point
        self.resume_point = None
        self._done = resume_point.progress.epochs if resume_point is not None else 0
        if resume_point is not None and resume_point.progress.position is None:
            resume_point.load_state()
            resume_point = None
        while self._done < strategy.train_epochs:
            strategy._before_training_epoch(**loading)
            if strategy._stop_training:  # a plugin has had enough
                strategy._stop_training = False
                break
            loader = strategy.dataloader
            strategy.dataloader = self._batches = _CountingLoader(loader, resume_point)
            resume_point = None
            strategy.training_epoch(**loading)
            strategy.dataloader, self._batches = loader, None
            strategy._after_training_epoch(**loading)
            self._done += 1
            self.on_epoch()

    def _step_done(self) -> None:
        if self._batches is not None and self.strategy.is_training:
            self._batches.steps += 1
        self.on_step()


@dataclass
class _CountingLoader:
    """A loader that keeps the iterator over it, and counts its batches that were learned."""

    loader: Loader
    resume_point: ResumePoint | None
    iterator: Iterator[TensorBatch] = field(default_factory=lambda: iter(()))
    steps: int = 0

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[TensorBatch]:
        self.iterator = iter(self.loader)
        if self.resume_point is not None:
            progress = self.resume_point.progress
            assert progress.position is not None
            assert isinstance(self.iterator, PositionedIterator)
            self.steps = progress.steps
            self.iterator.seek(progress.position)
            self.resume_point.load_state()  # after whatever a strategy does at the start of its epoch
            self.resume_point = None
        return self.iterator


@dataclass(frozen=True)
class _CallInTurn:
    """Calls `first`, then `second`."""

    first: Callable[..., None]
    second: Callable[[], None]

    def __call__(self, **arguments: object) -> None:
        self.first(**arguments)
        self.second()
