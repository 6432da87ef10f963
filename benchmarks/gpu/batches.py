"""The bytes of images that reach the GPU while it is kept behind: buffers are used again, and must not be too early.

Images that stay on the GPU are gathered there.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from benchmarks.gpu.check import DEMO, Check
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.training import image_overrides
from clearctl.config.fill import fill
from clearctl.engine.build.config import open_config
from clearctl.engine.build.samples import build_samples
from clearctl.engine.build.stream import benchmark_of, build_stream
from clearctl.progress import ignore
from clearctl.strategies.loading.gather import in_order

TURNS = 3  # through all images
PRODUCTS = 8  # of 4096 x 4096 after each batch: some milliseconds
WORKERS = (0, 2)
LOADERS = ("mapped", "resident")


def run(check: Check, findings: Findings) -> None:
    """Whatever the loader, the batches are those of the CPU."""
    expected = list(_pixels(check, _tested_images(check, "cpu", "mapped"), "cpu", 0))
    for loader in LOADERS:
        dataset = _tested_images(check, check.device, loader)
        for workers in WORKERS:
            name = f"{loader}, {workers} workers"
            with findings.noted(name):
                found = []
                for _ in range(TURNS):
                    kept = list(_behind(check, _pixels(check, dataset, check.device, workers)))
                    found += [batch.cpu() for batch in kept]
                pairs = zip(found, expected * TURNS, strict=True)
                wrong = [number for number, (batch, other) in enumerate(pairs) if not torch.equal(batch, other)]
                findings.right(f"{name}: batches", len(found), len(expected) > 1, "several")
                findings.equal(f"{name}: batches with other bytes than the CPU's", wrong, [])


def _tested_images(check: Check, device: str, loader: str) -> Any:
    """The images of a bucket, resized and cropped, without Normalize: each float is a byte divided by 255."""
    resize, crop = (40, 32) if check.small else (256, 224)
    steps = f"{{'type': 'Resize', 'size': {resize}}}, {{'type': 'CenterCrop', 'size': {crop}}}, {{'type': 'ToTensor'}}"
    overrides = [
        *image_overrides(check, 1, 32),
        f"scenario.eval_transform=[{steps}]",
        f"data.loader={loader!r}",
    ]
    settings = fill(open_config(DEMO, overrides=tuple(overrides)))
    samples = build_samples(
        settings, build_stream(settings.scenario, settings.data), torch.device(device), ignore, training=False
    )
    [tested] = benchmark_of(settings.scenario, samples).test_stream
    return tested.dataset.eval()


def _pixels(check: Check, dataset: Any, device: str, workers: int) -> Iterator[torch.Tensor]:
    """The bytes of each batch, [B, 3, H, W] uint8, on the device."""
    for x, *_ in in_order(dataset, check.of(32, 8), workers, torch.device(device)):
        yield (x * 255).round().to(torch.uint8)


def _behind(check: Check, batches: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """The batches; after each the device gets work that takes longer than the host needs for the next."""
    side = check.of(4096, 64)
    busy = torch.randn(side, side, device=check.device)
    for batch in batches:
        for _ in range(PRODUCTS):
            busy = (busy @ busy).tanh_()
        yield batch
