"""A bare PyTorch loop over images that are on the device as bytes: a config's network and optimizer, nothing else."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from clearctl.config.fill import fill
from clearctl.engine.build.accelerate import accelerate
from clearctl.engine.build.config import open_config
from clearctl.engine.build.model import build_model
from clearctl.engine.build.stream import build_stream
from clearctl.progress import ignore

BATCHES = 4  # of random pixels, used in turn
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class BareImages:
    """Takes the `step`s with the numbers 0, 1, ..., each of a batch of `batch` images."""

    step: Callable[[int], None]
    batch: int
    device: torch.device

    def images_per_s(self, warm: int, steps: int) -> float:
        """The images/s of `steps` steps, after `warm` others."""
        for number in range(warm):
            self.step(number)
        started = self._now()
        for number in range(steps):
            self.step(number)
        return steps * self.batch / (self._now() - started)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def build(config: Path, overrides: Sequence[str], *, size_px: int, device: str) -> BareImages:
    """The loop for images of `size_px`, in the precision and memory format that the config and `overrides` ask for."""
    settings = fill(open_config(config, overrides=tuple(overrides)))
    optimizer_call, compute = settings.strategy.optimizer, settings.compute
    assert optimizer_call is not None
    target = torch.device(device)
    model = build_model(settings, build_stream(settings.scenario, settings.data), ignore).to(target).train()
    accelerate(compute, model, target, ignore)
    optimizer = torch.optim.SGD(model.parameters(), **optimizer_call.arguments)
    batch, classes = settings.strategy.train_mb_size, settings.model.head.arguments["num_classes"]
    shape = (batch, 3, size_px, size_px)
    pixels = [torch.randint(0, 256, shape, dtype=torch.uint8, device=target) for _ in range(BATCHES)]
    labels = torch.randint(classes, (batch,), device=target)
    mean, deviation = (torch.tensor(values, device=target).view(-1, 1, 1) for values in (MEAN, DEVIATION))

    def step(number: int) -> None:
        x = pixels[number % BATCHES].float().div_(255).sub_(mean).div_(deviation)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x).float(), labels).backward()
        optimizer.step()

    return BareImages(step, batch, target)
