"""configs/demo.py, ResNet-50 at 224 px, in each precision: images/s against a bare loop, and how busy the GPU is."""

import math
from dataclasses import dataclass

from benchmarks.gpu.busy import Busy, kernel_share
from benchmarks.gpu.check import DEMO, Check
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.training import image_overrides, learn
from benchmarks.sides import bare_images

SHARE = 0.9  # of the bare loop's images/s
BUSY_PERCENT = 90.0
TINY_PX = 32


@dataclass(frozen=True)
class Variant:
    """`bare` says whether the loop without clearctl is measured in the same precision."""

    options: tuple[str, ...] = ()
    batch: int = 64
    bare: bool = False
    small: bool = False


CHANNELS_LAST, BF16 = "channels_last=True", "precision='bf16'"
MAPPED = "data.loader='mapped'"  # images come from the CPU batch by batch, by default they stay on the GPU
VARIANTS = {
    "fp32": Variant(bare=True, small=True),
    "tf32": Variant(("tf32=True",), bare=True),
    "bf16": Variant((BF16,), bare=True),
    "bf16, channels-last": Variant((BF16, CHANNELS_LAST), bare=True, small=True),
    "bf16, channels-last, batch 256": Variant((BF16, CHANNELS_LAST), 256, bare=True),
    "bf16, channels-last, mapped": Variant((BF16, CHANNELS_LAST, MAPPED), small=True),
    "bf16, channels-last, mapped, no workers": Variant((BF16, CHANNELS_LAST, MAPPED, "data.workers=0")),
    "fp16, channels-last": Variant(("precision='fp16'", CHANNELS_LAST)),
    "tf32, channels-last": Variant(("tf32=True", CHANNELS_LAST)),
    "fp32, deterministic": Variant(("deterministic=True",)),
}


def run(check: Check, findings: Findings) -> None:
    """Each variant; the bare loop right after it, where it has one."""
    for name, variant in VARIANTS.items():
        if not check.small or variant.small:
            with findings.noted(name):
                measure(check, findings, name, variant, check.of(4, 2))


def measure(check: Check, findings: Findings, name: str, variant: Variant, epochs: int) -> None:
    """The images/s of a variant and its bare loop's."""
    batch = check.of(variant.batch, 8)
    overrides = [*image_overrides(check, epochs, batch), *variant.options]
    with Busy(check) as busy:
        trained = learn(check, DEMO, f"demo/{name}", overrides)
    start = trained.ended[-len(trained.later)] - trained.later[0].seconds
    seen = busy.between(start, trained.ended[-1])
    losses = [round(epoch.loss, 4) for epoch in trained.epochs]
    findings.right(f"{name}: loss of each epoch", losses, all(map(math.isfinite, losses)), "finite")
    findings.figure(f"{name}: images/s", round(trained.images_per_s, 1))
    findings.figure(f"{name}: seconds of each epoch", [round(epoch.seconds, 3) for epoch in trained.epochs])
    findings.figure(f"{name}: seconds of the whole run", round(trained.seconds, 1))
    findings.figure(f"{name}: nvidia-smi", seen)
    findings.at_least(f"{name}: GPU busy, percent", seen["percent"], BUSY_PERCENT)
    if variant.bare:
        size_px = TINY_PX if check.small else 224
        bare = bare_images.build(DEMO, overrides, size_px=size_px, device=check.device)
        theirs = bare.images_per_s(check.of(12, 2), check.of(25, 2))
        findings.figure(f"{name}: images/s of the bare loop", round(theirs, 1))
        findings.at_least(f"{name}: of the bare loop's images/s", round(trained.images_per_s / theirs, 3), SHARE)
        if check.on_gpu and "compile=True" not in variant.options:
            share = kernel_share(check, lambda: [bare.step(number) for number in range(10)])
            findings.figure(f"{name}: kernels of the bare loop", share)
