"""Predicting: what a trained network says of images that it has never seen."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from clearctl.distributed.randomness import preserve_random_states
from clearctl.engine.extract.extract import BATCH_SIZE, default_workers
from clearctl.engine.machine import (
    check_batches,
    current_device,
    deterministic_algorithms,
    require_worker_processes,
    resolve_device,
)
from clearctl.engine.predict.images import find_images, read_batches, refusal
from clearctl.engine.predict.network import Answers
from clearctl.engine.predict.target import Target, find_target
from clearctl.engine.states.checkpoint import read_exactly
from clearctl.errors import DatasetError, UsageError
from clearctl.progress import Counted, Listener, Message, ignore, rate_limited
from clearctl.shortrepr import ShortRepr
from clearctl.strategies.answers import why_no_probabilities
from clearctl.strategies.patches import applied

Scores = NDArray[np.float32]
WORK = "predict"


@dataclass(frozen=True, repr=False)
class PredictResult(ShortRepr):
    """The predictions of a network for N images and C classes.

    Args:
        images: the N images, in the order of the other attributes.
        class_names: the C names.
        history: {bucket: scores [N, C] of the model after it}; of one bucket unless all were asked.
        checkpoints: {bucket: the file of weights}.
        no_probabilities: what the scores are where their softmax is not a probability; None if it is.
        without_weights: the run's buckets after which no weights were saved.
        unreadable: {file: why} of the images that are left out.
    """

    images: list[Path]
    class_names: list[str]
    history: dict[str, Scores]
    checkpoints: dict[str, Path]
    no_probabilities: str | None = None
    without_weights: list[str] = field(default_factory=list)
    unreadable: dict[Path, str] = field(default_factory=dict)

    @property
    def bucket(self) -> str:
        """The last bucket that the model had learned."""
        return list(self.history)[-1]

    @property
    def scores(self) -> Scores:
        """The scores [N, C] of the network after `bucket`."""
        return self.history[self.bucket]

    @property
    def probabilities(self) -> NDArray[np.float64] | None:
        """The softmax of the scores [N, C]; None if that is not a probability (`no_probabilities`)."""
        return None if self.no_probabilities else softmax(self.scores)

    @property
    def labels(self) -> list[str]:
        """The N names of the classes with the highest scores."""
        return [self.class_names[index] for index in self.scores.argmax(axis=1)]

    def top(self, count: int = 5, bucket: str | None = None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(class indices [N, count], values [N, count]) of the best classes of each image, the best first.

        The values are probabilities, or scores if there are none. `bucket` is one of `history`.
        """
        scores = self.scores if bucket is None else self.history[bucket]
        indices = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        values = scores.astype(np.float64) if self.no_probabilities else softmax(scores)
        return indices, np.take_along_axis(values, indices, axis=1)

    def __repr__(self) -> str:
        count = len(self.images)
        shown = ", ".join(self.labels[:3]) + (", ..." if count > 3 else "")
        return f"PredictResult({count} images, {len(self.class_names)} classes, bucket {self.bucket!r}: {shown})"


def softmax(scores: Scores) -> NDArray[np.float64]:
    """The softmax over the classes, in float64, of scores [N, C]."""
    powers = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
    found: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return found


@applied()
def predict(
    target: Path | str,
    images: Sequence[Path | str] | Path | str,
    *,
    bucket: str | int | None = None,
    all_buckets: bool = False,
    config: Path | str | None = None,
    extractor_weights: Path | str | None = None,
    skip_bad: bool = False,
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    listener: Listener = ignore,
) -> PredictResult:
    """Classify images by a trained network, with the transforms that the run was tested with. No dataset is read.

    Args:
        target: a run folder, or a checkpoint.
        images: files, folders, patterns such as "photos/**/*.jpg".
        bucket: the model after the bucket of this name; None for the last one.
        all_buckets: the model after each bucket that has weights.
        config: for a checkpoint outside of a run folder: the run folder or the config that it was trained with.
        extractor_weights: for a run on features: the file with the weights of the network that made them, if it
            has been moved.
        skip_bad: leave out images that cannot be read, instead of raising; the result names them.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        batch_size: images at once; by default as fits the device.
        workers: processes that decode images; by default as fits the device.
        listener: notified of the images done.

    The answers are those of the run's tests. Raises UsageError; DatasetError for images that are missing or cannot be
    read, of which it names the number and three, and where the features' network cannot be had again; RunError for a
    folder or file that has no such weights, and for a strategy whose answers do not follow from them.
    """
    check_batches(batch_size, workers)
    where = resolve_device(device)
    asked = find_target(
        Path(target),
        config=None if config is None else Path(config),
        bucket=None if bucket is None else str(bucket),
        all_buckets=all_buckets,
        listener=listener,
    )
    if extractor_weights is not None and not asked.settings.scenario.feature_type:
        raise UsageError("--extractor-weights is for runs on features, but this run is on images: leave it out")
    files = find_images([images] if isinstance(images, str | Path) else list(images), rate_limited(listener))
    deterministic = deterministic_algorithms(asked.settings.compute.deterministic, where, listener)
    with current_device(where), deterministic, preserve_random_states():
        answers = Answers(
            asked, where, listener, extractor_weights=None if extractor_weights is None else Path(extractor_weights)
        )
        loaders = default_workers(where) if workers is None else workers
        require_worker_processes(loaders)
        history, unreadable = _ask(answers, asked, files, batch_size or BATCH_SIZE[where.type], loaders, listener)
    if unreadable and (not skip_bad or len(unreadable) == len(files)):
        remedy = "" if len(unreadable) == len(files) else "\nremove them, or leave them out with --skip-bad"
        raise DatasetError(f"{refusal(unreadable, len(files))}{remedy}")
    return PredictResult(
        [file for file in files if file not in unreadable],
        _names(asked, next(iter(history.values())).shape[1]),
        history,
        asked.checkpoints,
        why_no_probabilities(asked.settings),
        list(asked.without_weights),
        unreadable,
    )


def _ask(
    answers: Answers, target: Target, files: list[Path], batch_size: int, workers: int, listener: Listener
) -> tuple[dict[str, Scores], dict[Path, str]]:
    """({bucket: scores of the images that can be read, in order}, {file: why it cannot be read})."""
    listening = rate_limited(listener)
    weights = {name: read_exactly(answers.model, file) for name, file in target.checkpoints.items()}
    for name, file in target.checkpoints.items():
        listener(Message(f"the model after bucket {name}: {file}"))
    unreadable: dict[Path, str] = {}
    found: dict[str, dict[int, torch.Tensor]] = {name: {} for name in weights}
    done = 0
    for batch in read_batches(files, answers.stages, batch_size=batch_size, workers=workers, unreadable=unreadable):
        for name, scores in answers.scores(batch.pixels, weights):
            found[name].update(zip(batch.numbers, scores, strict=True))
        done += len(batch.numbers)
        listening(Counted(WORK, done, len(files), "images"))
    if unreadable:
        listening(Counted(WORK, len(files), len(files), "images"))
    rows = {name: [of_model[number] for number in sorted(of_model)] for name, of_model in found.items()}
    return {name: torch.stack(of_model).numpy() for name, of_model in rows.items() if of_model}, unreadable


def _names(target: Target, classes: int) -> list[str]:
    """The names of the classes; one without a name is called by its index."""
    return [*target.class_names, *(f"class {index}" for index in range(len(target.class_names), classes))]
