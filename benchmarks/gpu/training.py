"""Training as the parts do it: through `clearctl.train`, with what its epochs took."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu.check import Check
from clearctl import train
from clearctl.engine.run.train import TrainResult
from clearctl.progress import EpochDone, Event

NORMALIZE = "{'type': 'Normalize', 'mean': [0.5, 0.5, 0.5], 'std': [0.2, 0.2, 0.2]}"
# A network of a few thousand weights instead of ResNet-50.
TINY = (
    "model.backbone={'type': 'ResNet', 'depth': 18, 'num_stages': 1, 'strides': [1], 'dilations': [1],"
    " 'out_indices': [0], 'stem_channels': 8, 'base_channels': 8}",
    "model.head.in_channels=8",
)


@dataclass(frozen=True)
class Trained:
    """A run, with its epochs and the moments (time.time) at which they ended, and the seconds of all of it."""

    result: TrainResult
    epochs: list[EpochDone]
    ended: list[float]
    seconds: float

    @property
    def later(self) -> list[EpochDone]:
        """The epochs but the first, in which everything is done for the first time."""
        return self.epochs[1:] or self.epochs

    @property
    def images_per_s(self) -> float:
        """Of the median later epoch."""
        return statistics.median(epoch.num_samples / epoch.seconds for epoch in self.later)


def learn(
    check: Check, config: Path, name: str, overrides: Sequence[str] = (), *, device: str = "", seed: int = 0
) -> Trained:
    """Train a config in this process, on the check's device unless another is named."""
    epochs: list[EpochDone] = []
    ended: list[float] = []

    def hear(event: Event) -> None:
        if isinstance(event, EpochDone):
            epochs.append(event)
            ended.append(time.time())

    started = time.perf_counter()
    result = train(
        config,
        device=device or check.device,
        work_dir=check.runs(name),
        overrides=tuple(overrides),
        listener=hear,
        seed=seed,
    )
    return Trained(result, epochs, ended, time.perf_counter() - started)


def image_overrides(check: Check, epochs: int, batch: int) -> list[str]:
    """What makes configs/demo.py a short run on one bucket of the check's images."""
    common = [
        "loggers=[{'type': 'TextLogger'}]",
        "scenario.buckets=['1']",
        f"scenario.dataset_root={str(check.images)!r}",
        f"cl_strategy.train_epochs={epochs}",
        f"cl_strategy.train_mb_size={batch}",
        f"cl_strategy.eval_mb_size={batch}",
    ]
    return [*common, *TINY, *transforms(40, 32)] if check.small else common


def transforms(resize_px: int, crop_px: int) -> list[str]:
    """Overrides for images of another size than the config's."""
    resize, end = f"{{'type': 'Resize', 'size': {resize_px}}}", f"{{'type': 'ToTensor'}}, {NORMALIZE}]"
    crop, flip = f"'size': {crop_px}}}", "{'type': 'RandomHorizontalFlip'}"
    return [
        f"scenario.train_transform=[{resize}, {{'type': 'RandomCrop', {crop}, {flip}, {end}",
        f"scenario.eval_transform=[{resize}, {{'type': 'CenterCrop', {crop}, {end}",
    ]
